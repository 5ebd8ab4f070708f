package loadgen

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// A link is a connection to one server.
type link interface {
	isDatagram() bool
	isBare() bool // messages have no framing
	// write sends a batch, after which the number of the next message is next.
	write(batch []byte, next int64) error
	// wait lets time pass; its error tells that the server has gone meanwhile.
	wait(time.Duration) error
	// finish waits until all is acknowledged.
	finish() error
	// close returns the number of the first message that is not acknowledged; failed is why it ends, nil if all is.
	close(failed error) (next int64)
}

var (
	errClosed   = errors.New("the server has closed the connection")
	errNotTaken = errors.New("the server does not acknowledge what it is sent")
)

// pollPause is the time between two looks at what is acknowledged.
const pollPause = time.Millisecond

// closeGrace is how long a server that has closed its side may read what is on its way.
const closeGrace = 2 * time.Second

// dial connects to a server.
func (c *client) dial(server Address) (link, error) {
	conn, err := net.DialTimeout(server.network(), server.Address, c.Timeout)
	if err != nil {
		return nil, err
	}
	var l link
	switch {
	case server.isDatagram():
		return &packets{conn: conn, timeout: c.Timeout, next: c.next}, nil
	case server.isRELP():
		l, err = c.dialRELP(conn, server)
	default:
		l, err = c.dialStream(conn, server)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return l, nil
}

func (c *client) dialRELP(conn net.Conn, server Address) (link, error) {
	err := setUserTimeout(conn.(*net.TCPConn), c.Timeout)
	if err != nil {
		return nil, err
	}
	if server.isTLS() {
		if conn, err = handshake(conn, c.tls, server.Address, c.Timeout); err != nil {
			return nil, err
		}
	}
	return c.openSession(conn)
}

func (c *client) dialStream(conn net.Conn, server Address) (link, error) {
	s := &stream{conn: conn, timeout: c.Timeout, first: c.next, size: c.frameSize(), gone: make(chan error, 1)}
	if s.tcp, _ = conn.(*net.TCPConn); s.tcp != nil {
		if err := setUserTimeout(s.tcp, c.Timeout); err != nil {
			return nil, err
		}
	}
	if server.isTLS() {
		var err error
		s.records = &counter{Conn: conn}
		if s.conn, err = handshake(s.records, c.tls, server.Address, c.Timeout); err != nil {
			return nil, err
		}
	}
	go s.watch()
	return s, nil
}

// setUserTimeout lets a connection fail whose peer is silent while something is on its way (tcp(7), TCP_USER_TIMEOUT).
func setUserTimeout(conn *net.TCPConn, timeout time.Duration) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
	})
	return errors.Join(err, failed)
}

// A stream is a connection over TCP, with TLS or without, or over a unix socket.
type stream struct {
	conn    net.Conn
	tcp     *net.TCPConn // below conn; nil for a unix socket
	timeout time.Duration
	gone    chan error // why reading has ended

	first   int64 // number of the first message
	size    int64 // of each message with its framing
	written int64 // bytes of messages

	records *counter  // below TLS; nil without
	marks   []tlsMark // of batches that are not acknowledged
}

// A tlsMark says that so many bytes of TLS carry all messages before next.
type tlsMark struct{ record, next int64 }

// A counter counts what TLS writes.
type counter struct {
	net.Conn
	written int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written += int64(n)
	return n, err
}

func handshake(conn net.Conn, config *tls.Config, address string, timeout time.Duration) (net.Conn, error) {
	config = config.Clone()
	config.ServerName, _, _ = net.SplitHostPort(address) // was checked when it was read
	secure := tls.Client(conn, config)
	_ = secure.SetDeadline(time.Now().Add(timeout)) // of an open socket, as below
	if err := secure.Handshake(); err != nil {
		return nil, err
	}
	_ = secure.SetDeadline(time.Time{})
	return secure, nil
}

func (s *stream) isDatagram() bool { return false }
func (s *stream) isBare() bool     { return false }

