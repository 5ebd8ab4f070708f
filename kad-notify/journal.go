package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/coreos/go-systemd/v22/journal"
	"golang.org/x/sys/unix"
)

// lastSeverity is where journald ceases to take a PRIORITY for a severity: that is one digit.
const lastSeverity = 9

// The MESSAGE_ID of an event and of what a hook's program says; examples/kad-notify has a catalog
// for them.
const (
	transitionMessage = "6f1d2c8e6b3f4c0a9f58b1f1c0d3a7e4"
	outputMessage     = "c3a7b9d05e2e4f36a1f0d4c8e97b2615"
)

// journalTimeout is how long a journal that hangs may hold an event up.
const journalTimeout = 500 * time.Millisecond

// tell writes an event to the journal, or to stderr where no journal runs. A note says what is
// special about it.
func (n *notifier) tell(c *change, note string) error {
	message, fields := c.journalEntry(note)
	if !journal.Enabled() {
		fmt.Fprintf(n.stderr, "%s: %s\n", n.name, message)
		return nil
	}
	return send(message, journal.PriNotice, fields)
}

// journalEntry is what the journal gets of c (systemd.journal-fields(7)).
func (c *change) journalEntry(note string) (message string, fields map[string]string) {
	previous := string(c.Previous)
	fields = map[string]string{
		"MESSAGE_ID":        transitionMessage,
		"SYSLOG_IDENTIFIER": "kad-notify",
		"KIND":              string(c.Kind),
		"INSTANCE":          c.Name, // or the group's name
		"STATE":             string(c.State),
		"PREVIOUS_STATE":    previous,
		"VIPS":              c.vipText(),
	}
	if c.Priority >= 0 {
		fields["VRRP_PRIORITY"] = strconv.Itoa(c.Priority)
	}
	if c.Priority > lastSeverity {
		fields["PRIORITY"] = fields["VRRP_PRIORITY"] // beside the severity, which has that name too
	}
	message = fmt.Sprintf("%s %s: %s", c.Kind, printable(c.Name), c.State)
	if previous != "" && c.Transition() {
		message += " (was " + previous + ")"
	}
	if note != "" {
		message += ", " + note
		fields["NOTE"] = note
	}
	return message, fields
}

func (c *change) vipText() string {
	var words []string
	for _, a := range c.vips() {
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}

// send writes an entry, and gives up on a journal that does not take it.
func send(message string, priority journal.Priority, fields map[string]string) error {
	done := make(chan error, 1)
	go func() { done <- journal.Send(message, priority, fields) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		return nil
	case <-time.After(journalTimeout):
		return errors.New("journal: takes no entry")
	}
}

// output writes what a hook's program has said to the journal, or to stderr, an entry a line.
func (n *notifier) output(c *change, text string) {
	running := journal.Enabled()
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if !running {
			fmt.Fprintf(n.stderr, "%s: hook %s: %s\n", n.name, c.Hook, printable(line))
			continue
		}
		err := send(line, journal.PriInfo, map[string]string{
			"MESSAGE_ID": outputMessage, "SYSLOG_IDENTIFIER": "kad-notify",
			"INSTANCE": c.Name, "STATE": string(c.State), "HOOK": c.Hook,
		})
		if err != nil {
			n.complain(err)
			return
		}
	}
}

// audible returns stderr, or where that is /dev/null, as keepalived leaves it to its scripts, a
// writer to the journal.
func audible(stderr *os.File) io.Writer {
	var s unix.Stat_t
	null := unix.Mkdev(1, 3)
	if err := unix.Fstat(int(stderr.Fd()), &s); err != nil || s.Mode&syscall.S_IFMT != syscall.S_IFCHR || s.Rdev != null {
		return stderr
	}
	if !journal.Enabled() {
		return stderr
	}
	return complaints{}
}

// complaints writes lines to the journal.
type complaints struct{}

func (complaints) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		line = strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "kad-notify: ")
		if err := send(line, journal.PriErr, map[string]string{"SYSLOG_IDENTIFIER": "kad-notify"}); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// printable returns text with nothing in it that could steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// sleep waits, and reports whether ctx lasted that long.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
