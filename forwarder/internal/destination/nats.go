package destination

import (
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
	Window         int                `toml:"window"`         // messages without an acknowledgement
	WhenTooLarge   string             `toml:"when_too_large"` // truncate, split, dead_letter
	DeadLetterFile string             `toml:"dead_letter_file"`

	tooLarge jetstream.TooLarge
}

const natsWindow = 1024

func newNATS(g *option.Globals) Driver {
	return &NATS{Common: common(g), Options: jetstream.Defaults(), Window: natsWindow, WhenTooLarge: "truncate"}
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
	actions := map[string]jetstream.TooLarge{"truncate": jetstream.Truncate, "split": jetstream.Split, "dead_letter": jetstream.Refuse}
	action, ok := actions[n.WhenTooLarge]
	n.tooLarge = action
	switch {
	case !ok:
		return option.Errorf("when_too_large", "%q is not known, want truncate, split or dead_letter", n.WhenTooLarge)
	case n.DeadLetterFile == "" && action == jetstream.Refuse:
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

// Format says how a message waits: its subject, headers, and its text, which is RFC 5424 or what the template has.
func (n *NATS) Format() Format {
	c := n.Common
	c.syslogProtocol = c.syslogProtocol || c.Template == nil
	write := c.text(true)
	prefix := messageIDs()
	var id []byte
	return Format{Append: func(dst []byte, m *logmsg.Message, ctx *template.Context) []byte {
		dst = n.Subject.AppendParts(dst, m, ctx, jetstream.AppendToken)
		id = strconv.AppendUint(append(id[:0], prefix...), messageNumber.Add(1), 10)
		dst = jetstream.AppendHeader(dst, jetstream.IDHeader, id)
		dst = jetstream.AppendHeader(dst, jetstream.FacilityHeader, m.Priority.Facility().String())
		dst = jetstream.AppendHeader(dst, jetstream.SeverityHeader, m.Priority.Severity().String())
		dst = jetstream.AppendHeader(dst, jetstream.HostHeader, m.Hostname)
		dst = jetstream.AppendHeader(dst, jetstream.ProgramHeader, m.AppName)
		dst = write(jetstream.AppendEnd(dst), m, ctx)
		if dst[len(dst)-1] == '\n' {
			dst = dst[:len(dst)-1]
		}
		return dst
	}}
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
