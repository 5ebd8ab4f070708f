package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/relp"
	"kad/pkg/testneed"

	"golang.org/x/sys/unix"
)

func relpSource(t *testing.T, set func(r *RELP)) (Driver, string) {
	t.Helper()
	globals := option.Defaults()
	globals.KeepHostname = true
	r := newRELP(&globals).(*RELP)
	r.IP, r.Port = "127.0.0.1", testneed.Port(t)
	if set != nil {
		set(r)
	}
	return r, fmt.Sprintf("127.0.0.1:%d", r.Port)
}

// A relpClient talks to a source by hand.
type relpClient struct {
	t *testing.T
	net.Conn
	*relp.Client
	*relp.Reader
}

// openSession begins a session.
func openSession(t *testing.T, addr string) *relpClient {
	t.Helper()
	conn := dial(t, "tcp", addr)
	c := &relpClient{t, conn, relp.NewClient(1000), relp.NewReader(conn, 1000)}
	c.write(c.AppendOpen(nil))
	if err := c.Opened(c.frame()); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *relpClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// next waits for the next frame.
func (c *relpClient) next() (relp.Frame, error) {
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		f, ok, err := c.Next()
		if ok || err != nil {
			return f, err
		}
		if err := c.Fill(); err != nil {
			return f, err
		}
	}
}

func (c *relpClient) frame() relp.Frame {
	c.t.Helper()
	f, err := c.next()
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

// send sends messages with the numbers from and below to.
func (c *relpClient) send(from, to int) {
	c.t.Helper()
	var b []byte
	for i := from; i < to; i++ {
		b = c.AppendMessage(b, fmt.Appendf(nil, "%s%d", header, i))
	}
	c.write(b)
}

// wantAnswers waits until so many bytes are answered, or says that none are.
func (c *relpClient) wantAnswers(messages int) {
	c.t.Helper()
	for room := c.Room() + messages; c.Room() < room; {
		if _, err := c.Answered(c.frame()); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *relpClient) wantSilence() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 100)); n > 0 || err == nil {
		c.t.Fatalf("%d bytes and %v before the messages are safe", n, err)
	}
}

// wantEnd waits for the end of the connection; told says that the server says so before.
func (c *relpClient) wantEnd(told bool) {
	c.t.Helper()
	hint := false
	for {
		f, err := c.next()
		if err != nil {
			if hint != told || errors.Is(err, os.ErrDeadlineExceeded) {
				c.t.Fatalf("it ends with %v, told %t, want %t", err, hint, told)
			}
			return
		}
		_, err = c.Answered(f)
		hint = hint || errors.Is(err, relp.ErrServerClose)
	}
}

// A client that corks its connection, as rsyslog does, has to fill no more than a segment of Ethernet.
func TestRELPSegments(t *testing.T) {
	d, addr := relpSource(t, nil)
	run(t, d, "$MSG")
	raw, err := dial(t, "tcp", addr).(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	ctlErr := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err := errors.Join(ctlErr, err); err != nil {
		t.Fatal(err)
	}
	if info.Snd_mss > maxSegment {
		t.Errorf("a segment may have %d bytes", info.Snd_mss)
	}
}

func TestRELP(t *testing.T) {
	d, addr := relpSource(t, nil)
	s := run(t, d, "$MSG")
	c := openSession(t, addr)
	c.send(0, 500)
	c.wantAnswers(500)
	c.write(c.AppendMessage(nil, []byte(header+strings.Repeat("x", 100)+"\nsecond line")))
	c.wantAnswers(1)
	c.write(c.AppendClose(nil))
	if f := c.frame(); string(f.Command) != "rsp" || f.Txnr != 503 {
		t.Errorf("close is answered by %d %s %q", f.Txnr, f.Command, f.Data)
	}
	c.wantEnd(true)
	lines := s.wait(501)
	for i, line := range lines[:500] {
		if line != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, line)
		}
	}
}

// Both formats are understood: librelp's clients have the one, ours the other.
func TestRELPFormats(t *testing.T) {
	d, addr := relpSource(t, nil)
	s := run(t, d, "$PROGRAM $MSG")
	c := openSession(t, addr)
	c.write(c.AppendMessage(nil, []byte("<13>1 2026-10-11T22:14:15Z h a - - - one")))
	c.write(c.AppendMessage(nil, []byte("<13>2026-10-11T22:14:15.123456+00:00 h b: two")))
	c.wantAnswers(2)
	if got := strings.Join(s.wait(2), ","); got != "a one,b two" {
		t.Errorf("got %s", got)
	}
}

