package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kad/forwarder/internal/option"
)

const header = "<13>Oct 11 22:14:15 h a: "

func dial(t *testing.T, kind, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(kind, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A source that stops tells its clients by the end of the stream, and has all that a client sends until it closes: one that
// sends on and on, longer than a pause, and one that had not been accepted yet.
func TestStopReadsAll(t *testing.T) {
	d, addr := network(t, "network", func(n *Network) { n.leaveTimeout = time.Minute })
	s := run(t, d, "$MSG")
	busy := dial(t, "tcp", addr)
	if _, err := fmt.Fprintln(busy, header+"first"); err != nil {
		t.Fatal(err)
	}
	s.wait(1)
	late := dial(t, "tcp", addr)
	sent := make(chan int)
	go func() { sent <- sendUntilTold(busy, 2*quiet) }()
	if _, err := fmt.Fprintln(late, header+"late"); err != nil {
		t.Fatal(err)
	}
	s.stop()
	want := 2 + <-sent
	if got := s.wait(want); len(got) != want {
		t.Errorf("got %d messages, want %d", len(got), want)
	}
	if c := s.in.Counts(); c.Received != uint64(want) || c.Connections != 0 {
		t.Errorf("counted %+v, want %d messages", c, want)
	}
}

// sendUntilTold sends lines until the server has ended the stream and some time more, closes, and returns how many it sent.
func sendUntilTold(c net.Conn, more time.Duration) (lines int) {
	told := make(chan struct{})
	go func() {
		_, _ = c.Read(make([]byte, 1)) // its end is what counts
		close(told)
	}()
	var end <-chan time.Time
	for {
		select {
		case <-told:
			told, end = nil, time.After(more)
		case <-end:
			_ = c.Close()
			return lines
		case <-time.After(time.Millisecond):
		}
		if _, err := fmt.Fprintln(c, header+"on and on"); err != nil {
			return lines
		}
		lines++
	}
}

// Clients that connect anew as soon as they are told that the source stops find nobody, and not somebody who has them send what he
// does not read any more.
func TestStopRefusesAnew(t *testing.T) {
	d, addr := network(t, "network", func(n *Network) { n.MaxConnections, n.leaveTimeout = 1000, time.Minute })
	s := run(t, d, "$MSG")
	const clients = 20
	sent := make(chan int)
	for range clients {
		go func() {
			lines := 0
			for c, err := net.Dial("tcp", addr); err == nil; c, err = net.Dial("tcp", addr) {
				if _, err := fmt.Fprintln(c, header+"one"); err == nil {
					lines++
				}
				_, _ = c.Read(make([]byte, 1)) // its end is what counts
				_ = c.Close()
			}
			sent <- lines
		}()
	}
	s.wait(clients)
	s.stop()
	want := 0
	for range clients {
		want += <-sent
	}
	if got := s.wait(want); len(got) != want {
		t.Errorf("got %d messages, want %d", len(got), want)
	}
}

// A client that never closes and never stops holds a source up no longer than the limit.
func TestStopDespiteClient(t *testing.T) {
	d, addr := network(t, "network", func(n *Network) { n.leaveTimeout = 300 * time.Millisecond })
	s := run(t, d, "$MSG")
	go func(c net.Conn) {
		for {
			if _, err := fmt.Fprintln(c, header+"on and on"); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}(dial(t, "tcp", addr))
	s.wait(1)
	before := time.Now()
	s.stop()
	if took := time.Since(before); took > time.Minute/2 {
		t.Errorf("the source stopped after %v", took)
	}
}

// stalling is a connection on a machine that stalls before its first read.
type stalling struct {
	net.Conn
	once sync.Once
}

func (c *stalling) Read(b []byte) (int, error) {
	c.once.Do(func() { time.Sleep(2 * time.Second) })
	return c.Conn.Read(b)
}

// What came while the machine stalled is read, however long a session has been silent by then.
func TestStallLosesNothing(t *testing.T) {
	left, leave := context.WithCancel(t.Context())
	leave()
	for name, s := range map[string]*session{
		"left": {ctx: left, limit: time.Minute},
		"idle": {ctx: t.Context(), idle: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				s.Conn = &stalling{Conn: server}
				go func() { _, _ = io.WriteString(client, "late") }()
				b := buffer{needed: 64}
				defer b.give()
				if _, err := s.fill(&b); string(b.bytes()) != "late" || err != nil {
					t.Errorf("read %q, %v", b.bytes(), err)
				}
				if n, err := s.fill(&b); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("read %d bytes, %v when nothing comes", n, err)
				}
			})
		})
	}
}

func TestIdleTimeout(t *testing.T) {
	d, addr := network(t, "network", func(n *Network) { n.IdleTimeout = option.Duration(20 * time.Millisecond) })
	got := start(t, d, "$MSG")
	c := dial(t, "tcp", addr)
	if _, err := fmt.Fprintln(c, header+"one"); err != nil {
		t.Fatal(err)
	}
	got.wait(1)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("an idle connection ends with %v, want EOF", err)
	}
}

