package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kad/pkg/cli/clitest"
	"kad/pkg/keepalived"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // goldens show times
	os.Exit(m.Run())
}

func TestFace(t *testing.T) { clitest.Face(t, app, *update) }

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		want string // first line of stderr
	}{
		{"--data x host", "kad-status: --data and HOST do not go together"},
		{"--data x --watch", "kad-status: --data and --watch do not go together"},
		{"--config x", "kad-status: --config goes with --data"},
		{"--data x --host-id y", "kad-status: --host-id goes with --config"},
		{"--timeout 0s", "kad-status: --timeout: 0s is not above 0"},
		{"--check --watch", "kad-status: --check and --watch do not go together"},
		{"-o json --watch", "kad-status: -o json and --watch do not go together"},
		{"-o prometheus a b", "kad-status: -o prometheus and HOST do not go together"},
		{"a b a", "kad-status: host a is named twice"},
		{"-o jsn", `kad-status: -o: unknown value "jsn" (did you mean "json"?), want table, wide, json or prometheus`},
		{"-- -oProxyCommand=x", `kad-status: "-oProxyCommand=x" is not a host name`},
		{"--rsh= a", "kad-status: --rsh is empty"},
	} {
		t.Run(c.args, func(t *testing.T) {
			stdout, stderr, code := runTool(t, strings.Fields(c.args)...)
			first, _, _ := strings.Cut(stderr, "\n")
			if code != 2 || first != c.want || stdout != "" {
				t.Errorf("code %d, stdout %q, stderr\n%s\nwant\n%s", code, stdout, first, c.want)
			}
		})
	}
}

const capture = "testdata/captures/2.2.7/b-down2-loghost02"

// A saved file that is not what it should be: one clear line, exit code 1, no password.
func TestSavedBad(t *testing.T) {
	good, err := os.ReadFile(filepath.Join(capture, "keepalived.data"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "FILE: truncated: the dump is empty"},
		{"binary", []byte("\x7fELF\x02\x01\x00\x00\xff\xfe"), "FILE: "},
		{"cut in a word", good[:4096], "FILE:"},
		{"cut after a line", good[:bytes.Index(good, []byte("------< Interfaces"))], "FILE:"},
		{"wrong number", bytes.Replace(good, []byte("   Priority = 240"), []byte("   Priority = 25x"), 1),
			`FILE:100: VRRP Instance loghost02-MASTER: priority "25x" is not a number`},
		{"too large", make([]byte, keepalived.MaxDump+1), "FILE: "},
		{"JSON cut", []byte(`[{"data":{"iname":"VI_1","auth_data":"LEAKME42`), "FILE:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "dump")
			if err := os.WriteFile(file, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, code := runTool(t, "--data", file)
			line := strings.ReplaceAll(stderr, file, "FILE")
			if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(line, "kad-status: "+c.want) {
				t.Errorf("code %d, stdout %q, stderr %q, want %q", code, stdout, line, c.want)
			}
			if strings.Contains(stderr, "LEAKME") {
				t.Error("the password is printed")
			}
		})
	}
}

// Without configuration the roles come from the live states, and that is said.
func TestSavedWithout(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"config", []string{"--addresses", filepath.Join(capture, "addr.json")},
			"kad-status: STATE shows the live state, the configured one is not known: no --config given\n"},
		{"readable config", []string{"--addresses", filepath.Join(capture, "addr.json"), "--config", "testdata/none.conf"},
			"kad-status: STATE shows the live state, the configured one is not known: "},
		{"addresses", []string{"--config", filepath.Join(capture, "keepalived.conf")},
			"kad-status: STATUS shows what keepalived believes: no addresses given\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, code := runTool(t, append(c.args, "--data", filepath.Join(capture, "keepalived.data"))...)
			if code != 0 || !strings.Contains(stderr, c.want) || strings.Count(stdout, "\n") != 4 {
				t.Errorf("code %d, stdout\n%s\nstderr\n%s\nwant %q", code, stdout, stderr, c.want)
			}
		})
	}
}

