package destination

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

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
	Subject        *template.Template `toml:"subject"`
	Window         int                `toml:"window"`         // publications without an acknowledgement
	BatchMessages  int                `toml:"batch_messages"` // at most, of one read and one subject, as one publication
	BatchBytes     option.Size        `toml:"batch_bytes"`    // with which a batch is full
	WhenTooLarge   string             `toml:"when_too_large"` // truncate, split, dead_letter
	DeadLetterFile string             `toml:"dead_letter_file"`

	tooLarge letter.TooLarge
}

const natsWindow, maxBatchMessages, minBatchBytes, maxBatchBytes = 1024, 1 << 16, 1 << 10, 64 << 20

func newNATS(g *option.Globals) Driver {
	return &NATS{Common: common(g), Options: jetstream.Defaults(), Window: natsWindow, WhenTooLarge: "truncate",
		BatchMessages: 1, BatchBytes: 32 << 10}
}

// Init checks the options.
func (n *NATS) Init() error {
	if err := n.Options.Init(); err != nil {
		return err
	}
	if err := checkSubject(n.Subject); err != nil {
		return err
	}
	if n.Window < 1 || n.Window > maxWindow {
		return option.Errorf("window", "%d is not from 1 to %d", n.Window, maxWindow)
	}
	if n.BatchMessages < 1 || n.BatchMessages > maxBatchMessages {
		return option.Errorf("batch_messages", "%d is not from 1 to %d", n.BatchMessages, maxBatchMessages)
	}
	if n.BatchBytes < minBatchBytes || n.BatchBytes > maxBatchBytes {
		return option.Errorf("batch_bytes", "%d is not from %d to %d", n.BatchBytes, minBatchBytes, maxBatchBytes)
	}
	action, ok := letter.TooLargeByName[n.WhenTooLarge]
	n.tooLarge = action
	switch {
	case !ok:
		return option.Errorf("when_too_large", "%q is not known, want truncate, split or dead_letter", n.WhenTooLarge)
	case n.DeadLetterFile == "" && action == letter.Refuse:
		return option.Errorf("dead_letter_file", `required for when_too_large = "dead_letter"`)
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

// The id of a message is this prefix, which no other process shares: this host, its boot, and a name of our own; and a number
// that no other message of the process has, whatever destination it is for.
var messageIDs = sync.OnceValue(func() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(boot) < 8 {
		boot = []byte("--------")
	}
	host, _ := os.Hostname()
	return fmt.Sprintf("%s-%s-%s-", host, boot[:8], rand.Text()[:8])
})

var messageNumber atomic.Uint64

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
		dst = letter.AppendEnd(dst)
		text := len(dst)
		dst = write(dst, m, ctx)
		dst = append(dst[:text], bytes.TrimSuffix(dst[text:], []byte("\n"))...)
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
	r.id = strconv.AppendUint(append(r.id[:0], messageIDs()...), messageNumber.Add(1), 10)
	r.subject = append(r.subject[:0], subject...)
	r.count, r.size = 1, 0
	return true
}

// appendHeaders appends what a letter says of its message.
func appendHeaders(dst []byte, m *logmsg.Message) []byte {
	dst = letter.AppendHeader(dst, letter.FacilityHeader, m.Priority.Facility().String())
	dst = letter.AppendHeader(dst, letter.SeverityHeader, m.Priority.Severity().String())
	dst = letter.AppendHeader(dst, letter.HostHeader, m.Hostname)
	return letter.AppendHeader(dst, letter.ProgramHeader, m.AppName)
}

// Connect is not used: a publisher connects.
func (n *NATS) Connect(context.Context, *slog.Logger) (Conn, error) {
	return nil, errors.ErrUnsupported
}

// bury keeps a message that the stream never takes.
func (n *NATS) bury(message []byte) error {
	f, err := os.OpenFile(n.DeadLetterFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(message[:len(message):len(message)], "\n\n"...))
	return errors.Join(err, f.Sync(), f.Close())
}
