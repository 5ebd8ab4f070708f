package destination

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"kad/forwarder/internal/jetstream"
	"kad/forwarder/internal/letter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
)

// NATS publishes to a stream of JetStream. A message is sent when the stream has acknowledged it; what is sent again bears
// the same id, by which the stream knows it.
type NATS struct {
	Common
	jetstream.Options
	Publishing
	Subject       *template.Template `toml:"subject"`
	BatchMessages int                `toml:"batch_messages"` // at most, of one read and one subject, as one publication
	BatchBytes    option.Size        `toml:"batch_bytes"`    // with which a batch is full
}

const maxBatchMessages, minBatchBytes, maxBatchBytes = 1 << 16, 1 << 10, 64 << 20

func newNATS(g *option.Globals) Driver {
	return &NATS{Common: common(g), Options: jetstream.Defaults(), Publishing: publishing(), BatchMessages: 1, BatchBytes: 32 << 10}
}

// Init checks the options.
func (n *NATS) Init() error {
	if err := n.Options.Init(); err != nil {
		return err
	}
	if err := checkSubject(n.Subject); err != nil {
		return err
	}
	if err := n.Publishing.init(); err != nil {
		return err
	}
	if n.BatchMessages < 1 || n.BatchMessages > maxBatchMessages {
		return option.Errorf("batch_messages", "%d is not from 1 to %d", n.BatchMessages, maxBatchMessages)
	}
	if n.BatchBytes < minBatchBytes || n.BatchBytes > maxBatchBytes {
		return option.Errorf("batch_bytes", "%d is not from %d to %d", n.BatchBytes, minBatchBytes, maxBatchBytes)
	}
	return n.Common.Init()
}

// checkSubject checks what of a subject does not depend on messages: what does is made legal.
func checkSubject(t *template.Template) error {
	if t == nil || t.String() == "" {
		return option.Errorf("subject", `the subject is required, like "logs.$HOST.$PROGRAM"`)
	}
	text := t.String()
	if strings.Contains(text, "$(") { // which may have blanks and dots of its own
		return nil
	}
	if strings.ContainsAny(text, " \t\r\n*>") || strings.HasPrefix(text, "$$") {
		return option.Errorf("subject", "%q has a blank, * or >, or begins with a dollar", text)
	}
	for token := range strings.SplitSeq(text, ".") {
		if token == "" {
			return option.Errorf("subject", "%q has an empty token: no dot at an end, nor two in a row", text)
		}
	}
	return nil
}

// Format says how a message waits: its subject, headers, and its text, which is RFC 5424 or what the template has. Messages that
// bear one id are published as one.
func (n *NATS) Format() Format {
	c := n.Common
	c.syslogProtocol = c.syslogProtocol || c.Template == nil
	write := c.text(true)
	run := idRun{messages: n.BatchMessages, bytes: int(n.BatchBytes)}
	return Format{Append: func(dst []byte, m *logmsg.Message, ctx *template.Context) []byte {
		start := len(dst)
		dst = n.Subject.AppendParts(dst, m, ctx, jetstream.AppendToken)
		isFirst := run.next(dst[start:], start == 0)
		dst = letter.AppendHeader(dst, jetstream.IDHeader, run.id)
		if isFirst { // of the others they are not published
			dst = appendHeaders(dst, m)
		}
		dst = appendLetterText(letter.AppendEnd(dst), m, ctx, write)
		run.size += len(dst) - start
		return dst
	}}
}

// An idRun gives messages their ids: the same one to those that follow each other in what a read brings, with one subject, up to
// the limits. What the queue gives again after a crash is so published in the same batches.
type idRun struct {
	messages, bytes int // the limits

	id      []byte
	subject []byte
	count   int // of messages with the id
	size    int // of them
}

// next makes an id, if the next message needs one of its own.
func (r *idRun) next(subject []byte, isFirst bool) (isNew bool) {
	if r.count++; !isFirst && r.count <= r.messages && r.size < r.bytes && bytes.Equal(r.subject, subject) {
		return false
	}
	r.id = appendID(r.id[:0])
	r.subject = append(r.subject[:0], subject...)
	r.count, r.size = 1, 0
	return true
}

// Connect is not used: a publisher connects.
func (n *NATS) Connect(context.Context, *slog.Logger) (Conn, error) {
	return nil, errors.ErrUnsupported
}

func (n *NATS) logName() string { return n.Stream }

func (n *NATS) dial(ctx context.Context, name string, wait time.Duration, logger *slog.Logger) (logClient, error) {
	return n.Options.Connect(ctx, name, wait, logger)
}
