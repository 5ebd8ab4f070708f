package source

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"kad/pkg/syslog"
	"kad/pkg/vip"

	"golang.org/x/sys/unix"
)

// stream takes the messages of a byte stream through the log paths until it ends. A message that has no end yet is kept
// for the next read; at the end of the stream it is a message too, unless its length says otherwise.
func (r *reader) stream(conn io.Reader, f syslog.Framer) error {
	f.KeepEnd = true
	b := buffer{needed: f.BufferSize()}
	defer b.give()
	for {
		b.copies = r.copies
		_, err := b.fill(conn)
		r.parser.KeepLine = f.Framing == syslog.Newline
		r.begin()
		used, frameErr := r.frames(&f, b.bytes())
		b.use(used)
		if err != nil && frameErr == nil {
			if last := f.Last(b.bytes()); len(last) > 0 && errors.Is(err, io.EOF) {
				r.handle(last)
			}
		}
		r.flush()
		switch {
		case frameErr != nil:
			return frameErr
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// frames handles all whole frames in b and returns how many bytes they had.
func (r *reader) frames(f *syslog.Framer, b []byte) (used int, err error) {
	before := f.Cut
	begin := 0 // of r.lines
	for used < len(b) {
		msg, n, frameErr := f.Next(b[used:])
		used += n
		if err = frameErr; msg == nil {
			break
		}
		plain := r.passes && r.parser.IsPlain(msg, r.now)
		if !plain || n > len(msg) { // or an empty line was before it
			r.pass(b[begin:])
		}
		switch {
		case !plain:
			r.handle(msg)
			continue
		case len(r.lines) == 0:
			begin = used - len(msg)
		}
		r.lines = append(r.lines, used-begin)
	}
	r.pass(b[begin:])
	r.counts.truncated += f.Cut - before
	return used, err
}

// A listener accepts connections, each of which has a goroutine as soon as its client says something.
type listener struct {
	*Input
	net.Listener
	framer      syslog.Framer
	limit       int // connections
	relp        bool
	idleTimeout time.Duration
	vip         *vip.Holding // connections end when this host loses it; nil: they do not
}

// Run accepts until ctx ends. Connections that are open then are left as their session says, when nobody can connect anew to us any
// more: a client that we leave does so at once, and what it sends would be lost with the socket.
func (l *listener) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	sessions := newSessions(context.WithoutCancel(ctx))
	serve := func(s *session) {
		wg.Go(func() {
			defer l.connections.Add(-1)
			l.serve(s, sessions)
		})
	}
	sessions.silent = newSilent(serve)
	wg.Go(sessions.silent.run)
	defer sessions.silent.close()
	defer sessions.leave()
	defer l.Listener.Close()
	defer context.AfterFunc(ctx, func() { _ = l.setDeadline(time.Now()) })()
	l.awaitBefore()
	if l.vip != nil {
		defer l.vip.OnLoss(sessions.leave)()
	}
	for {
		conn, err := l.Accept()
		switch {
		case err != nil && ctx.Err() != nil:
			if !l.isAwaited() || l.setDeadline(time.Now().Add(lastAccept)) != nil {
				return nil
			}
			continue
		case err != nil:
			l.tell(&l.onsets.accept, "connection is not accepted", "error", err)
			time.Sleep(100 * time.Millisecond) // too many open files: it gets better by itself
			continue
		}
		if n := l.connections.Add(1); n > int64(l.limit) {
			l.connections.Add(-1)
			l.refused.Add(1)
			_ = conn.Close() // that is the refusal; it comes first, since the address of a proxied one would have to be read
			l.tell(&l.onsets.refused, "connections are refused, there are too many", "peer", conn.RemoteAddr().String(), "max_connections", l.limit)
			continue
		}
		s := newSession(sessions.context(), conn)
		s.idle, s.limit, s.vip = l.idleTimeout, l.options.leaveTimeout, l.vip
		if l.relp || !sessions.silent.add(s) {
			serve(s)
		}
	}
}

// orderTimeout is how long those who connect to a source that takes the place of another one wait for that one to end.
const orderTimeout = time.Second

// awaitBefore lets the source before read all that its clients have sent, before what they send over a new connection.
func (l *listener) awaitBefore() {
	if l.Before == nil {
		return
	}
	select {
	case <-l.Before:
	case <-time.After(orderTimeout):
	}
}

// lastAccept is how long accepting a connection may take that waits already when the source stops.
const lastAccept = 10 * time.Millisecond

func (l *listener) setDeadline(t time.Time) error {
	return l.open[0].(interface{ SetDeadline(t time.Time) error }).SetDeadline(t)
}

// isAwaited tells whether a client waits to be accepted, by us: those of a socket that is handed over are the next source's.
func (l *listener) isAwaited() (awaited bool) {
	if l.handedOver.Load() {
		return false
	}
	raw, err := l.open[0].SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		awaited = err == nil && n > 0
	}) // of an open socket
	return awaited
}

// handshakeTimeout is how long a client may take for its TLS handshake.
const handshakeTimeout = 10 * time.Second

// serve reads a connection to its end, or until it is quiet after its session has left.
func (l *listener) serve(s *session, all *sessions) {
	defer s.Close()
	if !l.isGreeted(s) {
		return
	}
	if l.relp {
		l.serveRELP(s.ctx, s.Conn)
		return
	}
	all.add(s)
	defer all.remove(s)
	l.explain(s, l.read(s))
}

// isGreeted does what comes before messages.
func (l *listener) isGreeted(s *session) bool {
	peer := s.RemoteAddr() // of a proxied one it reads the header, which has a timeout of its own
	err := handshake(s.ctx, s.Conn)
	if err != nil && s.ctx.Err() == nil {
		l.tlsErrors.Add(1)
		l.tell(&l.onsets.tls, "TLS handshake failed", "peer", peer.String(), "error", err)
	}
	return err == nil
}

func (l *listener) read(s *session) error {
	r := l.newConnReader(s.Conn)
	defer r.end()
	return r.stream(s, l.framer)
}

// explain tells of a connection that does not end as it should.
func (l *listener) explain(s *session, err error) {
	switch {
	case err == nil || errors.Is(err, os.ErrDeadlineExceeded):
	case isFrameError(err):
		l.frameErrors.Add(1)
		l.tell(&l.onsets.frame, "connection closed, its frames cannot be told apart", "peer", s.RemoteAddr().String(), "error", err)
	default:
		l.tell(&l.onsets.read, "connection closed", "peer", s.RemoteAddr().String(), "error", err)
	}
}

func isFrameError(err error) bool {
	_, ok := errors.AsType[*syslog.FrameError](err)
	return ok
}

// handshake has a goroutine of its own for TLS: the stack that this takes is not needed afterwards.
func handshake(ctx context.Context, conn net.Conn) error {
	t, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- t.HandshakeContext(ctx) }()
	return <-done
}

func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort()
	case *net.UDPAddr:
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
