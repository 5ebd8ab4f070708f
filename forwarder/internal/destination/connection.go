package destination

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"kad/forwarder/internal/rawsocket"
	"kad/forwarder/internal/relp"

	"golang.org/x/sys/unix"
)

// maxRecord is the plaintext of a TLS record (RFC 8446, section 5.1).
const maxRecord = 16384

// resetGrace is how long after the one sign that a server has gone the other one comes.
const resetGrace = 100 * time.Millisecond

// A counter is the TCP connection below TLS. After the handshake it gathers records to write them at once.
type counter struct {
	*net.TCPConn
	mu      sync.Mutex // guards what follows: TLS answers key updates when it reads
	gather  bool
	records []byte
	spare   []byte // that was taken before
	written int64
}

// Write takes a record.
func (c *counter) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written += int64(len(b))
	if !c.gather {
		return c.TCPConn.Write(b)
	}
	c.records = append(c.records, b...)
	return len(b), nil
}

// position is after the last record.
func (c *counter) position() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written
}

func (c *counter) setGather(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gather = on
}

// take returns the records that were gathered. They are good until the next call.
func (c *counter) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records, c.spare = c.spare[:0], c.records
	return c.spare
}

// A mark says that the bytes of TLS up to record carry those of messages up to plain.
type mark struct{ record, plain int64 }

// A link is what a server has accepted.
type link struct {
	tcp    *counter
	secure *tls.Conn    // nil without TLS
	relp   *relp.Stream // nil without RELP
}

// A connection to a server writes what the socket has room for at once, the rest on a goroutine. It reads on another one: a
// server does not talk, but goes.
type connection struct {
	server int
	since  time.Time
	link
	window window

	list     net.Buffers // that was given to send
	buffers  net.Buffers // of it, what is to be written
	busy     bool        // a goroutine does that
	written  chan error  // it has
	writeErr error
	gone     chan error // nil after a FIN
	readDone bool
	readErr  error

	raw     syscall.RawConn
	try     func(fd uintptr) bool // writes buffers without waiting
	tryErr  error
	control func(fd uintptr) // fills info
	info    unix.TCPInfo
	infoErr error
	polled  time.Time // when the kernel was asked
	asked   int64     // bytes of messages that were written before
	widest  int64     // window that the server has advertised
	arrived int64     // bytes acknowledged, of TLS if there is
	changed time.Time // when that grew, or began to be waited for

	marks []mark
	plain int64 // of the marks that were acknowledged
}

func newConnection(server int, l link) (*connection, error) {
	raw, err := l.tcp.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, l.tcp.Close())
	}
	now := time.Now()
	c := &connection{server: server, link: l, since: now, changed: now, raw: raw}
	c.control = func(fd uintptr) {
		c.infoErr = rawsocket.TCPInfo(fd, &c.info)
	}
	if err := c.poll(); err != nil {
		return nil, errors.Join(err, l.tcp.Close())
	}
	c.try = func(fd uintptr) bool {
		c.tryErr = c.tryWrite(fd)
		return true
	}
	c.written, c.gone = make(chan error, 1), make(chan error, 1)
	l.tcp.setGather(l.secure != nil && l.relp == nil)
	go func() { c.gone <- c.watch() }()
	return c, nil
}