// watch reads until the server has gone: it does not talk.
func (s *stream) watch() {
	_, err := io.Copy(io.Discard, s.conn)
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) { // a FIN without TLS's own end
		err = errClosed
	}
	s.gone <- err
}

func (s *stream) write(batch []byte, next int64) error {
	select {
	case err := <-s.gone:
		return err
	default:
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
	n, err := s.conn.Write(batch)
	s.written += int64(n)
	if s.records == nil || err != nil {
		return err
	}
	s.marks = append(s.marks, tlsMark{s.records.written, next})
	if len(s.marks) == cap(s.marks) {
		s.arrived()
	}
	return nil
}

func (s *stream) wait(pause time.Duration) error {
	select {
	case err := <-s.gone:
		return err
	case <-time.After(pause):
		return nil
	}
}

// arrived returns the number of the first message that the server's kernel does not have.
func (s *stream) arrived() int64 {
	if s.tcp == nil {
		return s.first + s.written/s.size
	}
	acked := s.acknowledged()
	if s.records == nil {
		return s.first + min(acked, s.written)/s.size
	}
	n := 0
	for n < len(s.marks) && s.marks[n].record <= acked {
		s.first = s.marks[n].next
		n++
	}
	s.marks = append(s.marks[:0], s.marks[n:]...)
	return s.first
}

// acknowledged is how many bytes the server's kernel has acknowledged. It can be asked until the socket is closed, also after a
// reset.
func (s *stream) acknowledged() int64 {
	raw, err := s.tcp.SyscallConn()
	if err != nil {
		return 0
	}
	acked := int64(0)
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			acked = max(0, int64(info.Bytes_acked)-1) // the SYN is counted
		}
	}) // of a closed socket: nothing is known to have arrived
	return acked
}

// allArrived tells whether the server's kernel has all that was written.
func (s *stream) allArrived() bool {
	if s.records != nil {
		s.arrived()
		return len(s.marks) == 0
	}
	return s.arrived() == s.first+s.written/s.size
}

func (s *stream) finish() error {
	for deadline := time.Now().Add(s.timeout); !s.allArrived(); {
		if time.Now().After(deadline) {
			return errNotTaken
		}
		if err := s.wait(pollPause); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) close(failed error) int64 {
	if errors.Is(failed, errClosed) {
		s.leave()
	}
	next := s.arrived()
	if s.tcp != nil && !s.allArrived() {
		_ = s.tcp.SetLinger(0) // else the kernel would go on
	}
	_ = s.conn.Close() // all is acknowledged, or known to be not
	return next
}

// leave answers a server that has closed its side: it may still read what is on its way, or reset the connection.
func (s *stream) leave() {
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // else it has been reset
	}
	for deadline := time.Now().Add(closeGrace); !s.allArrived() && time.Now().Before(deadline) && s.isOpen(); {
		time.Sleep(pollPause)
	}
}

// isOpen tells whether the connection was not reset.
func (s *stream) isOpen() bool {
	if s.tcp == nil {
		return false
	}
	raw, err := s.tcp.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		open = err == nil && info.State != unix.BPF_TCP_CLOSE
	})
	return open
}

// Packets are messages in datagrams, which nobody acknowledges.
type packets struct {
	conn    net.Conn
	timeout time.Duration
	next    int64
}

func (p *packets) isDatagram() bool { return true }
func (p *packets) isBare() bool     { return true }

func (p *packets) write(batch []byte, next int64) error {
	_ = p.conn.SetWriteDeadline(time.Now().Add(p.timeout)) // of an open socket
	if _, err := p.conn.Write(batch); err != nil {
		return err
	}
	p.next = next
	return nil
}

func (p *packets) wait(pause time.Duration) error {
	time.Sleep(pause)
	return nil
}

func (p *packets) finish() error { return nil }

func (p *packets) close(error) int64 {
	_ = p.conn.Close() // nothing is on its way
	return p.next
}
