package source

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/relp"

	"golang.org/x/sys/unix"
)

// RELP receives from clients that keep each message until they have our answer: it is given when the message is safe, see
// logmsg.Receipt.
type RELP struct{ Network }

const relpPort = 2514

func newRELP(g *option.Globals) Driver {
	r := &RELP{*newNetwork(g).(*Network)}
	r.Port, r.Common.parser.RFC5424 = relpPort, true
	return r
}

// Init checks the options.
func (r *RELP) Init() error {
	switch {
	case r.Transport == "udp":
		return option.Errorf("transport", `transport "udp" is not possible for RELP, want tcp or tls`)
	case r.Framing != "newline":
		return option.Errorf("framing", "RELP has its own")
	}
	return r.Network.Init()
}

// Open binds the socket.
func (r *RELP) Open(in *Input) (Runner, error) {
	l, err := r.Network.Open(in)
	if err != nil {
		return nil, err
	}
	l.(*listener).relp = true
	if err := limitSegments(in.open[0]); err != nil {
		in.Close()
		return nil, err
	}
	return l, nil
}

// maxSegment is that of Ethernet. rsyslog corks its connections (tcp(7), TCP_CORK), also while its window is shut: what does not fill
// a segment waits for 200 ms. On the loopback interface a segment has 64 KiB, so that would be each of its windows as a whole.
const maxSegment = 1460

// limitSegments tells clients how long a segment may be.
func limitSegments(s socket) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_MAXSEG, maxSegment) })
	return errors.Join(ctlErr, os.NewSyscallError("setsockopt", err))
}

// answerTimeout is how long a client may leave no room for our answers.
const answerTimeout = time.Minute

// A relpSession is a connection of a client. One goroutine reads, another one answers.
type relpSession struct {
	*reader
	conn    net.Conn
	ctx     context.Context
	idle    time.Duration // a silent connection ends; 0: never
	session relp.Session
	answers answers
}

// serveRELP reads a connection until the client ends the session, or ctx ends. Then nothing more is read, and what was is
// answered, as far as it gets safe in time.
func (l *listener) serveRELP(ctx context.Context, conn net.Conn) {
	r := l.newConnReader(conn)
	defer r.end()
	s := &relpSession{reader: r, conn: conn, ctx: ctx, idle: l.idleTimeout}
	s.session.Reader = relp.NewReader(conn, l.options.LogMsgSize)
	s.answers.start(conn)
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetReadDeadline(time.Now()) // of an open connection
		s.answers.close()
	})
	defer stop()
	protocol, err := s.read()
	s.answers.close()
	switch left := ctx.Err() != nil; {
	case protocol != nil:
		l.frameErrors.Add(1)
		l.tell(&l.onsets.frame, "connection closed, the client does not keep to the protocol", "peer", conn.RemoteAddr().String(), "error", protocol)
	case left || err == nil:
		if l.vip != nil && !l.vip.Held() {
			setTransparent(conn)
		}
		s.answers.wait(l.options.leaveTimeout)
		s.leave()
	case !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded):
		l.tell(&l.onsets.read, "connection closed", "peer", conn.RemoteAddr().String(), "error", err)
	}
	s.answers.end()
}

// read takes the messages through the log paths. It returns what the client does wrong, or why the connection cannot be
// read; neither: the client has ended the session.
func (s *relpSession) read() (protocol, err error) {
	for {
		if s.idle > 0 {
			if err := s.conn.SetReadDeadline(time.Now().Add(s.idle)); err != nil {
				return nil, err
			}
		}
		if s.ctx.Err() != nil {
			return nil, s.ctx.Err()
		}
		if err := s.session.Fill(); err != nil {
			return nil, err
		}
		closed, err := s.take()
		if err != nil || closed {
			return err, nil
		}
	}
}

// take handles what was read. It tells whether the client has ended the session.
func (s *relpSession) take() (closed bool, err error) {
	a := s.answers.next()
	if a == nil {
		return true, nil
	}
	s.receipt = &a.receipt
	s.begin()
	for event := relp.Event(-1); event != relp.None && err == nil; {
		var f relp.Frame
		switch event, f, err = s.session.Next(); event {
		case relp.Opened:
			a.text = relp.AppendResponse(a.text, f.Txnr, f.Data)
		case relp.Message:
			if f.Cut > 0 {
				s.counts.truncated++
			}
			s.handle(f.Data)
			a.text = relp.AppendOK(a.text, f.Txnr)
		case relp.Closed:
			a.text = relp.AppendOK(a.text, f.Txnr)
			closed = true
		}
	}
	s.flush()
	s.answers.add(a)
	return closed, err
}