// The same state as text and as JSON dump gives the same rows, as far as JSON knows them.
func TestSavedJSONDump(t *testing.T) {
	const dir = "testdata/captures/2.2.7/b-down2-loghost01"
	rows := func(dump string) string {
		stdout, stderr, code := runTool(t, "--data", filepath.Join(dir, dump), "--no-header",
			"--config", filepath.Join(dir, "keepalived.conf"), "--addresses", filepath.Join(dir, "addr.json"))
		if code != 0 {
			t.Fatal(stderr)
		}
		return stdout
	}
	text := strings.NewReplacer("syslog-ng-track-MASTER", "/usr/local/bin/kad-track", "syslog-ng-track-BACKUP", "/usr/local/bin/kad-track").
		Replace(rows("keepalived.data"))
	if got := strings.Fields(rows("keepalived.json")); fmt.Sprint(got) != fmt.Sprint(strings.Fields(text)) {
		t.Errorf("JSON dump: got %q, text dump %q", got, text)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		capture, want string
		code          int
	}{
		{"2.2.7/a-normal-loghost01", "KEEPALIVED OK - 1 of 2 VIPs are here | active=1;;;0;2 fault=0;;;0 problems=0;;;0\n", 0},
		{"2.2.7/o-init-loghost01", "KEEPALIVED WARNING - loghost01-MASTER: FAULT, only waiting for the first run of script syslog-ng-track-MASTER; " +
			"loghost02-BACKUP: FAULT, only waiting for the first run of script syslog-ng-track-BACKUP | active=0;;;0;2 fault=2;;;0 problems=2;;;0\n", 1},
		{"2.2.7/b-down2-loghost02", "KEEPALIVED CRITICAL - loghost02-MASTER: FAULT: script syslog-ng-track-MASTER is BAD; " +
			"loghost01-BACKUP: FAULT: script syslog-ng-track-BACKUP is BAD | active=0;;;0;2 fault=2;;;0 problems=2;;;0\n", 2},
	} {
		t.Run(c.capture, func(t *testing.T) {
			stdout, _, code := runTool(t, append(saved(t, "testdata/captures/"+c.capture), "--check")...)
			if stdout != c.want || code != c.code {
				t.Errorf("code %d, want %d\n got %s\nwant %s", code, c.code, stdout, c.want)
			}
		})
	}
	stdout, _, code := runTool(t, "--check", "--data", "testdata/none")
	if want := "KEEPALIVED UNKNOWN - open testdata/none: no such file or directory\n"; stdout != want || code != 3 {
		t.Errorf("code %d, got %q, want %q", code, stdout, want)
	}
}

