package source

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// A session is given up once: when its client says something, or ends, or when all are woken. One that is to leave does not wait.
func TestSilent(t *testing.T) {
	served := make(chan *session, 10)
	s := newSilent(func(one *session) { served <- one })
	ended := make(chan struct{})
	go func() {
		s.run()
		close(ended)
	}()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	enter := func(ctx context.Context, want bool) (*session, net.Conn) {
		t.Helper()
		client := dial(t, "tcp", l.Addr().String())
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		one := newSession(ctx, conn)
		if got := s.add(one); got != want {
			t.Fatalf("it waits: %v, want %v", got, want)
		}
		return one, client
	}
	serves := func(want *session) {
		t.Helper()
		select {
		case got := <-served:
			if got != want {
				t.Error("another one is served")
			}
		case <-time.After(time.Minute):
			t.Fatal("nobody is served")
		}
	}
	speaks, client := enter(t.Context(), true)
	ends, other := enter(t.Context(), true)
	woken, _ := enter(t.Context(), true)
	if _, err := io.WriteString(client, "x"); err != nil {
		t.Fatal(err)
	}
	serves(speaks)
	_ = other.Close()
	serves(ends)
	s.wake()
	serves(woken)
	left, leave := context.WithCancel(t.Context())
	leave()
	enter(left, false)
	s.close()
	<-ended
	if len(served) > 0 || len(s.waiting) > 0 {
		t.Errorf("%d more are served, %d wait", len(served), len(s.waiting))
	}
}