// A client that has said nothing yet has no goroutine and no reader; it is told that the source stops, and may still say something
// then.
func TestSilentClients(t *testing.T) {
	const clients = 200
	d, addr := network(t, "network", func(n *Network) { n.MaxConnections, n.leaveTimeout = clients, time.Minute })
	s := run(t, d, "$MSG")
	before := runtime.NumGoroutine()
	var conns []net.Conn
	for range clients {
		conns = append(conns, dial(t, "tcp", addr))
	}
	until(t, func() bool { return s.in.Counts().Connections == clients })
	if more := runtime.NumGoroutine() - before; more > clients/10 || s.readers() > 0 {
		t.Errorf("%d more goroutines, %d readers", more, s.readers())
	}
	if _, err := fmt.Fprintln(conns[0], header+"first words"); err != nil {
		t.Fatal(err)
	}
	s.wait(1)
	if s.readers() != 1 {
		t.Errorf("%d readers for one that speaks", s.readers())
	}
	_ = conns[1].Close()
	until(t, func() bool { return s.in.Counts().Connections == clients-1 })
	go func() {
		for _, c := range conns {
			_, _ = c.Read(make([]byte, 1)) // its end is what counts
			_, _ = fmt.Fprintln(c, header+"last words")
			_ = c.Close()
		}
	}()
	s.stop()
	if got := s.wait(clients); len(got) != clients {
		t.Errorf("got %d messages, want %d", len(got), clients)
	}
}

// readers are those that there are now.
func (s *running) readers() int {
	s.in.readers.mu.Lock()
	defer s.in.readers.mu.Unlock()
	return len(s.in.readers.list)
}

// until waits for a condition.
func until(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come so far")
		}
	}
}

// What the kernel has received when the source stops is read.
func TestStopReadsDatagrams(t *testing.T) {
	d, addr := network(t, "network", func(n *Network) { n.Transport, n.ReceiveBuffer = "udp", 4<<20 })
	s := run(t, d, "$MSG")
	s.mu.Lock() // holds the reader up at the first one
	c := dial(t, "udp", addr)
	const n = 200
	for range n {
		if _, err := io.WriteString(c, header+"one"); err != nil {
			t.Fatal(err)
		}
	}
	time.AfterFunc(50*time.Millisecond, s.mu.Unlock) // while it stops
	s.stop()
	if got := s.wait(n); len(got) != n {
		t.Errorf("got %d messages, want %d", len(got), n)
	}
}

func TestKernelDrops(t *testing.T) {
	d, addr := network(t, "network", func(n *Network) { n.Transport, n.ReceiveBuffer = "udp", 4096 })
	s := run(t, d, "$MSG")
	s.mu.Lock() // holds the reader up at the first one
	c := dial(t, "udp", addr)
	const n = 1000
	for range n {
		if _, err := io.WriteString(c, header+"one"); err != nil {
			t.Fatal(err)
		}
	}
	drops := s.in.Counts().KernelDrops
	s.mu.Unlock()
	s.stop()
	if got := len(s.wait(0)); drops == 0 || got+int(drops) != n {
		t.Errorf("got %d messages and %d drops, want %d in all, and some drops", got, drops, n)
	}
	if after := s.in.Counts().KernelDrops; after != drops {
		t.Errorf("%d drops when the socket is closed, want %d", after, drops)
	}
}

// The reasons why a stream cannot be read on, or is not read as sent, are counted.
func TestBadStreams(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, test := range []struct {
		name, kind, text string
		want             Counts
	}{
		{"no length", "syslog", "x", Counts{FrameErrors: 1}},
		{"wrong length", "syslog", "5 <13>1x", Counts{FrameErrors: 1, Received: 1, ParseErrors: 1}},
		{"huge length", "syslog", "4294967296 <13>", Counts{FrameErrors: 1}},
		{"half a frame", "syslog", "100 <13>1 - - - - - - x", Counts{}},
		{"garbage", "syslog", "5 \x00\xff\xfe<>", Counts{Received: 1}},
		{"long line", "network", header + long + "\n", Counts{Received: 3, Truncated: 2}},
		{"half a line", "network", header + "x", Counts{Received: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, addr := network(t, test.kind, func(n *Network) { n.LogMsgSize = 128 })
			s := run(t, d, "$MSG")
			c := dial(t, "tcp", addr)
			if _, err := io.WriteString(c, test.text); err != nil {
				t.Fatal(err)
			}
			_ = c.(*net.TCPConn).CloseWrite()
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection stays open")
			}
			s.stop()
			if got := s.in.Counts(); got != test.want {
				t.Errorf("counted %+v, want %+v", got, test.want)
			}
		})
	}
}

// A datagram that is longer than log_msg_size is cut and counted.
func TestLongDatagram(t *testing.T) {
	d, addr := network(t, "network", func(n *Network) { n.Transport, n.LogMsgSize = "udp", 64 })
	s := run(t, d, "$MSG")
	send(t, "udp", addr, header+strings.Repeat("x", 100))
	if got, want := s.wait(1), strings.Repeat("x", 64-len(header)); len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.stop()
	if c := s.in.Counts(); c.Truncated != 1 {
		t.Errorf("counted %+v", c)
	}
}
