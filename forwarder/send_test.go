package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kad/pkg/testneed"
)

// result is what send -o json tells.
type result struct {
	Schema, Sent, Received, Lost, Duplicated, Reordered, Endless int
	Latency                                                      *struct{ P50, Max float64 } `json:"latency_ms"`
	Faults                                                       []struct {
		Lost    int
		Missing [][2]int
	}
}

func sendJSON(t *testing.T, args ...string) (code int, r result) {
	t.Helper()
	code, stdout, stderr := forwarder(t, "", append([]string{"send", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v: %q, %s", err, stdout, stderr)
	}
	return code, r
}

// TestSend sends through a forwarder that runs to a sink and a file. One path drops messages, and that is seen.
func TestSend(t *testing.T) {
	in, out, log := testneed.Port(t), testneed.Port(t), filepath.Join(t.TempDir(), "log")
	s := serve(t, fmt.Sprintf(`
[source.s]
driver = "network"
ip = "127.0.0.1"
port = %d
framing = "detect"
[destination.net]
driver = "network"
address = "127.0.0.1"
port = %d
time_reopen = "20ms"
[destination.file]
driver = "file"
path = "%s"
[log.net]
source = ["s"]
destination = ["net"]
flags = ["flow_control"]
[log.file]
source = ["s"]
steps = [{ filter = 'not message("number=0000000012")' }]
destination = ["file"]
flags = ["flow_control"]
`, in, out, log))
	server, sink := fmt.Sprintf("127.0.0.1:%d", in), fmt.Sprintf("127.0.0.1:%d", out)
	code, r := sendJSON(t, "--count", "20000", "--connections", "4", "--framing", "octet_counting", "--sink", sink, server)
	if code != 0 || r.Schema != 1 || r.Sent != 20000 || r.Received != 20000 || r.Lost+r.Duplicated+r.Reordered != 0 || r.Latency == nil || r.Latency.Max < r.Latency.P50 {
		t.Errorf("code %d, %+v", code, r)
	}
	s.end()
	code, r = sendJSON(t, "--sink", "file://"+log)
	if code != 1 || r.Received != 20000-4*100 || r.Lost != 4*100 || len(r.Faults) != 4 || fmt.Sprint(r.Faults[3].Missing) != "[[1200 1299]]" {
		t.Errorf("of the file: code %d, %+v", code, r)
	}
}

// TestSendRELP has all answered that a file has then.
func TestSendRELP(t *testing.T) {
	in, log := testneed.Port(t), filepath.Join(t.TempDir(), "log")
	s := serve(t, fmt.Sprintf(`
[source.s]
driver = "relp"
ip = "127.0.0.1"
port = %d
[destination.file]
driver = "file"
path = "%s"
[log.l]
source = ["s"]
destination = ["file"]
flags = ["flow_control"]
`, in, log))
	code, stdout, stderr := forwarder(t, "", "send", "--count", "20000", "--connections", "4", fmt.Sprintf("relp://127.0.0.1:%d", in))
	const want = `^sent      20000  \d+/s for \d.\ds
answered  p50 \d+.\d\d ms, p99 \d+.\d\d ms, p99.9 \d+.\d\d ms, max \d+.\d\d ms
$`
	if code != 0 || stderr != "" || !regexp.MustCompile(want).MatchString(stdout) {
		t.Errorf("code %d, %s\n%s", code, stderr, stdout)
	}
	if code, r := sendJSON(t, "--sink", "file://"+log); code != 0 || r.Received != 20000 || r.Lost+r.Duplicated+r.Reordered != 0 {
		t.Errorf("of the file: code %d, %+v", code, r)
	}
	s.end()
}

func TestSendText(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", testneed.Port(t))
	code, stdout, stderr := forwarder(t, "", "send", "--count", "1000", "--rate", "10000", "--sink", address, address)
	const want = `^sent        1000  \d+/s for \d+\.\ds
received    1000  \d+/s
lost        0
duplicated  0
reordered   0
latency     p50 \d+.\d\d ms, p99 \d+.\d\d ms, p99.9 \d+.\d\d ms, max \d+.\d\d ms
$`
	if code != 0 || stderr != "" || !regexp.MustCompile(want).MatchString(stdout) {
		t.Errorf("code %d, %s\n%s", code, stderr, stdout)
	}
	for want, args := range map[string][]string{
		"send needs a SERVER to send to, or --sink to receive": nil,
		`transport "http" is not known`:                        {"http://x:1"},
		"a message of 5 bytes has no room":                     {"--size", "5", "127.0.0.1:1"},
	} {
		if code, _, stderr := forwarder(t, "", append([]string{"send"}, args...)...); code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%q: code %d, %s", args, code, stderr)
		}
	}
}