func TestPrometheusGolden(t *testing.T) {
	stdout, stderr, code := runTool(t, append(saved(t, "testdata/captures/2.2.7/k-odd-loghost01"), "-o", "prometheus")...)
	if code != 0 {
		t.Fatal(stderr)
	}
	var kept []string
	for line := range strings.Lines(stdout) {
		if !strings.HasPrefix(line, "kad_status_time_seconds ") {
			kept = append(kept, line)
		}
	}
	golden(t, "testdata/k-odd.prom", strings.Join(kept, ""))
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"VI_1":           "VI_1",
		"ü-Größe":        "ü-Größe",
		"a\x1b[2Jb\n\tc": `a\x1b[2Jb\n\tc`,
		"\xff\xfe":       `\xff\xfe`,
		"\u202etxt":      `\u202etxt`,
		"\ufffd":         `\ufffd`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

// A value that is longer than its column widens it for all rows by what it needs plus
// two blanks.
func TestColumnWidths(t *testing.T) {
	columns := []column{{"VIP", 16}, {"INSTANCE", 20}}
	for _, c := range []struct {
		vip, instance int
		want          string
	}{
		{15, 16, "[16 20]"},
		{16, 19, "[16 20]"},
		{17, 20, "[19 22]"},
		{39, 80, "[41 82]"},
	} {
		rows := [][]cell{{{text: strings.Repeat("x", c.vip)}, {text: strings.Repeat("x", c.instance)}}, {{text: "x"}, {text: "x"}}}
		if got := fmt.Sprint(columnWidths(columns, rows)); got != c.want {
			t.Errorf("%d, %d: got %s, want %s", c.vip, c.instance, got, c.want)
		}
	}
}

// fakeHosts makes an --rsh whose hosts are scripts: it is called as RSH HOST kad-status ...
func fakeHosts(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	rsh := filepath.Join(dir, "rsh")
	if err := os.WriteFile(rsh, []byte("#!/bin/sh\nexec \"${0%/*}/$1\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return rsh
}

// sawView is what kad-status -o json prints for a capture, as a script.
func sawView(t *testing.T, capture string) string {
	t.Helper()
	return jsonScript(t, capturedView(t, capture))
}

// jsonScript is a script that prints the view.
func jsonScript(t *testing.T, h *hostView) string {
	t.Helper()
	var text bytes.Buffer
	if err := h.write(&text, options{format: "json"}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "view.json")
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return "cat " + file
}

func TestClusterGolden(t *testing.T) {
	normal1, normal2 := sawView(t, "2.2.7/a-normal-loghost01"), sawView(t, "2.2.7/a-normal-loghost02")
	down1, down2 := sawView(t, "2.2.7/b-down2-loghost01"), sawView(t, "2.2.7/b-down2-loghost02")
	var got strings.Builder
	for _, c := range []struct {
		name    string
		scripts map[string]string
	}{
		{"normal", map[string]string{"loghost01": normal1, "loghost02": normal2}},
		{"taken over", map[string]string{"loghost01": down1, "loghost02": down2}},
		{"split brain", map[string]string{"loghost01": down1, "loghost02": normal2}},
		{"no holder", map[string]string{"loghost01": down2, "loghost02": down2}},
		{"unreachable", map[string]string{"loghost01": normal1, "loghost02": "echo 'ssh: connect to host loghost02 port 22: No route to host' >&2; exit 255"}},
		{"keepalived killed", map[string]string{"loghost01": down1, "loghost02": `echo '{"schema":1,"error":"no keepalived is running","addresses":[{"address":"192.168.245.101","interface":"eth0"}]}'; exit 69`}},
		{"kad-status refuses", map[string]string{"loghost01": down1, "loghost02": "echo 'kad-status: run it as root' >&2; exit 1"}},
		{"garbage", map[string]string{"loghost01": down1, "loghost02": `printf 'Welcome to \033[31mloghost02\033[0m!\n'`}},
		{"nothing", map[string]string{"loghost01": down1, "loghost02": "exit 0"}},
		{"another schema", map[string]string{"loghost01": down1, "loghost02": `echo '{"schema":2}'`}},
	} {
		stdout, stderr, code := runTool(t, "--rsh", fakeHosts(t, c.scripts), "loghost01", "loghost02")
		fmt.Fprintf(&got, "# %s; exit code %d\n%s%s", c.name, code, stdout, stderr)
	}
	golden(t, "testdata/cluster.txt", got.String())
}

// A host that hangs, with a child that keeps the pipe open, costs its timeout and no more,
// and the others are shown.
func TestClusterHangingHost(t *testing.T) {
	rsh := fakeHosts(t, map[string]string{"loghost01": sawView(t, "2.2.7/a-normal-loghost01"), "loghost02": "sleep 60 & sleep 60"})
	started := time.Now()
	stdout, stderr, code := runTool(t, "--rsh", rsh, "--timeout", "3s", "loghost01", "loghost02")
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	if code != 1 || !strings.Contains(stdout, "loghost01      MASTER unreachable") || !strings.Contains(stderr, "loghost02: unreachable: no answer in 3s") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
}

func TestClusterEndlessOutput(t *testing.T) {
	rsh := fakeHosts(t, map[string]string{"loghost01": "exec yes"})
	_, stderr, code := runTool(t, "--rsh", rsh, "--timeout", "1m", "loghost01")
	if code != 1 || !strings.Contains(stderr, "loghost01: unreachable: more than 32 MiB of output") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

func TestClusterJSONAndCheck(t *testing.T) {
	rsh := fakeHosts(t, map[string]string{
		"loghost01": sawView(t, "2.2.7/b-down2-loghost01"), "loghost02": sawView(t, "2.2.7/a-normal-loghost02")})
	stdout, _, code := runTool(t, "--rsh", rsh, "-o", "json", "loghost01", "loghost02")
	var got clusterView
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != 1 || got.Schema != 1 || len(got.VIPs) != 2 || got.VIPs[0].Verdict != verdictOK || got.VIPs[1].Verdict != splitBrain ||
		fmt.Sprint(got.VIPs[1].Holders) != "[loghost01 loghost02]" {
		t.Errorf("code %d, got %+v", code, got.VIPs)
	}
	stdout, _, code = runTool(t, "--rsh", rsh, "--check", "loghost01", "loghost02")
	if want := "KEEPALIVED CRITICAL - 192.168.245.101: SPLIT BRAIN: held by loghost01 and loghost02 | held=1;;;0;2 unreachable=0;;;0;2\n"; stdout != want || code != 2 {
		t.Errorf("code %d\n got %s\nwant %s", code, stdout, want)
	}
}

// Watching prints a view when it differs from the one before, and what went wrong is part
// of it.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	one, two := sawView(t, "2.2.7/a-normal-loghost01"), sawView(t, "2.2.7/b-down2-loghost02")
	// Each call takes the next script; the last one stays.
	rsh := fakeHosts(t, map[string]string{"loghost01": fmt.Sprintf(`
n=$(cat %[1]s/n 2>/dev/null || echo 0); echo $((n+1)) > %[1]s/n
case $n in 0|1) %[2]s;; 2) echo gone >&2; exit 1;; *) %[3]s;; esac`, dir, one, two)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watched{done: cancel, until: 3}
	code := run(ctx, []string{"kad-status", "--watch", "--timeout", "1m", "--rsh", rsh, "loghost01"}, strings.NewReader(""), out, os.Stderr)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	want := []string{"loghost01      MASTER", "unreachable: gone", "NO HOLDER"}
	for i, w := range want {
		if i >= len(out.views) || !strings.Contains(out.views[i], w) {
			t.Fatalf("view %d of %q has no %q", i, out.views, w)
		}
	}
}

// watched collects what is written and calls done after so many writes.
type watched struct {
	views []string
	until int
	done  func()
}

func (w *watched) Write(p []byte) (int, error) {
	w.views = append(w.views, string(p))
	if len(w.views) >= w.until {
		w.done()
	}
	return len(p), nil
}
