package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kad/pkg/cli/clitest"
)

var update = flag.Bool("update", false, "rewrite README.md's options, and the examples that are converted")

func TestFace(t *testing.T) { clitest.Face(t, newApp, *update) }

// forwarder runs a verb in this process.
func forwarder(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, talk bytes.Buffer
	code = run(t.Context(), append([]string{"forwarder"}, args...), strings.NewReader(stdin), &out, &talk)
	return code, out.String(), talk.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const routes = `
[options]
keep_hostname = true
[source.s]
driver = "stdin"
[filter.f_mail]
expr = 'facility(mail) and not program("^x")'
[rewrite.r]
driver = "set"
value = "MESSAGE"
template = "k-$MSG"
[destination.mail]
driver = "stdout"
template = "$PROGRAM $MSG\n"
[destination.rest]
driver = "file"
path = "/var/log/$HOST.log"
template = "$MSG\n"
[log.mail]
source = ["s"]
steps = [{ filter = "f_mail" }, { if = 'level(err)', then = [{ rewrite = "r" }], else = [{ rewrite = { driver = "set_tag", tag = "t" } }] }]
destination = ["mail"]
flags = ["final"]
[log.mail.log.never]
steps = [{ filter = 'host("none")' }, { junction = [{ flags = ["final"] }, {}] }]
[log.rest]
source = ["s"]
destination = ["rest"]
flags = ["fallback"]
`

func TestExplain(t *testing.T) {
	config := write(t, "f.toml", routes)
	for _, test := range []struct{ message, want string }{
		{"<19>Oct 11 22:14:15 h postfix: one", `source s: mail.err host "h" program "postfix" message "one"
log mail (final)
  filter f_mail: goes on
    facility(mail) and not program("^x"): true
      facility(mail): true
      not program("^x"): true
        program("^x"): false, it is "postfix"
  if level(err): then
    level(err): true
  rewrite r: goes on
    MESSAGE = "k-one", it was "one"
  -> destination mail: "postfix k-one\n"
  log never
    filter host("none"): refused
      host("none"): false, it is "h"
    = not processed
  no embedded statement matched; the statement is processed all the same (options.unmatched_embedded)
  = processed, final: the statements after it do not get the message
`},
		{"<13>Oct 11 22:14:15 h app: two", `source s: user.notice host "h" program "app" message "two"
log mail (final)
  filter f_mail: refused
    facility(mail) and not program("^x"): false
      facility(mail): false
      not program("^x"): not asked
  = not processed
log rest (fallback)
  -> destination rest /var/log/h.log: "two\n"
  = processed
`},
	} {
		code, stdout, stderr := forwarder(t, "", "explain", "--config", config, test.message)
		if code != 0 || stderr != "" || stdout != test.want {
			t.Errorf("code %d, %s\ngot\n%s\nwant\n%s", code, stderr, stdout, test.want)
		}
	}
	if code, stdout, _ := forwarder(t, "<22>Oct 11 22:14:15 h a: 1\n<22>Oct 11 22:14:15 h a: 2\n", "explain", "-c", config); code != 0 || strings.Count(stdout, "TAGS = ") != 2 || strings.Count(stdout, ", it was \".source.s\"\n") != 2 {
		t.Errorf("code %d of standard input, got\n%s", code, stdout)
	}
	const asJSON = `{"schema":1,"source":"s","paths":[{"name":"mail","flags":["final"],"processed":false,"steps":[{"kind":"filter","name":"f_mail","accepted":false}]},` +
		`{"name":"rest","flags":["fallback"],"processed":true,"steps":[{"kind":"destination","name":"rest","accepted":true}]}],` +
		`"deliveries":[{"destination":"rest","to":"/var/log/h.log","bytes":"/wo="}]}` + "\n"
	if code, stdout, stderr := forwarder(t, "<13>Oct 11 22:14:15 h app: \xff\n", "explain", "-c", config, "-o", "json"); code != 0 || stdout != asJSON {
		t.Errorf("code %d, %s, got\n%s", code, stderr, stdout)
	}
	if code, _, stderr := forwarder(t, "", "explain", "-c", config, "--source", "t", "x"); code != 1 || !strings.HasPrefix(stderr, "forwarder: no source \"t\"\n") {
		t.Errorf("code %d, %s", code, stderr)
	}
}

func TestGraph(t *testing.T) {
	config := write(t, "f.toml", routes)
	const tree = `log mail (final)
├─ source s
├─ filter f_mail
├─ if level(err)
│  └─ rewrite r
├─ else
│  └─ rewrite set_tag
├─ destination mail
└─ log never
   ├─ filter host("none")
   └─ junction
      ├─ channel (final)
      └─ channel

log rest (fallback)
├─ source s
└─ destination rest
`
	if code, stdout, stderr := forwarder(t, "", "graph", "-c", config); code != 0 || stdout != tree {
		t.Errorf("code %d, %s\ngot\n%s\nwant\n%s", code, stderr, stdout, tree)
	}
	for format, want := range map[string][]string{
		"dot":     {"digraph forwarder {\n", "  n2 [label=\"source s\"]\n  n2 -> n1\n", `[label="filter host(\"none\")"]`, "}\n"},
		"mermaid": {"flowchart LR\n", "  n2[\"source s\"]\n  n2 --> n1\n", `["filter host(#quot;none#quot;)"]`},
	} {
		code, stdout, stderr := forwarder(t, "", "graph", "-c", config, "-o", format)
		for _, w := range want {
			if code != 0 || !strings.Contains(stdout, w) {
				t.Errorf("%s: code %d, %s: no %q in\n%s", format, code, stderr, w, stdout)
			}
		}
	}
}

func TestRouteTest(t *testing.T) {
	config := write(t, "f.toml", routes)
	tests := write(t, "t.toml", `
[case.mail]
message = "<19>Oct 11 22:14:15 h postfix: one"
expect = { mail = ["postfix k-one"] }
[case.wrong]
message = "<13>Oct 11 22:14:15 h app: two"
expect = { mail = ["app two"] }
`)
	const want = `ok   mail
FAIL wrong
     destination mail got [], want ["app two"]
     destination rest got ["two"], want []
`
	code, stdout, stderr := forwarder(t, "", "test", "-c", config, tests)
	if code != 1 || stdout != want || stderr != "forwarder: 1 of 2 cases differ\n" {
		t.Errorf("code %d, %sgot\n%s\nwant\n%s", code, stderr, stdout, want)
	}
}

func TestCheck(t *testing.T) {
	good := strings.Replace(routes, ", {}] }]", "] }]", 1)
	if code, stdout, stderr := forwarder(t, "", "check", "-c", write(t, "f.toml", good)); code != 0 || stdout+stderr != "" {
		t.Errorf("code %d, %s%s", code, stdout, stderr)
	}
	inert := write(t, "inert.toml", "[options]\nflush_lines = 10\n[source.throttle]\ndriver = \"stdin\"\nlog_iw_size = 5\n"+
		"[log.throttle]\nsource = [\"throttle\", { driver = \"internal\", log_iw_size = 1 }]\n[log.throttle.log.throttle]\nsteps = [{ destination = { driver = \"stdout\", throttle = 1 } }]\n")
	const warned = `warning: PATH:2:1: options.flush_lines: this option has no effect
    flush_lines = 10
    ^
warning: PATH:5:1: source.throttle.log_iw_size: this option has no effect
    log_iw_size = 5
    ^
warning: PATH:7:46: log.throttle.source[1].log_iw_size: this option has no effect
    source = ["throttle", { driver = "internal", log_iw_size = 1 }]
                                                 ^
warning: PATH:9:47: log.throttle.log.throttle.steps[0].destination.throttle: this option has no effect
    steps = [{ destination = { driver = "stdout", throttle = 1 } }]
                                                  ^
`
	if code, _, stderr := forwarder(t, "", "check", "-c", inert); code != 0 || strings.ReplaceAll(stderr, inert, "PATH") != warned {
		t.Errorf("code %d, got\n%s", code, stderr)
	}
	bad := write(t, "bad.toml", "[source.s]\ndriver = \"stdni\"\n[log.a]\nsource = [\"s\", \"t\"]\n")
	const want = `:2:1: source.s.driver: no driver "stdni", want one of file, internal, journal, kafka, nats, network, relp, stdin, syslog, unix_dgram, unix_stream (did you mean stdin?)
    driver = "stdni"
    ^
PATH:4:16: log.a.source[1]: no source "t"
    source = ["s", "t"]
                   ^
`
	code, _, stderr := forwarder(t, "", "check", "-c", bad)
	if code != 78 || strings.ReplaceAll(stderr, bad, "PATH") != "PATH"+want {
		t.Errorf("code %d, got\n%s", code, stderr)
	}
	if code, _, stderr := forwarder(t, "", "run", "-c", bad); code != 78 || !strings.Contains(stderr, "no driver") {
		t.Errorf("run: code %d, %s", code, stderr)
	}
}