// leave tells the client that we close, and waits until it has read that: what is unread when a connection is closed would
// have it reset, and our last answers forgotten.
func (s *relpSession) leave() {
	s.answers.end()
	_ = s.conn.SetWriteDeadline(time.Now().Add(quiet)) // it has gone, or has no room
	_, _ = s.conn.Write(relp.AppendServerClose(nil))
	closeWrite(s.conn)
	_ = s.conn.SetReadDeadline(time.Now().Add(quiet))
	_, _ = io.Copy(io.Discard, s.conn)
}

// An answer is what is said to the messages of one read, when they are safe.
type answer struct {
	receipt logmsg.Receipt
	text    []byte
}

// How many reads may wait for their answers, and how many bytes of those: then nothing more is read.
const maxAnswers, maxWaiting = 256, 1 << 20

// answers are those of a session, given in the order of the reads.
type answers struct {
	conn net.Conn
	done chan struct{} // no more are given

	mu      sync.Mutex // guards what follows, but not the one that next has given
	changed sync.Cond
	ring    [maxAnswers]answer
	first   int // of ring: the oldest
	count   int
	waiting int  // bytes
	closed  bool // no more reads
	ended   bool // no more are to be given
	late    bool // wait has waited
}

func (a *answers) start(conn net.Conn) {
	a.conn, a.done = conn, make(chan struct{})
	a.changed.L = &a.mu
	for i := range a.ring {
		a.ring[i].receipt.Done = a.wake
	}
	go a.give()
}

func (a *answers) wake() {
	a.mu.Lock()
	a.changed.Broadcast()
	a.mu.Unlock()
}

// next waits for the place of an answer and holds its receipt. It is nil if nothing is to be read any more.
func (a *answers) next() *answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	for (a.count == maxAnswers || a.waiting > maxWaiting) && !a.closed && !a.ended {
		a.changed.Wait()
	}
	if a.closed || a.ended {
		return nil
	}
	n := &a.ring[(a.first+a.count)%maxAnswers]
	n.text = n.text[:0]
	n.receipt.Hold()
	return n
}

// add has the answer given when it is time, and lets go of its receipt.
func (a *answers) add(n *answer) {
	if len(n.text) > 0 {
		a.mu.Lock()
		a.count++
		a.waiting += len(n.text)
		a.mu.Unlock()
	}
	n.receipt.Release()
}

// close says that nothing is read any more.
func (a *answers) close() {
	a.mu.Lock()
	a.closed = true
	a.changed.Broadcast()
	a.mu.Unlock()
}

// wait waits until all are given, but not longer than limit.
func (a *answers) wait(limit time.Duration) {
	timer := time.AfterFunc(limit, func() {
		a.mu.Lock()
		a.late = true
		a.changed.Broadcast()
		a.mu.Unlock()
	})
	defer timer.Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.count > 0 && !a.ended && !a.late {
		a.changed.Wait()
	}
}

// end stops giving.
func (a *answers) end() {
	a.mu.Lock()
	a.ended = true
	a.changed.Broadcast()
	a.mu.Unlock()
	<-a.done
}

// give writes the answers. When messages are lost, the client is to send them again: the connection is closed.
func (a *answers) give() {
	defer close(a.done)
	for text := []byte(nil); ; {
		var ok bool
		if text, ok = a.ready(text[:0]); !ok {
			_ = a.conn.Close()
			return
		}
		if len(text) == 0 {
			return
		}
		err := a.conn.SetWriteDeadline(time.Now().Add(answerTimeout))
		if err == nil {
			_, err = a.conn.Write(text)
		}
		a.mu.Lock()
		a.ended = a.ended || err != nil
		a.changed.Broadcast()
		a.mu.Unlock()
		if err != nil {
			_ = a.conn.Close() // which wakes the reader
			return
		}
	}
}

// ready waits for answers that can be given and appends them to text: none at the end. It is not ok if messages are lost.
func (a *answers) ready(text []byte) (_ []byte, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.ended && (a.count == 0 || a.ring[a.first].receipt.IsOpen()) {
		a.changed.Wait()
	}
	if a.ended {
		return nil, true
	}
	for a.count > 0 && !a.ring[a.first].receipt.IsOpen() {
		if a.ring[a.first].receipt.IsLost() {
			a.ended = true
			a.changed.Broadcast()
			return nil, false
		}
		text = append(text, a.ring[a.first].text...)
		a.count--
		a.waiting -= len(a.ring[a.first].text)
		a.first = (a.first + 1) % maxAnswers
	}
	return text, true
}
