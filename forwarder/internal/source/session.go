package source

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"kad/forwarder/internal/rawsocket"
	"kad/pkg/vip"

	"github.com/pires/go-proxyproto"
	"golang.org/x/sys/unix"
)

// A session is a connection that is read until its context ends, and then as follows: the client is told that we send no
// more, which has it connect anew, and what it has sent is read, until it closes, or is quiet, or the limit is over. A client
// that sees the end of the stream and closes loses nothing; nor does one that pauses before it sends more.
type session struct {
	net.Conn
	ctx   context.Context
	idle  time.Duration // a silent connection ends; 0: never
	limit time.Duration // after the end of ctx
	vip   *vip.Holding  // of the address that it came to, if it moves

	last time.Time // when the limit is over

	records *records // nil: there is no TLS, or no socket below it

	raw   syscall.RawConn // nil: the connection is read as such
	try   func(fd uintptr) bool
	into  *buffer
	count int
	err   error
}

func newSession(ctx context.Context, conn net.Conn) *session {
	s := &session{Conn: conn, ctx: ctx}
	switch c := conn.(type) {
	case *net.TCPConn:
		s.raw, _ = c.SyscallConn() // an open connection has one
	case *net.UnixConn:
		s.raw, _ = c.SyscallConn()
	case *tls.Conn:
		s.records = recordsOf(c)
	}
	return s
}

// quiet is how long nothing must come until a client that does not close has sent all it had under way: more than a lost
// segment takes to be sent again (RFC 6298 wants a second at least, Linux 200 ms).
const quiet = 500 * time.Millisecond

// oversleep is how late a read may end and still tell that nothing came: after a stall of the machine it ends without having
// looked.
const oversleep = 100 * time.Millisecond

// leave tells the client, and wakes its reader.
func (s *session) leave() {
	if s.vip != nil && !s.vip.Held() {
		setTransparent(s.Conn)
	}
	closeWrite(s.Conn)
	_ = s.SetReadDeadline(time.Now()) // the reader sets the next one
}

// fill reads with the deadline that the state of the session asks for.
func (s *session) fill(b *buffer) (int, error) {
	s.into = b
	for {
		left := s.ctx.Err() != nil
		deadline := s.deadline(left)
		if !deadline.IsZero() {
			if err := s.SetReadDeadline(deadline); err != nil {
				return 0, err
			}
		}
		if !left && s.ctx.Err() != nil { // our deadline may be in the place of the one that wakes us
			continue
		}
		n, err := s.read()
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || s.isOver(deadline) {
			return n, err
		}
	}
}

// read reads what there is, or waits for it.
func (s *session) read() (n int, err error) {
	if s.records != nil {
		return s.records.fill(s.into)
	}
	if s.raw == nil {
		n, err = s.Conn.Read(s.into.room())
		s.into.end += n
		return n, err
	}
	if s.try == nil {
		s.try = s.receive
	}
	s.count, s.err = 0, nil
	if err := s.raw.Read(s.try); err != nil {
		return 0, err
	}
	return s.count, s.err
}

// receive takes what the socket has. If that is nothing it tells that it has to be waited for.
func (s *session) receive(fd uintptr) bool {
	s.count, s.err = receive(fd, s.into.room())
	if errors.Is(s.err, syscall.EAGAIN) {
		s.into.rest()
		return false
	}
	s.into.end += s.count
	return true
}

// receive takes what the socket has. EAGAIN is bare: to TLS it is a temporary error then.
func receive(fd uintptr, b []byte) (n int, err error) {
	switch n, err = rawsocket.Receive(fd, b); {
	case err == nil && n == 0:
		err = io.EOF
	case err != nil && !errors.Is(err, syscall.EAGAIN):
		err = os.NewSyscallError("read", err)
	}
	return n, err
}

// isOver reports whether a read has waited until deadline, neither woken before nor, unless the limit is over, much too late.
func (s *session) isOver(deadline time.Time) bool {
	late := time.Since(deadline)
	return !deadline.IsZero() && late >= 0 && (late < oversleep || deadline.Equal(s.last))
}

// deadline is that of the next read, zero for none.
func (s *session) deadline(left bool) time.Time {
	switch {
	case !left && s.idle == 0:
		return time.Time{}
	case !left:
		return time.Now().Add(s.idle)
	case s.last.IsZero():
		s.last = time.Now().Add(s.limit)
	}
	if next := time.Now().Add(quiet); next.Before(s.last) {
		return next
	}
	return s.last
}

// closeWrite ends the direction in which we say nothing.
func closeWrite(c net.Conn) {
	switch c := c.(type) {
	case *proxyproto.Conn:
		closeWrite(c.Raw())
	case interface{ CloseWrite() error }:
		_ = c.CloseWrite() // the client has gone, or has not come so far
	}
}

// setTransparent lets a connection send from an address that this host has lost: its client would hear of the end only when
// it sends to the next holder. Without CAP_NET_RAW it stays so.
func setTransparent(c net.Conn) {
	switch c := c.(type) {
	case *proxyproto.Conn:
		setTransparent(c.Raw())
	case interface{ NetConn() net.Conn }: // of TLS
		setTransparent(c.NetConn())
	case *net.TCPConn:
		raw, err := c.SyscallConn()
		if err != nil {
			return
		}
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1) // see above
		})
	}
}

// sessions are those of one listener. They leave together.
type sessions struct {
	parent context.Context

	mu      sync.Mutex // guards what follows
	current context.Context
	cancel  context.CancelFunc
	open    map[*session]struct{} // of current, but for those that are silent

	silent *silent
}

func newSessions(ctx context.Context) *sessions {
	s := &sessions{parent: ctx}
	s.begin()
	return s
}

func (s *sessions) begin() {
	s.current, s.cancel = context.WithCancel(s.parent)
	s.open = map[*session]struct{}{}
}

// context is that of a session which begins now.
func (s *sessions) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// add has a session leave when its context ends. That costs less than context.AfterFunc.
func (s *sessions) add(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.ctx == s.current {
		s.open[one] = struct{}{}
	} else {
		go one.leave()
	}
}

// remove forgets a session that has ended.
func (s *sessions) remove(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, one)
}

// leave ends the sessions that have begun.
func (s *sessions) leave() {
	s.mu.Lock()
	s.cancel()
	for one := range s.open {
		go one.leave()
	}
	s.begin()
	s.mu.Unlock()
	s.silent.wake() // they learn by their context that they are to leave
}
