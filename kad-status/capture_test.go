package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// captures returns the folders of saved keepalived states: those in testdata, and the
// whole corpus where it is at hand.
func captures(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("testdata/captures/*/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no captures in testdata: %v", err)
	}
	corpus := os.Getenv("KAD_TESTDATA")
	if corpus == "" {
		corpus = "../../shared/testdata"
	}
	more, _ := filepath.Glob(filepath.Join(corpus, "keepalived/*/*"))
	return append(dirs, more...)
}

// runTool runs kad-status in this process. Hosts have all the time they need, unless args give them some.
func runTool(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	if slices.Contains(args, "--rsh") && !slices.Contains(args, "--timeout") {
		args = append([]string{"--timeout", "1m"}, args...)
	}
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"kad-status"}, args...), strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}

// saved returns the flags that read a capture. Its dump is not always keepalived.data:
// the configuration may name it otherwise.
func saved(t *testing.T, dir string) []string {
	t.Helper()
	var dumps []string
	for _, pattern := range []string{"keepalived.data", "keepalived.*.data", "*.data", "*.txt"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		dumps = append(dumps, found...)
	}
	dumps = slices.DeleteFunc(dumps, func(name string) bool {
		base := filepath.Base(name)
		return base == "files.txt" || strings.Contains(base, "_parent") || strings.Contains(base, "_bfd")
	})
	if len(dumps) == 0 {
		t.Fatalf("%s: no dump", dir)
	}
	return []string{
		"--data", dumps[0],
		"--config", filepath.Join(dir, "keepalived.conf"),
		"--addresses", filepath.Join(dir, "addr.json"),
	}
}

// notes is what the NOTES file of a capture says was true: it comes from the kernel and
// from keepalived's log, not from the dump.
type notes struct {
	held  []string          // addresses on the interfaces beyond the host's own
	count int               // of them, where they are not listed
	state map[string]string // by instance: the last state entered
}

func readNotes(t *testing.T, dir string) notes {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "NOTES"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "own addresses: ")
	held, states, ok := strings.Cut(rest, ". Last state entered per instance: ")
	if !ok {
		t.Fatalf("%s: NOTES of another shape", dir)
	}
	n := notes{state: map[string]string{}}
	if number, _, ok := strings.Cut(held, " addresses, "); ok {
		n.count, _ = strconv.Atoi(number)
		return n
	}
	for item := range strings.SplitSeq(held, ", ") {
		if addr, _, ok := strings.Cut(item, "/"); ok {
			n.held = append(n.held, addr)
		}
	}
	for item := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(states), "."), ", ") {
		if i := strings.LastIndex(item, "="); i > 0 {
			n.state[item[:i]] = item[i+1:]
		}
	}
	return n
}

func TestCapturesAgreeWithNotes(t *testing.T) {
	for _, dir := range captures(t) {
		t.Run(strings.TrimPrefix(dir, "../../"), func(t *testing.T) {
			stdout, stderr, code := runTool(t, append(saved(t, dir), "-o", "json")...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			var got hostView
			if err := json.Unmarshal([]byte(stdout), &got); err != nil {
				t.Fatal(err)
			}
			want := readNotes(t, dir)
			if want.count > 0 { // too many to be listed
				held := slices.DeleteFunc(slices.Clone(got.Keepalived[0].VIPs), func(r row) bool { return r.Status != active })
				if len(held) != want.count {
					t.Errorf("%d VIPs are held, the notes say %d", len(held), want.count)
				}
				return
			}
			for _, r := range got.Keepalived[0].VIPs {
				if held := slices.Contains(want.held, r.VIP); held != (r.Status == active) {
					t.Errorf("%s of %s: status %q, but the notes say held = %v", r.VIP, r.Instance, r.Status, held)
				}
				if s := want.state[r.Instance]; s != "" && s != string(r.Live) {
					t.Errorf("%s: live state %s, the notes say %s", r.Instance, r.Live, s)
				}
				if r.StateFrom != "configured" {
					t.Errorf("%s: the configured state is not known", r.Instance)
				}
			}
			if strings.Contains(stdout+stderr, "LEAKME") {
				t.Error("the password is printed")
			}
		})
	}
}

func TestCapturesGolden(t *testing.T) {
	dirs, _ := filepath.Glob("testdata/captures/*/*")
	for _, dir := range dirs {
		t.Run(strings.TrimPrefix(dir, "testdata/captures/"), func(t *testing.T) {
			var got strings.Builder
			for _, format := range []string{"table", "wide"} {
				stdout, stderr, code := runTool(t, append(saved(t, dir), "-o", format)...)
				fmt.Fprintf(&got, "$ kad-status -o %s; exit code %d\n%s", format, code, stdout)
				if format == "table" {
					got.WriteString(stderr)
				}
			}
			golden(t, filepath.Join(dir, "golden.txt"), got.String())
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", file, got, want)
	}
}
