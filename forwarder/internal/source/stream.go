package source

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"kad/pkg/syslog"
)

// How much is read at once. A connection that always has more waiting gets up to the greater size, which makes for larger
// batches and fewer wake-ups of the destinations.
const readSize, maxReadSize = 64 << 10, 256 << 10

// stream takes the messages of a byte stream through the log paths until it ends. A message that has no end yet is kept
// for the next read; at the end of the stream it is a message too, unless its length says otherwise.
func (r *reader) stream(conn io.Reader, f syslog.Framer) error {
	buf := make([]byte, max(readSize, f.BufferSize()))
	begin, end := 0, 0
	for {
		if begin > 0 && len(buf)-end < len(buf)/2 {
			end = copy(buf, buf[begin:end])
			begin = 0
		}
		n, err := conn.Read(buf[end:])
		end += n
		full := end == len(buf)
		r.begin()
		used, frameErr := r.frames(&f, buf[begin:end])
		if begin += used; begin == end {
			begin, end = 0, 0
		}
		if err != nil && frameErr == nil {
			if last := f.Last(buf[begin:end]); len(last) > 0 && errors.Is(err, io.EOF) {
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
		if full && len(buf) < maxReadSize {
			larger := make([]byte, 2*len(buf))
			begin, end, buf = 0, copy(larger, buf[begin:end]), larger
		}
	}
}

// frames handles all whole frames in b and returns how many bytes they had.
func (r *reader) frames(f *syslog.Framer, b []byte) (used int, err error) {
	for used < len(b) {
		msg, n, err := f.Next(b[used:])
		used += n
		if err != nil {
			return used, err
		}
		if msg == nil {
			break
		}
		r.handle(msg)
	}
	return used, nil
}

// A listener accepts connections, each of which has a goroutine.
type listener struct {
	*Input
	net.Listener
	framer      syslog.Framer
	limit       int // connections
	idleTimeout time.Duration
}

// Run accepts until ctx ends. Connections that are open then have what they sent so far read.
func (l *listener) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Listener.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // it comes too late
			}
			return nil
		case err != nil:
			l.Logger.Warn("connection is not accepted", "error", err)
			time.Sleep(100 * time.Millisecond) // too many open files: it gets better by itself
			continue
		}
		if n := l.connections.Add(1); n > int64(l.limit) {
			l.connections.Add(-1)
			_ = conn.Close() // that is the refusal; it comes first, since the address of a proxied one would have to be read
			l.Logger.Warn("connection refused, there are too many", "peer", conn.RemoteAddr().String(), "max_connections", l.limit)
			continue
		}
		wg.Go(func() {
			defer l.connections.Add(-1)
			l.serve(ctx, conn)
		})
	}
}

// lastRead is how long a connection is still read when its source stops: what it has sent so far is there.
const lastRead = 50 * time.Millisecond

func (l *listener) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now().Add(lastRead)) })
	defer stop()
	r := l.newReader()
	defer r.end()
	r.origin = l.origin(addrPort(conn.RemoteAddr()), addrPort(conn.LocalAddr()))
	var reader io.Reader = conn
	if l.idleTimeout > 0 {
		reader = idle{conn, ctx, l.idleTimeout}
	}
	err := r.stream(reader, l.framer)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		l.Logger.Warn("connection closed", "peer", conn.RemoteAddr().String(), "error", err)
	}
}

// idle reads with a deadline, until ctx ends.
type idle struct {
	net.Conn
	ctx     context.Context
	timeout time.Duration
}

func (i idle) Read(b []byte) (int, error) {
	if i.ctx.Err() == nil {
		if err := i.SetReadDeadline(time.Now().Add(i.timeout)); err != nil {
			return 0, err
		}
		if i.ctx.Err() != nil { // ours is in the place of the last one
			if err := i.SetReadDeadline(time.Now().Add(lastRead)); err != nil {
				return 0, err
			}
		}
	}
	return i.Conn.Read(b)
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
