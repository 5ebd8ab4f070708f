package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestProbe(t *testing.T) {
	udp := freeAddress(t)
	host, port, _ := net.SplitHostPort(udp)
	dir := t.TempDir()
	s := startSyslogNG(t, fmt.Sprintf(`source u { network(ip(%s) port(%s) transport(udp)); unix-dgram("%s/dgram"); };
log { source(u); destination(d); };`, host, port, dir))
	for _, address := range []string{s.tcp, "tcp://" + s.tcp, "udp://" + udp, "unix://" + dir + "/dgram"} {
		expect(t, "", "--probe", address+"="+s.logFile) // the first of them makes the file
	}
	expect(t, "", "--udp-listen", udp)
	text, err := os.ReadFile(s.logFile)
	if err != nil || strings.Count(string(text), " probe kad-track-") != 4 {
		t.Errorf("%v, got\n%s", err, text)
	}
	other := write(t, filepath.Join(dir, "other"), string(text))
	expect(t, "sent, but has not arrived in "+other+": no answer within 2s", "--timeout", soon, "--probe", s.tcp+"="+other)
	s.signal(t, syscall.SIGSTOP)
	expect(t, "sent, but has not arrived in "+s.logFile+": no answer within 2s", "--timeout", soon, "--probe", s.tcp+"="+s.logFile)
	s.signal(t, syscall.SIGKILL)
	expect(t, "connection refused", "--probe", s.tcp+"="+s.logFile)
	expect(t, "nobody has bound it", "--udp-listen", udp)

	expect(t, "want ADDR=FILE", "--probe", s.tcp)
	expect(t, `unknown protocol "relp", want tcp, udp or unix`, "--probe", "relp://"+s.tcp+"="+s.logFile)
	expect(t, "want HOST:PORT, an IPv6 address in brackets", "--probe", "udp://loghost=/f")
	expect(t, "/dev/null: not a regular file", "--probe", s.tcp+"=/dev/null")
}

// A mark is found wherever it lies, across reads, and after the file was replaced.
func TestTail(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "log"), "old mark\n")
	tests := []struct {
		name   string
		change func()
		want   bool
	}{
		{"nothing new", func() {}, false},
		{"half a mark", func() { appendTo(t, file, "ma") }, false},
		{"the other half", func() { appendTo(t, file, "rk\n") }, true},
		{"much", func() { appendTo(t, file, strings.Repeat("x", 200_000)) }, false},
		{"a mark across chunks", func() { appendTo(t, file, strings.Repeat("x", 64<<10-2)+"mark"+strings.Repeat("y", 70_000)) }, true},
		{"truncated", func() { write(t, file, "mark") }, true},
		{"rotated", func() { os.Rename(file, file+".1"); write(t, file, strings.Repeat("z", 300_000)+"mark") }, true},
		{"gone", func() { os.Remove(file) }, false},
		{"back", func() { write(t, file, "mark") }, true},
	}
	arrivals, err := follow(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		tt.change()
		if got, err := arrivals.read([]byte("mark")); got != tt.want || err != nil {
			t.Errorf("%s: got %v, %v", tt.name, got, err)
		}
		for more := true; more; { // to the end, so that the next step stands alone
			more, _ = arrivals.read([]byte("mark"))
		}
	}
}

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
