package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const lintHead = `
[source.s]
driver = "stdin"
[source.t]
driver = "internal"
[filter.f]
expr = 'facility(mail)'
[destination.d]
driver = "stdout"
`

// Each configuration has the warnings that want names, and no others.
func TestLint(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing to say", "[log.a]\nsource = ['s']\nsteps = [{ filter = 'f' }]\ndestination = ['d']\nflags = ['final']\n[log.b]\nsource = ['s', 't']", ""},
		{"unused", "[log.a]\nflags = ['catchall']\n[template.u]\ntemplate = '$(template v)'\n[template.v]\ntemplate = 'x'\n[parser.'p q']\ndriver = 'kv'\n[rewrite.r]\ndriver = 'unset'\nvalue = 'x'\n[filter.g]\nexpr = 'filter(f)'",
			`destination.d: nothing uses this destination|template.u: nothing uses this template|parser."p q": nothing uses this parser|rewrite.r: nothing uses this rewrite|filter.g: nothing uses this filter`},
		{"behind a final one without a filter", "[log.a]\nsource = ['s']\nsteps = [{ if = 'filter(f)', then = [{ rewrite = { driver = 'unset', value = 'x' } }] }]\ndestination = ['d']\nflags = ['final']\n[log.b]\nsource = ['s']\n[log.c]\nsource = ['s', 't']",
			"log.b: no message comes here: log.a before it is final and takes them (give log.a a filter, or put it behind)"},
		{"behind a final one with the same filter", "[log.a]\nsource = ['s', 't']\nsteps = [{ filter = 'f' }]\nflags = ['final']\n[log.b]\nsource = ['s']\nsteps = [{ filter = 'level(err)' }, { destination = 'd' }, { filter = 'f' }]",
			"log.b: no message comes here: log.a before it is final and takes them (give log.a a filter, or put it behind)"},
		{"the same filter behind a change", "[log.a]\nsource = ['s', 't']\nsteps = [{ filter = 'f' }]\nflags = ['final']\n[log.b]\nsource = ['s']\nsteps = [{ rewrite = { driver = 'set_facility', template = 'mail' } }, { filter = 'f' }]\ndestination = ['d']", ""},
		{"a final one that may refuse", "[log.a]\nsource = ['s', 't']\nsteps = [{ filter = 'f' }, { parser = { driver = 'json' } }]\nflags = ['final']\n[log.b]\nsource = ['s']\nsteps = [{ filter = 'f' }]\ndestination = ['d']", ""},
		{"a fallback that is not needed", "[log.a]\nsource = ['s', 't']\nsteps = [{ filter = 'f' }]\nflags = ['fallback']\n[log.b]\nflags = ['catchall']\ndestination = ['d']",
			"log.a: no message comes here: log.b processes all of them (fallback statements get what no other one processes)"},
		{"embedded, and channels", "[log.a]\nflags = ['catchall']\ndestination = ['d']\nsteps = [{ junction = [{ flags = ['final'] }, { steps = [{ filter = 'f' }] }] }]\n[log.a.log.b]\nflags = ['final']\n[log.a.log.c]\nflags = ['final', 'fallback']",
			"log.a.steps[0].junction[1]: no message comes here: log.a.steps[0].junction[0] before it is final and takes them (give log.a.steps[0].junction[0] a filter, or put it behind)|" +
				"log.a.log.c: no message comes here: log.a.log.b processes all of them (fallback statements get what no other one processes)"},
		{"embedded ones that may not match", "[options]\nunmatched_embedded = 'unprocessed'\n[log.a]\nsource = ['s', 't']\nflags = ['final']\ndestination = ['d']\n[log.a.log.b]\nsteps = [{ filter = 'f' }]\n[log.c]\nsource = ['s']", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := write(t, "f.toml", lintHead+test.text)
			code, stdout, stderr := forwarder(t, "", "check", "-o", "json", "-c", file)
			var got findings
			if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || stderr != "" || got.Schema != 1 || len(got.Errors) > 0 {
				t.Fatalf("code %d, %v\n%s%s", code, err, stdout, stderr)
			}
			var list []string
			for _, w := range got.Warnings {
				if w.Line == 0 || w.Column == 0 || w.File != file {
					t.Errorf("%s has no place", w.Message)
				}
				text := w.Path + ": " + w.Message
				if w.Hint != "" {
					text += " (" + w.Hint + ")"
				}
				list = append(list, text)
			}
			wanted := strings.Split(test.want, "|")
			if test.want == "" {
				wanted = nil
			}
			for _, w := range wanted {
				if !strings.Contains("\n"+strings.Join(list, "\n")+"\n", "\n"+w+"\n") {
					t.Errorf("no warning %s", w)
				}
			}
			if len(list) != len(wanted) {
				t.Errorf("got\n%s", strings.Join(list, "\n"))
			}
		})
	}
}

// TestCheckEnvironment: everything at once, and nothing of it with --no-environment.
func TestCheckEnvironment(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "queue"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := write(t, "f.toml", strings.ReplaceAll(`[source.a]
driver = "network"
port = 5514
[source.b]
driver = "network"
ip = "127.0.0.1"
port = 5514
[source.u]
driver = "unix_dgram"
path = "DIR/none/log"
[destination.d]
driver = "file"
path = "DIR/none/$HOST.log"
[destination.e]
driver = "file"
path = "DIR/none/$HOST.log"
create_dirs = true
[destination.q]
driver = "stdout"
disk_buffer = { dir = "DIR/none/f/g" }
[log.all]
flags = ["catchall"]
destination = ["d", "e", "q"]
`, "DIR", dir))
	want := strings.NewReplacer("DIR", dir, "FILE", file).Replace(`FILE:4:9: source.b: source.a listens at the same address
    [source.b]
            ^
FILE:10:1: source.u.path: directory DIR/none does not exist
    path = "DIR/none/log"
    ^
FILE:13:1: destination.d.path: directory DIR/none does not exist
    path = "DIR/none/$HOST.log"
    ^
`)
	if code, _, stderr := forwarder(t, "", "check", "-c", file); code != 78 || stderr != want {
		t.Errorf("code %d, got\n%swant\n%s", code, stderr, want)
	}
	if code, stdout, stderr := forwarder(t, "", "check", "--no-environment", "-c", file); code != 0 || stdout+stderr != "" {
		t.Errorf("code %d, got\n%s%s", code, stdout, stderr)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("check has made something in %s: %v, %v", dir, entries, err)
	}
}

// What check prints as effective has the defaults, and nothing when the configuration is wrong.
func TestPrintEffective(t *testing.T) {
	file := write(t, "f.toml", lintHead+"[log.a]\nsource = ['s', 't']\nsteps = [{ filter = 'f' }]\ndestination = ['d']")
	code, stdout, stderr := forwarder(t, "", "check", "--print-effective", "-c", file)
	if code != 0 || stderr != "" || !strings.Contains(stdout, "\n[destination.d]\ndriver = \"stdout\"\n") || !strings.Contains(stdout, "\nlog_fifo_size = 10000\n") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	bad := write(t, "bad.toml", "[log.a]\nsource = ['none']")
	if code, stdout, stderr := forwarder(t, "", "check", "--print-effective", "-c", bad); code == 0 || stdout != "" || !strings.Contains(stderr, `no source "none"`) {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr := forwarder(t, "", "check", "--print-effective", "-o", "json", "-c", file); code != 2 {
		t.Errorf("code %d, want 2\n%s", code, stderr)
	}
}
