package relp

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Commands of a client, and the response. The other ones that the protocol knows are not used by anybody.
const (
	open        = "open"
	syslog      = "syslog"
	closing     = "close"
	rsp         = "rsp"
	serverclose = "serverclose"
)

// offers are ours, behind the version.
const offers = "\nrelp_software=forwarder\ncommands=syslog"

// first is the transaction that begins a session.
const first = 1

// A Session is the server's side of a connection: it reads the client's commands, and says what to answer.
type Session struct {
	// Reader has the stream of the client.
	*Reader
	last   int // transaction
	opened bool
	closed bool
}

// An Event is what a client wants.
type Event int

// The events.
const (
	None    Event = iota // no whole frame has been read
	Opened               // it begins the session
	Message              // it sends a message
	Closed               // it sends no more
)

// Next returns what comes next of what was read, and its transaction, whose numbers follow one another. For Opened the data
// is the answer's.
func (s *Session) Next() (e Event, f Frame, err error) {
	f, ok, err := s.Reader.Next()
	for ; ok && f.Txnr == 0; f, ok, err = s.Reader.Next() { // hints
	}
	if err != nil || !ok {
		return None, f, err
	}
	if want := Next(s.last); f.Txnr != want {
		return None, f, fmt.Errorf("relp: transaction %d comes after %d, want %d", f.Txnr, s.last, want)
	}
	s.last = f.Txnr
	switch {
	case s.closed:
		return None, f, fmt.Errorf("relp: command %q after close", f.Command)
	case string(f.Command) == open && !s.opened:
		s.opened = true
		if f.Data, err = answer(f.Data); err != nil {
			return None, f, err
		}
		return Opened, f, nil
	case !s.opened || string(f.Command) == open:
		return None, f, fmt.Errorf("relp: command %q, want one open, at the begin", f.Command)
	case string(f.Command) == syslog:
		return Message, f, nil
	case string(f.Command) == closing:
		s.closed = true
		return Closed, f, nil
	default:
		return None, f, fmt.Errorf("relp: command %q is not known, want syslog or close", f.Command)
	}
}

// answer is the data of the response to a client's offers. Its version is the client's, if there is one.
func answer(data []byte) ([]byte, error) {
	version, ok := offer(data, "relp_version")
	if !ok {
		return nil, errors.New("relp: the client does not say relp_version")
	}
	if _, err := strconv.ParseUint(version, 10, 31); err != nil {
		return nil, fmt.Errorf("relp: relp_version %q is not a number", version)
	}
	if version != "0" { // as librelp calls what the specification calls 1
		version = "1"
	}
	return []byte("200 OK\nrelp_version=" + version + offers), nil
}

// offer looks for an offer by its name.
func offer(data []byte, name string) (value string, ok bool) {
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if key, value, _ := bytes.Cut(line, []byte("=")); string(key) == name {
			return string(value), true
		}
	}
	return "", false
}

// AppendResponse appends the answer to a transaction.
func AppendResponse(dst []byte, txnr int, data []byte) []byte { return Append(dst, txnr, rsp, data) }

// AppendOK appends the answer to a transaction that has succeeded.
func AppendOK(dst []byte, txnr int) []byte {
	return append(strconv.AppendInt(dst, int64(txnr), 10), " rsp 6 200 OK\n"...)
}

// AppendServerClose appends the hint that we close the connection.
func AppendServerClose(dst []byte) []byte { return Append(dst, 0, serverclose, nil) }

// A Client is the client's side of a connection: it numbers what is sent, and notes what is answered. The answers to what
// was sent later may come first: what counts is up to where all are answered.
type Client struct {
	last    int // transaction
	sent    []pending
	first   int // of sent: a ring
	count   int // of sent
	closing int // transaction of the close, 0 for none
}

// pending is a message that was sent.
type pending struct {
	txnr, size int
	answered   bool
}

// NewClient makes a client that has at most so many messages without an answer.
func NewClient(window int) *Client { return &Client{sent: make([]pending, window)} }

// AppendOpen appends the begin of a session, which has to be answered before anything else is sent.
func (c *Client) AppendOpen(dst []byte) []byte {
	c.last = first
	return Append(dst, first, open, []byte("relp_version=1"+offers))
}

// Opened checks the answer to the open.
func (c *Client) Opened(f Frame) error {
	if string(f.Command) != rsp || f.Txnr != first {
		return fmt.Errorf("relp: the server begins with %q of transaction %d, want its answer to open", f.Command, f.Txnr)
	}
	if err := refusal(f.Data); err != nil {
		return err
	}
	_, text, _ := bytes.Cut(f.Data, []byte("\n"))
	if _, ok := offer(text, "relp_version"); !ok {
		return errors.New("relp: the server does not say relp_version")
	}
	if commands, ok := offer(text, "commands"); ok && !hasWord(commands, syslog) {
		return fmt.Errorf("relp: the server offers the commands %q, want syslog", commands)
	}
	return nil
}

func hasWord(list, word string) bool {
	for w := range bytes.SplitSeq([]byte(list), []byte(",")) {
		if string(w) == word {
			return true
		}
	}
	return false
}

// Room is how many messages may be sent.
func (c *Client) Room() int { return len(c.sent) - c.count }

// AppendMessage appends a message. There has to be room.
func (c *Client) AppendMessage(dst, message []byte) []byte {
	c.last = Next(c.last)
	c.sent[(c.first+c.count)%len(c.sent)] = pending{txnr: c.last, size: len(message)}
	c.count++
	return Append(dst, c.last, syslog, message)
}

// AppendClose appends the end of the session.
func (c *Client) AppendClose(dst []byte) []byte {
	c.last = Next(c.last)
	c.closing = c.last
	return Append(dst, c.last, closing, nil)
}

// ErrServerClose is the hint of a server that it closes the connection.
var ErrServerClose = errors.New("relp: the server ends the session")

// Answered notes a frame of the server and returns how many bytes of messages are answered more than before, beginning with
// the oldest.
func (c *Client) Answered(f Frame) (bytes int, err error) {
	switch {
	case string(f.Command) == serverclose && f.Txnr == 0:
		return 0, ErrServerClose
	case string(f.Command) != rsp:
		return 0, fmt.Errorf("relp: the server sends %q, want its answers", f.Command)
	case c.closing != 0 && f.Txnr == c.closing:
		return 0, nil // some say nothing in it
	}
	p := c.find(f.Txnr)
	if p == nil || p.answered {
		return 0, fmt.Errorf("relp: the server answers transaction %d, which waits for no answer", f.Txnr)
	}
	if err := refusal(f.Data); err != nil {
		return 0, err
	}
	p.answered = true
	for c.count > 0 && c.sent[c.first].answered {
		bytes += c.sent[c.first].size
		c.first = (c.first + 1) % len(c.sent)
		c.count--
	}
	return bytes, nil
}

// find returns the message of a transaction, nil if there is none. Their numbers follow one another.
func (c *Client) find(txnr int) *pending {
	if c.count == 0 {
		return nil
	}
	i := txnr - c.sent[c.first].txnr
	if i < 0 {
		i += MaxNumber
	}
	if i >= c.count {
		return nil
	}
	return &c.sent[(c.first+i)%len(c.sent)]
}

// refusal is what a response says that is not "200 OK".
func refusal(data []byte) error {
	text, _, _ := bytes.Cut(data, []byte("\n"))
	if code, _, _ := bytes.Cut(text, []byte(" ")); string(code) != "200" {
		return fmt.Errorf("relp: the server answers %q, want 200", text[:min(len(text), 80)])
	}
	return nil
}
