package control

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// serve answers each connection to a socket with text, after it has read a question; "" hangs.
func serve(t *testing.T, text string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 1000))
			if text != "" {
				conn.Write([]byte(text))
				conn.Close()
			}
		}
	}()
	return socket
}

func TestGet(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		lines        []string
		fails        string
	}{
		{"lines", "HTTP/1.0 200 OK\r\nA: b\r\n\r\none\ntwo\n", []string{"one", "two"}, ""},
		{"refused", "HTTP/1.1 503 Service Unavailable\r\n\r\nsource s_net\x1b[2J hangs\nmore\n", nil, "503 Service Unavailable: source s_net?[2J hangs"},
		{"refused without a word", "HTTP/1.0 500 No\r\n\r\n", nil, "500 No"},
		{"not HTTP", "OK\n", nil, `"OK" is not an answer of HTTP`},
		{"hangs", "", nil, "connected, but no answer: forwarder is stopped or hangs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if c.answer == "" {
				ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
			}
			defer cancel()
			var lines []string
			pid, err := Forwarder(serve(t, c.answer)).Get(ctx, "/v1/health", func(line string) error {
				lines = append(lines, line)
				return nil
			})
			said := ""
			if err != nil {
				said = err.Error()
			}
			if said != c.fails || !slices.Equal(lines, c.lines) || err == nil && pid != os.Getpid() {
				t.Errorf("got %q, %q of process %d; want %q, %q", lines, said, pid, c.lines, c.fails)
			}
		})
	}
}

// What a caller may decide by.
func TestDialErrors(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, _, err := Forwarder(dead).Dial(t.Context()); !errors.Is(err, ErrDead) {
		t.Errorf("a socket left behind: %v", err)
	}
	if _, _, err := Forwarder(dir + "/none").Dial(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
}