// An answer waits until the messages of its read are safe, and for those before it.
func TestRELPAnswersWhenSafe(t *testing.T) {
	d, addr := relpSource(t, nil)
	s := run(t, d, "$MSG")
	c := openSession(t, addr)
	s.hold.Store(true)
	c.send(0, 10)
	first := <-s.held
	c.send(10, 15)
	second := <-s.held
	c.wantSilence()
	second.Release()
	c.wantSilence()
	first.Release()
	c.wantAnswers(15)
}

// Messages that are lost are not answered: the client has to send them again.
func TestRELPLost(t *testing.T) {
	d, addr := relpSource(t, nil)
	s := run(t, d, "$MSG")
	c := openSession(t, addr)
	c.send(0, 3)
	c.wantAnswers(3)
	s.hold.Store(true)
	c.send(3, 5)
	(<-s.held).Lose()
	if f, err := c.next(); err == nil {
		t.Errorf("%d %s %q for messages that are lost", f.Txnr, f.Command, f.Data)
	}
}

// A source that stops answers what it has read as soon as that is safe, and tells its client that it goes.
func TestRELPStops(t *testing.T) {
	d, addr := relpSource(t, nil)
	s := run(t, d, "$MSG")
	c := openSession(t, addr)
	s.hold.Store(true)
	c.send(0, 10)
	receipt := <-s.held
	time.AfterFunc(50*time.Millisecond, receipt.Release)
	go s.stop()
	c.wantAnswers(10)
	c.wantEnd(true)
}

// A source that stops does not wait longer than it may.
func TestRELPStopsInTime(t *testing.T) {
	d, addr := relpSource(t, func(r *RELP) { r.leaveTimeout = 100 * time.Millisecond })
	s := run(t, d, "$MSG")
	c := openSession(t, addr)
	s.hold.Store(true)
	c.send(0, 10)
	<-s.held
	before := time.Now()
	s.stop()
	if took := time.Since(before); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A client that does not read its answers has no more read from it, at some time.
func TestRELPUnread(t *testing.T) {
	d, addr := relpSource(t, func(r *RELP) { r.ReceiveBuffer, r.SendBuffer, r.leaveTimeout = 4096, 4096, 100*time.Millisecond })
	s := run(t, d, "$MSG")
	s.hold.Store(true)
	go func() {
		for range s.held { // none is safe
		}
	}()
	c := openSession(t, addr)
	message := relp.Append(nil, 0, "hint", bytes.Repeat([]byte("x"), 100))
	b := []byte(nil)
	for i := range 200_000 {
		b = append(relp.Append(b, i+2, "syslog", nil), message...)
	}
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	if n, err := c.Write(b); err == nil {
		t.Errorf("%d bytes were taken from a client that has no answers", n)
	}
}

// What is not RELP ends the connection, and is counted.
func TestRELPBadStreams(t *testing.T) {
	const open = "1 open 14 relp_version=0\n"
	for _, test := range []struct {
		name, text string
		want       Counts
	}{
		{"other protocol", "GET / HTTP/1.1\r\n", Counts{FrameErrors: 1}},
		{"no open", "1 syslog 1 x\n", Counts{FrameErrors: 1}},
		{"gap", open + "3 syslog 1 x\n", Counts{FrameErrors: 1}},
		{"good, then bad", open + "2 syslog 4 <13>\n3 nonsense 0\n", Counts{FrameErrors: 1, Received: 1}},
		{"half a frame", open + "2 syslog 10 <13>", Counts{}},
		{"long message", open + "2 syslog 300 " + header + strings.Repeat("x", 300-len(header)) + "\n", Counts{Received: 1, Truncated: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, addr := relpSource(t, func(r *RELP) { r.LogMsgSize = 128 })
			s := run(t, d, "$MSG")
			c := dial(t, "tcp", addr)
			if _, err := io.WriteString(c, test.text); err != nil {
				t.Fatal(err)
			}
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, c) // until it closes
			s.stop()
			if got := s.in.Counts(); got != test.want {
				t.Errorf("counted %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestRELPOptions(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(r *RELP)
		want string
	}{
		{"udp", func(r *RELP) { r.Transport = "udp" }, `transport: transport "udp" is not possible for RELP, want tcp or tls`},
		{"framing", func(r *RELP) { r.Framing = "detect" }, "framing: RELP has its own"},
		{"no limit", func(r *RELP) { r.MaxConnections = 0 }, "max_connections: 0 is below the minimum 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, _ := relpSource(t, test.set)
			if err := d.Init(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
}
