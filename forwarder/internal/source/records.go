package source

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/pires/go-proxyproto"
)

// records is the TCP connection below TLS. Once it fills a buffer, TLS reads the socket without waiting for more than the first record,
// so that all records that have come are handled together.
type records struct {
	*net.TCPConn
	secure *tls.Conn
	into   *buffer // nil: TLS reads as it likes

	raw   syscall.RawConn
	try   func(fd uintptr) bool
	waits bool // for the first record
	first [1]byte

	room  []byte // of TLS
	count int
	err   error
}

// recordsOf is what is below c, nil if it did not come from a recordListener.
func recordsOf(c *tls.Conn) *records {
	below := c.NetConn()
	if p, ok := below.(*proxyproto.Conn); ok {
		below = p.Raw()
	}
	r, ok := below.(*records)
	if !ok {
		return nil
	}
	r.secure, r.try = c, r.receive
	r.raw, _ = r.SyscallConn() // an open connection has one
	return r
}

// NetConn is the connection that is below.
func (r *records) NetConn() net.Conn { return r.TCPConn }

// fill has TLS decrypt what there is, or waits for it. The first byte is read by itself: b has no memory while TLS waits.
func (r *records) fill(b *buffer) (n int, err error) {
	r.into, r.waits = b, true
	if n, err = r.secure.Read(r.first[:]); n == 0 {
		return 0, err
	}
	r.waits = false
	room := b.room()
	room[0] = r.first[0]
	for n < len(room) && err == nil {
		var more int
		more, err = r.secure.Read(room[n:])
		n += more
	}
	b.end += n
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

// Read is for TLS. EAGAIN, as a deadline that is over, is an error after which it goes on with its record.
func (r *records) Read(b []byte) (int, error) {
	if r.into == nil {
		return r.TCPConn.Read(b)
	}
	r.room, r.count, r.err = b, 0, nil
	if err := r.raw.Read(r.try); err != nil {
		return 0, err
	}
	return r.count, r.err
}

// receive takes what the socket has. If that is nothing it tells whether it has to be waited for.
func (r *records) receive(fd uintptr) bool {
	r.count, r.err = receive(fd, r.room)
	if r.waits && errors.Is(r.err, syscall.EAGAIN) {
		r.into.rest()
		return false
	}
	return true
}

// A recordListener accepts connections for TLS.
type recordListener struct{ net.Listener }

// Accept waits for the next one.
func (l recordListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		return &records{TCPConn: tcp}, nil
	}
	return c, err
}
