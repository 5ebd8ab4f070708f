package destination

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/relp"
	"kad/forwarder/internal/template"
)

// RELP sends to a server that answers each message when it has it: what it has not answered is sent to the next one.
type RELP struct {
	Network
	Window int `toml:"window"` // messages without an answer
}

const (
	relpPort     = 2514
	relpWindow   = 128              // librelp's
	relpStall    = 30 * time.Second // an answer may wait for the servers behind
	maxWindow    = 1 << 16
	maxRELPReply = 4096 // bytes
)

func newRELP(g *option.Globals) Driver {
	r := &RELP{Network: *newNetwork(g).(*Network), Window: relpWindow}
	r.Port, r.Stall = relpPort, option.Duration(relpStall)
	return r
}

// Init checks the options.
func (r *RELP) Init() error {
	switch {
	case r.Transport == "udp":
		return option.Errorf("transport", `transport "udp" is not possible for RELP, want tcp or tls`)
	case r.Framing != "":
		return option.Errorf("framing", "RELP has its own")
	case r.ReplayWindow != autoWindow:
		return option.Errorf("replay_window", "the server answers each message: what it did not answer is sent again")
	case r.Window < 1 || r.Window > maxWindow:
		return option.Errorf("window", "%d is not from 1 to %d", r.Window, maxWindow)
	}
	r.ReplayWindow, r.window = 0, r.Window
	return r.Network.Init()
}

// Format says how a message is written: as the template has it, or RFC 5424.
func (r *RELP) Format() Format {
	c := r.Common
	c.syslogProtocol = c.syslogProtocol || c.Template == nil
	write := c.text(true)
	return Format{Append: func(dst []byte, m *logmsg.Message, ctx *template.Context) []byte {
		start := len(dst)
		dst = write(dst, m, ctx)
		switch n := len(dst) - start; {
		case n == 0: // each has a byte, by which its answer counts
			dst = append(dst, '\n')
		case n > 1 && dst[len(dst)-1] == '\n':
			dst = dst[:len(dst)-1]
		}
		return dst
	}}
}

// A relpStream is the session of a connection. One goroutine writes, another one reads the answers.
type relpStream struct {
	conn     net.Conn
	reader   *relp.Reader
	out      []byte        // that is being written
	answered chan struct{} // something was

	mu      sync.Mutex // guards what follows
	room    sync.Cond  // in the client's window, or the session ends
	client  *relp.Client
	arrived int64 // bytes of messages that were answered
	ended   error // nil: the session goes on
}

// openRELP begins a session.
func openRELP(ctx context.Context, conn net.Conn, window int, timeout time.Duration) (*relpStream, error) {
	r := &relpStream{conn: conn, client: relp.NewClient(window), reader: relp.NewReader(conn, maxRELPReply), answered: make(chan struct{}, 1)}
	r.room.L = &r.mu
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) }) // of an open connection
	defer stop()
	if _, err := conn.Write(r.client.AppendOpen(nil)); err != nil {
		return nil, err
	}
	f, ok, err := r.reader.Next()
	for ; !ok && err == nil; f, ok, err = r.reader.Next() {
		if err := r.reader.Fill(); errors.Is(err, io.EOF) {
			return nil, errClosed
		} else if err != nil {
			return nil, err
		}
	}
	if err == nil {
		err = r.client.Opened(f)
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	return r, err
}

// write sends messages as the window has room for them.
func (r *relpStream) write(messages [][]byte) error {
	for len(messages) > 0 {
		n, err := r.compose(messages)
		if err != nil {
			return err
		}
		if _, err := r.conn.Write(r.out); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// compose waits for room and frames as many messages as have some.
func (r *relpStream) compose(messages [][]byte) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.client.Room() == 0 && r.ended == nil {
		r.room.Wait()
	}
	if r.ended != nil {
		return 0, r.ended
	}
	r.out = r.out[:0]
	for n < len(messages) && r.client.Room() > 0 && len(r.out) < maxWrite {
		r.out = r.client.AppendMessage(r.out, messages[n])
		n++
	}
	return n, nil
}

// watch reads the answers until the server ends the session or does not keep to the protocol. Its error is nil if the
// server has closed the connection.
func (r *relpStream) watch() (err error) {
	defer func() { r.end(cmp.Or(err, errClosed)) }()
	for {
		err := r.take()
		if err == nil {
			err = r.reader.Fill()
		}
		if errors.Is(err, relp.ErrServerClose) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take notes the answers that were read.
func (r *relpStream) take() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.arrived
	defer func() {
		if r.arrived == before {
			return
		}
		r.room.Signal()
		select {
		case r.answered <- struct{}{}:
		default: // it is known
		}
	}()
	for {
		f, ok, err := r.reader.Next()
		if err != nil || !ok {
			return err
		}
		n, err := r.client.Answered(f)
		if err != nil {
			return err
		}
		r.arrived += int64(n)
	}
}

func (r *relpStream) end(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = reason
	r.room.Signal()
}

// bytes is how many bytes of messages are answered.
func (r *relpStream) bytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.arrived
}

// finish asks the server to end the session.
func (r *relpStream) finish() error {
	r.mu.Lock()
	b := r.client.AppendClose(nil)
	r.mu.Unlock()
	_, err := r.conn.Write(b)
	return err
}
