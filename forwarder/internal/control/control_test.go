package control

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// tapper is an engine of which only the tap is asked.
type tapper struct {
	Engine
	tap    Tap
	closed chan struct{}
}

func (e *tapper) Tap(TapOptions) (*Tap, error) { return &e.tap, nil }

// A tap ends with its client.
func TestTapEnds(t *testing.T) {
	lines := make(chan string)
	e := &tapper{closed: make(chan struct{})}
	e.tap = Tap{Lines: lines, Dropped: func() uint64 { return 0 }, Close: func() { close(e.closed) }}
	socket := t.TempDir() + "/socket"
	l, err := Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	go Serve(t.Context(), l, Handler(e))
	body, err := Open(t.Context(), socket, http.MethodGet, "/v1/tap?point=x")
	if err != nil {
		t.Fatal(err)
	}
	go func() { lines <- "hello" }()
	if err := ReadTap(body, func(l TapLine) bool {
		if l.Message == nil || *l.Message != "hello" {
			t.Errorf("got %+v", l)
		}
		return false
	}); err != nil {
		t.Error(err)
	}
	body.Close()
	select {
	case <-e.closed:
	case <-time.After(10 * time.Second):
		t.Error("the tap goes on without a client")
	}
}

// Bad questions are answered, in words.
func TestBadTap(t *testing.T) {
	socket := t.TempDir() + "/socket"
	l, err := Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	go Serve(t.Context(), l, Handler(&tapper{}))
	for _, rate := range []string{"-1", "10001", "x"} {
		if _, err := Ask(t.Context(), socket, http.MethodGet, "/v1/tap?rate="+rate); err == nil || !strings.HasPrefix(err.Error(), "rate: ") {
			t.Errorf("rate %s: %v", rate, err)
		}
	}
	if _, err := Listen(socket, "no-such-group"); err == nil || !strings.HasPrefix(err.Error(), "control_group: ") {
		t.Errorf("got %v", err)
	}
	if _, err := Listen(socket, ""); err == nil || !strings.HasSuffix(err.Error(), " is in use by another process") {
		t.Errorf("got %v", err)
	}
}
