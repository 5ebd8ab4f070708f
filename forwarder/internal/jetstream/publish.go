package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"kad/pkg/syslog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers of a message.
const (
	IDHeader        = jetstream.MsgIDHeader // by which the stream knows what it has already
	FacilityHeader  = "Syslog-Facility"
	SeverityHeader  = "Syslog-Severity"
	HostHeader      = "Syslog-Host"
	ProgramHeader   = "Syslog-Program"
	TruncatedHeader = "Syslog-Truncated" // bytes of the message before it was cut
	PartHeader      = "Syslog-Part"      // "2/3" of a message that was split
	streamHeader    = jetstream.ExpectedStreamHeader
)

// A message that waits to be published is its subject, its headers and its text, as the lines of a letter:
//
//	logs.web1.sshd\nNats-Msg-Id: web1-1f2e3d4c-17\nSyslog-Facility: auth\n\n<38>1 ...

// AppendHeader appends a line of the head. Values have no line breaks then.
func AppendHeader[T string | []byte](dst []byte, name string, value T) []byte {
	dst = append(append(dst, '\n'), name...)
	dst = append(dst, ": "...)
	for i := range len(value) {
		c := value[i]
		if c < ' ' || c == 0x7f {
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}

// AppendEnd appends the end of the head.
func AppendEnd(dst []byte) []byte { return append(dst, "\n\n"...) }

// AppendToken makes a token of a subject of dst from start on: what has a meaning in subjects becomes an underline.
func AppendToken(dst []byte, start int) []byte {
	const longest = 128
	if len(dst) == start {
		return append(dst, '_')
	}
	dst = dst[:min(len(dst), start+longest)]
	for i, c := range dst[start:] {
		if c <= ' ' || c >= 0x7f || c == '.' || c == '*' || c == '>' || c == '$' {
			dst[start+i] = '_'
		}
	}
	return dst
}

// errNoMessage is what a queue that somebody else has written may hold.
var errNoMessage = errors.New("it has no subject, headers and text")

// parse takes a message apart.
func parse(b []byte) (*nats.Msg, error) {
	end := bytes.Index(b, []byte("\n\n"))
	if end < 0 {
		return nil, errNoMessage
	}
	lines := bytes.Split(b[:end], []byte("\n"))
	if len(lines[0]) == 0 {
		return nil, errNoMessage
	}
	m := &nats.Msg{Subject: string(lines[0]), Header: make(nats.Header, len(lines)+1), Data: b[end+2:]}
	values := make([]string, len(lines))
	for i, line := range lines[1:] {
		name, value, ok := bytes.Cut(line, []byte(": "))
		if !ok {
			return nil, errNoMessage
		}
		values[i] = string(value)
		m.Header[string(name)] = values[i : i+1 : i+1]
	}
	return m, nil
}

// An Ack comes when the stream has a message, or with why not.
type Ack struct {
	future jetstream.PubAckFuture
	err    error
	rest   []Ack // of the other parts
}

// Wait waits for it. An error is that of the message, or of ctx.
func (a Ack) Wait(ctx context.Context) error {
	if a.future == nil {
		return a.err
	}
	select {
	case <-a.future.Ok():
	case err := <-a.future.Err():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, part := range a.rest {
		if err := part.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ErrTooLarge is that of a message that the stream never takes.
var ErrTooLarge = errors.New("it is larger than the server or the stream takes")

// TooLarge is what becomes of a message that is too large.
type TooLarge int

// What there is.
const (
	Refuse TooLarge = iota // its Ack is ErrTooLarge
	Truncate
	Split // in parts, each with the head of a syslog message if it is one
)

// overhead is what a server counts beside our headers: its own first line, and what stands before our lines and after them.
const overhead = 64

// Publish publishes a message. It tells whether it was too large, and therefore cut.
func (c *Client) Publish(message []byte, tooLarge TooLarge) (a Ack, cut bool) {
	m, err := parse(message)
	if err != nil {
		return Ack{err: err}, false
	}
	m.Header[streamHeader] = []string{c.options.Stream}
	head := len(message) - len(m.Data) + overhead + len(streamHeader) + len(c.options.Stream) + len(m.Header)
	if head+len(m.Data) <= c.maxSize() {
		return c.publish(m), false
	}
	room := c.maxSize() - head - len(TruncatedHeader) - 32
	switch {
	case tooLarge == Refuse || room < 1:
		return Ack{err: ErrTooLarge}, false
	case tooLarge == Truncate:
		m.Header[TruncatedHeader] = []string{strconv.Itoa(len(m.Data))}
		m.Data = m.Data[:room]
		return c.publish(m), true
	}
	return c.publishParts(m, room), true
}

func (c *Client) publish(m *nats.Msg) (a Ack) {
	a.future, a.err = c.js.PublishMsgAsync(m)
	return a
}

// publishParts publishes a message in parts that have room.
func (c *Client) publishParts(m *nats.Msg, room int) (a Ack) {
	head := syslogHead(m.Data)
	text := m.Data[len(head):]
	if room -= len(head); room < 1 {
		return Ack{err: ErrTooLarge}
	}
	count := (len(text) + room - 1) / room
	for i := range count {
		part := &nats.Msg{Subject: m.Subject, Header: maps.Clone(m.Header)}
		part.Header[PartHeader] = []string{fmt.Sprintf("%d/%d", i+1, count)}
		part.Header[IDHeader] = []string{fmt.Sprintf("%s-%d", m.Header.Get(IDHeader), i+1)}
		part.Data = slices.Concat(head, text[i*room:min(len(text), (i+1)*room)])
		if next := c.publish(part); i == 0 {
			a = next
		} else {
			a.rest = append(a.rest, next)
		}
	}
	return a
}

// syslogHead is what stands before the text of a syslog message, nothing if it is none.
func syslogHead(b []byte) []byte {
	var m syslog.Message
	if err := (&syslog.Parser{RFC5424: true}).Parse(b, syslog.Time{}, &m); err != nil || !bytes.HasSuffix(b, m.Msg) {
		return nil
	}
	return b[:len(b)-len(m.Msg)]
}

// maxSize is how many bytes a message may have, with its headers.
func (c *Client) maxSize() int {
	size := int(c.conn.MaxPayload())
	if limit := int(c.stream.Load().Config.MaxMsgSize); limit > 0 {
		size = min(size, limit)
	}
	return size
}

// Explain says more of an error of an Ack, where more is known: whether the stream is gone, or we are not let.
func (c *Client) Explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		if refresh := c.Refresh(ctx); refresh != nil {
			return refresh
		}
		return fmt.Errorf("stream %q does not take it: it has no leader, or not the subject", c.options.Stream)
	case errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		if text := c.refused.Load(); text != nil {
			return errors.New(*text)
		}
	}
	return err
}
