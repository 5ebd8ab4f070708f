package main

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"kad/forwarder/internal/control"
)

// A tapped is a forwarder whose messages are looked at.
type tapped struct {
	*service
	net.Conn
	socket string
}

func serveTapped(t *testing.T) *tapped {
	t.Helper()
	dir := t.TempDir()
	s := serve(t, fmt.Sprintf(`
[options]
control_socket = "%s/control.sock"
[source.unix]
driver = "unix_dgram"
path = "%s/socket"
[filter.f_two]
expr = 'message("two")'
[rewrite.r]
driver = "set"
value = "MESSAGE"
template = "changed $MSG"
[destination.file]
driver = "file"
path = "%s/log"
template = "<$MSG>\n"
[log.all]
source = ["unix"]
steps = [{ rewrite = "r" }]
destination = ["file"]
[log.all.log.two]
steps = [{ filter = "f_two" }]
[log.file]
source = ["unix"]
`, dir, dir, dir))
	conn, err := net.Dial("unixgram", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); s.end() })
	return &tapped{s, conn, dir + "/control.sock"}
}

// tap runs the verb while messages "one" and "two" come, until it has seen enough.
func (s *tapped) tap(t *testing.T, args ...string) string {
	t.Helper()
	done := make(chan string)
	go func() {
		code, stdout, stderr := forwarder(t, "", append([]string{"tap", "--socket", s.socket}, args...)...)
		done <- fmt.Sprint(code, " ", stdout, stderr)
	}()
	for n := 0; ; n++ {
		select {
		case got := <-done:
			return got
		default:
			if _, err := fmt.Fprintf(s, "<13>Oct 11 22:14:15 app: %s", []string{"one", "two"}[n%2]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTap(t *testing.T) {
	s := serveTapped(t)
	for _, test := range []struct{ args, want string }{
		{"source.unix --count 1 --template $MSG --filter f_two", "0 two\n"},
		{"log.all --count 1 --template $MSG --filter message(one)", "0 one\n"},
		{"log.all.two --count 1 --template $MSG", "0 changed two\n"},
		{"destination.file --count 1 --filter message(one)", "0 <changed one>\n"},
		{"unix --count 1 --template $MSG --filter f_two", "0 two\n"},
		{"source.unx", `2 forwarder: no point "source.unx", did you mean source.unix?` + "\n"},
		{"file", `2 forwarder: "file" is not one point, want one of destination.file, log.file` + "\n"},
		{"source.unix --filter f_tow", `2 forwarder: filter: no filter "f_tow"` + "\n"},
		{"source.unix --template ${", "2 forwarder: template: "},
		{"source.unix --rate 0", `2 forwarder: rate: "0" is not a number from 1 to 10000` + "\n"},
		{"source.unix -o json --template x", "2 forwarder: --template is for -o text\n"},
		{"a b", "2 forwarder: tap takes one point, found 2\n"},
	} {
		if got := s.tap(t, strings.Fields(test.args)...); !strings.HasPrefix(got, test.want) {
			t.Errorf("tap %s: got %q, want %q", test.args, got, test.want)
		}
	}
	got, _ := strings.CutPrefix(s.tap(t, "unix", "-o", "json", "--count", "1", "--filter", "f_two"), "0 ")
	var message map[string]any
	if err := json.Unmarshal([]byte(got), &message); err != nil || message["MESSAGE"] != "two" || message["PROGRAM"] != "app" || message["ISODATE"] == nil {
		t.Errorf("%v, got %s", err, got)
	}
}

// A tap that nobody reads costs messages of its own, and no others.
func TestTapIsBounded(t *testing.T) {
	s := serveTapped(t)
	body, err := control.Open(t.Context(), s.socket, "GET", "/v1/tap?point=source.unix&rate=5")
	if err != nil {
		t.Fatal(err)
	}
	const sent = 2000
	for range sent {
		if _, err := fmt.Fprint(s, "<13>Oct 11 22:14:15 app: hello"); err != nil {
			t.Fatal(err)
		}
	}
	shown := 0
	if err := control.ReadTap(body, func(l control.TapLine) bool {
		if l.Message != nil {
			shown++
		}
		return l.Dropped == 0 || shown+int(l.Dropped) < sent
	}); err != nil || shown < 5 || shown > sent/2 {
		t.Errorf("%v, %d of %d messages are shown, want 5 a second", err, shown, sent)
	}
	body.Close()
	if !happens(func() bool {
		_, stdout, _ := forwarder(t, "", "status", "--socket", s.socket)
		return strings.Contains(stdout, fmt.Sprintf("unix_dgram      %d ", sent))
	}) {
		t.Error("messages are lost")
	}
}

// A tap goes on over a reload, for a log path too, and ends with the forwarder.
func TestTapOverReload(t *testing.T) {
	s := serveTapped(t)
	body, err := control.Open(t.Context(), s.socket, "GET", "/v1/tap?point=log.file")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	for _, text := range []string{"before", "after"} {
		fmt.Fprintf(s, "<13>Oct 11 22:14:15 app: %s", text)
		if err := control.ReadTap(body, func(l control.TapLine) bool {
			if !strings.HasSuffix(*l.Message, " app: "+text) {
				t.Errorf("got %q, want %q", *l.Message, text)
			}
			return false
		}); err != nil {
			t.Fatal(err)
		}
		s.signal(syscall.SIGHUP, "configuration is loaded")
	}
}