// watch reads until the server has gone. Its error is nil if the server has closed the connection by a FIN.
func (c *connection) watch() error {
	if c.relp != nil {
		return c.relp.Watch()
	}
	if c.secure == nil {
		_, err := io.Copy(io.Discard, c.tcp.TCPConn)
		return err
	}
	_, err := io.Copy(io.Discard, c.secure)
	if err == nil { // a close_notify, after which a FIN or a reset tells whether all was read
		if err = c.tcp.SetReadDeadline(time.Now().Add(resetGrace)); err == nil {
			_, err = io.Copy(io.Discard, c.tcp.TCPConn)
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// encrypt makes TLS records of the list.
func (c *connection) encrypt() error {
	for _, b := range c.list {
		for len(b) > 0 {
			n := min(len(b), maxRecord)
			if _, err := c.secure.Write(b[:n]); err != nil {
				return err
			}
			b = b[n:]
			c.mark(int64(n))
		}
	}
	c.list = append(c.list[:0], c.tcp.take())
	return nil
}

func (c *connection) mark(n int64) {
	last := c.plain
	if len(c.marks) > 0 {
		last = c.marks[len(c.marks)-1].plain
	}
	c.marks = append(c.marks, mark{c.tcp.position(), last + n})
}

// messageBytes is how many bytes of messages have arrived if so many of the connection have.
func (c *connection) messageBytes(arrived int64) int64 {
	if c.secure == nil || c.relp != nil {
		return arrived
	}
	n := 0
	for n < len(c.marks) && c.marks[n].record <= arrived {
		c.plain = c.marks[n].plain
		n++
	}
	c.marks = append(c.marks[:0], c.marks[n:]...)
	return c.plain
}

// tryWrite writes what the socket has room for, and leaves the rest in buffers.
func (c *connection) tryWrite(fd uintptr) error {
	for len(c.buffers) > 0 {
		n, err := rawsocket.Send(fd, c.buffers)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return err
		}
		for len(c.buffers) > 0 && n >= len(c.buffers[0]) {
			n -= len(c.buffers[0])
			c.buffers[0], c.buffers = nil, c.buffers[1:]
		}
		if n > 0 {
			c.buffers[0] = c.buffers[0][n:]
		}
	}
	return nil
}

// send writes what the socket has room for. If there is more, the connection is busy until that is written.
func (c *connection) send(items []item, now time.Time) error {
	if len(c.window.items) == 0 {
		c.changed = now
	}
	c.list = c.list[:0]
	for _, i := range items {
		c.window.add(i)
		if c.relp != nil {
			c.list = i.appendMessages(c.list)
		} else {
			c.list = append(c.list, i.bytes())
		}
	}
	switch {
	case c.relp != nil:
		c.later(func() error { return c.relp.Write(c.list) })
		return nil
	case c.secure != nil:
		if c.writeErr = c.encrypt(); c.writeErr != nil {
			return c.writeErr
		}
	}
	c.buffers = c.list
	if c.writeErr = errors.Join(c.raw.Write(c.try), c.tryErr); c.writeErr != nil {
		return c.writeErr
	}
	if len(c.buffers) > 0 {
		c.later(func() error {
			_, err := c.buffers.WriteTo(c.tcp.TCPConn)
			return err
		})
	}
	return nil
}

// later writes on a goroutine.
func (c *connection) later(write func() error) {
	c.busy = true
	go func() { c.written <- write() }()
}

// poll asks the kernel what has arrived. It can be asked until the socket is closed, also after a reset.
func (c *connection) poll() error {
	c.asked, c.polled = c.window.written, time.Now()
	if err := errors.Join(c.raw.Control(c.control), c.infoErr); err != nil {
		return err
	}
	c.widest = max(c.widest, int64(c.info.Snd_wnd))
	arrived := max(0, int64(c.info.Bytes_acked)-1) // the SYN is counted (RFC 4898, tcpEStatsAppHCThruOctetsAcked)
	if c.relp != nil {
		arrived = c.relp.Bytes()
	}
	if arrived > c.arrived {
		c.arrived, c.changed = arrived, c.polled
	}
	return nil
}

// isShut tells whether the server has room for nothing, as far as it said.
func (c *connection) isShut() bool { return c.info.Unacked == 0 && c.info.Snd_wnd < c.info.Snd_mss }

// isSilent tells whether the server has not answered for so long.
func (c *connection) isSilent(limit time.Duration) bool {
	if c.relp != nil && c.info.Unacked == 0 { // its kernel has all
		return false
	}
	return !c.isShut() && time.Since(c.changed) > limit && time.Duration(c.info.Last_ack_recv)*time.Millisecond > limit
}

// buffer is how many bytes the receive buffer of the server can hold. The window that it advertises may grow while the
// buffer fills, until both meet: it has been seen at half of the buffer's size at least. The last packet is taken as a whole.
func (c *connection) buffer() int64 { return 2*c.widest + maxPacket }

// maxPacket is the longest packet that Linux hands up: segments that came one after the other are one (GRO).
const maxPacket = 64 << 10

// unread is how many of the bytes that were acknowledged may be unread.
func (c *connection) unread() int64 { return c.buffer() - int64(c.info.Snd_wnd) }

// finish tells the server that no more comes. Its own FIN says that it has read all.
func (c *connection) finish() error {
	if c.relp != nil {
		if err := c.relp.Finish(); err != nil {
			return err
		}
	}
	if c.secure != nil {
		c.tcp.setGather(false) // CloseWrite lets nothing be written after it
		if err := c.secure.CloseWrite(); err != nil {
			return err
		}
	}
	return c.tcp.CloseWrite()
}

// close ends the connection. It tells whether the server had read all that it acknowledged: a socket that is closed before
// that sends a reset instead of a FIN (RFC 2525, section 2.17). What is not acknowledged is not sent any more.
func (c *connection) close() (hasRead bool) {
	if !c.readDone {
		deadline := time.Now()
		if c.writeErr != nil {
			deadline = deadline.Add(resetGrace)
		}
		_ = c.tcp.SetReadDeadline(deadline) // of an open socket
		c.readErr = <-c.gone
	}
	_ = c.tcp.SetWriteDeadline(time.Now())
	if c.busy {
		c.writeErr = errors.Join(c.writeErr, <-c.written)
	}
	_ = c.poll() // what was known before holds
	hasRead = is(c.readErr, syscall.EPIPE) && is(c.writeErr, syscall.EPIPE, os.ErrDeadlineExceeded)
	if !hasRead || c.writeErr != nil {
		_ = c.tcp.SetLinger(0) // else the kernel would go on
	}
	_ = c.tcp.Close()
	return hasRead
}

// cause is what the kernel said. The text around it has ports, and so is another one each time.
func cause(err error) error {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return errno
	}
	return err
}

// is tells whether err is none, or one of those that a FIN explains.
func is(err error, harmless ...error) bool {
	if err == nil {
		return true
	}
	for _, h := range harmless {
		if errors.Is(err, h) {
			return true
		}
	}
	return false
}
