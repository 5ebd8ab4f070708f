package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"kad/forwarder/internal/letter"
	"kad/pkg/syslog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers of a message that are JetStream's, and that of a batch.
const (
	IDHeader     = jetstream.MsgIDHeader // by which the stream knows what it has already
	BatchHeader  = "Syslog-Batch"        // of how many letters the text has the texts, by octet counting (RFC 6587, section 3.4.1)
	streamHeader = jetstream.ExpectedStreamHeader
)

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

// Run is how many of the first letters are to be one message: those with the subject and the id of the first one, which are
// its first two lines.
func (c *Client) Run(letters [][]byte) int {
	first := letters[0]
	subject := bytes.IndexByte(first, '\n') + 1
	end := subject + bytes.IndexByte(first[subject:], '\n') + 1
	n := 1
	for n < len(letters) && bytes.HasPrefix(first[subject:end], []byte(IDHeader)) && bytes.HasPrefix(letters[n], first[:end]) {
		n++
	}
	return n
}

// A future is that of the driver.
type future struct{ jetstream.PubAckFuture }

// Wait waits for the acknowledgement.
func (f future) Wait(ctx context.Context) (known bool, err error) {
	select {
	case ack := <-f.Ok():
		return ack.Duplicate, nil
	case err := <-f.Err():
		return false, err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// overhead is what a server counts beside our headers: its own first line, and what stands before our lines and after them.
const overhead = 72

// addedHeader is what a header and a longer id take.
const addedHeader = len(letter.TruncatedHeader) + 32

// Publish publishes the letters of a Run as one message, or as several if the stream does not take it.
func (c *Client) Publish(letters [][]byte, tooLarge letter.TooLarge) (a letter.Ack) {
	for part := 1; len(letters) > 0; part++ {
		n := c.fitting(letters)
		a.Add(c.publishPart(letters[:n], part, tooLarge))
		letters = letters[n:]
	}
	return a
}

// fitting is how many of the first letters the stream takes as one message, one at least.
func (c *Client) fitting(letters [][]byte) int {
	if len(letters) == 1 {
		return 1
	}
	size, limit := c.added()+addedHeader, c.maxSize()
	for n, text := range letters {
		if size += len(text); size > limit { // their heads stand for their lengths
			return max(1, n)
		}
	}
	return len(letters)
}

// publishPart publishes letters as a message. It has the id of the first one and, from the second part on, the part's number:
// what is published again has the same.
func (c *Client) publishPart(letters [][]byte, part int, tooLarge letter.TooLarge) (a letter.Ack) {
	l, err := letter.Parse(letters[0])
	if err != nil {
		return letter.Ack{Err: err}
	}
	suffix := ""
	if part > 1 {
		suffix = "+" + strconv.Itoa(part)
	}
	if len(letters) > 1 {
		return c.publish(batch(l, letters), suffix)
	}
	if l.Head+len(l.Text)+c.added() <= c.maxSize() {
		return c.publish(l, suffix)
	}
	list := tooLarge.Fit(l, c.maxSize()-l.Head-c.added()-addedHeader)
	if list == nil {
		return letter.Ack{Refused: letters}
	}
	for i, l := range list {
		if tooLarge == letter.Split {
			a.Add(c.publish(l, suffix+"-"+strconv.Itoa(i+1)))
		} else {
			a.Add(c.publish(l, suffix))
		}
	}
	a.Cut = 1
	return a
}

// batch makes one letter of several, of which first is the first. Headers that others may not have are left out.
func batch(first letter.Letter, letters [][]byte) letter.Letter {
	size := 0
	for _, l := range letters {
		size += len(l)
	}
	text := make([]byte, 0, size)
	for _, l := range letters {
		_, t, _ := bytes.Cut(l, []byte("\n\n"))
		start := len(text)
		text = syslog.InsertCount(append(text, t...), start)
	}
	return letter.Letter{
		Address: first.Address, Text: text,
		Headers: []letter.Header{first.Headers[0], {Name: BatchHeader, Value: strconv.Itoa(len(letters))}},
	}
}

func (c *Client) publish(l letter.Letter, suffix string) letter.Ack {
	m := &nats.Msg{Subject: l.Address, Header: make(nats.Header, len(l.Headers)+1), Data: l.Text}
	values := make([]string, len(l.Headers)+1)
	for i, h := range l.Headers {
		if values[i] = h.Value; h.Name == IDHeader {
			values[i] += suffix
		}
		m.Header[h.Name] = values[i : i+1 : i+1]
	}
	values[len(l.Headers)] = c.options.Stream
	m.Header[streamHeader] = values[len(l.Headers):]
	acknowledged, err := c.js.PublishMsgAsync(m)
	if err != nil {
		return letter.Ack{Err: err}
	}
	return letter.Ack{Futures: []letter.Future{future{acknowledged}}}
}

// added is at most how many bytes a letter grows by.
func (c *Client) added() int {
	return overhead + len(streamHeader) + len(c.options.Stream)
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
