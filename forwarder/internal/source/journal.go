package source

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/pkg/syslog"
)

// Journal reads systemd's journal through journalctl(1), and goes on where it was after a restart.
type Journal struct {
	Common
	Prefix       string      `toml:"prefix"`           // of the names that fields get
	ReadOld      bool        `toml:"read_old_records"` // from the beginning when no position is known
	MaxFieldSize option.Size `toml:"max_field_size"`
	Matches      []string    `toml:"matches"` // FIELD=value: only entries that match, as journalctl has it

	stateDir string
}

func newJournal(g *option.Globals) Driver {
	c := common(g)
	c.DefaultPriority = "local0.notice"
	return &Journal{Common: c, Prefix: ".journald.", ReadOld: true, MaxFieldSize: 64 << 10, stateDir: filepath.Join(g.State(), "journal")}
}

var journalMatch = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(\+|[A-Z0-9_]+=.*)$`) })

// Init checks the options.
func (j *Journal) Init() error {
	for _, m := range j.Matches {
		if !journalMatch().MatchString(m) {
			return option.Errorf("matches", `%q is neither FIELD=value nor "+"`, m)
		}
	}
	if j.MaxFieldSize < minMsgSize || j.MaxFieldSize > maxMsgSize {
		return option.Errorf("max_field_size", "%d is not from %d to %d", j.MaxFieldSize, minMsgSize, maxMsgSize)
	}
	return j.Common.Init()
}

// Open makes ready.
func (j *Journal) Open(in *Input) (Runner, error) {
	if _, err := exec.LookPath("journalctl"); err != nil {
		return nil, err
	}
	return &journal{Input: in, options: j}, nil
}

// A journal reads what a journalctl writes, one after the other.
type journal struct {
	*Input
	options *Journal
	r       *reader
	state   *state
	at      journalPosition
	saved   journalPosition
	names   map[string]logmsg.Name // of fields
}

// A journalPosition is the state of a journal source.
type journalPosition struct {
	Schema int    `json:"schema"`
	Cursor string `json:"cursor"` // of the last entry that is in the queues of its destinations
}

const journalSchema = 1

// How long to wait before journalctl is started again: from the least to the greatest, doubled each time that it brought
// nothing.
const (
	minRestart = 200 * time.Millisecond
	maxRestart = 30 * time.Second
)

// Run reads until ctx ends.
func (j *journal) Run(ctx context.Context) error {
	j.r = j.newReader()
	defer j.r.end()
	j.load(ctx)
	defer j.state.close()
	wait := minRestart
	for ctx.Err() == nil {
		before := j.at
		err := j.read(ctx)
		j.save()
		if ctx.Err() != nil {
			break
		}
		if j.at != before {
			wait = minRestart
		}
		j.tell(&j.onsets.read, "journalctl ended, it is started again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, maxRestart)
	}
	return nil
}

func (j *journal) load(ctx context.Context) {
	var err error
	if j.state, err = openState(ctx, j.options.stateDir, j.Name, strings.Join(j.options.Matches, " "), j.Logger); err != nil {
		j.Logger.Warn("the position in the journal is not kept", "error", err)
	}
	at := journalPosition{Schema: journalSchema}
	if err = j.state.load(&at); err == nil && at.Schema != journalSchema {
		err = fmt.Errorf("schema %d is not known", at.Schema)
	}
	if err != nil {
		j.Logger.Error("the position in the journal is lost, read_old_records says where to begin", "error", err)
		at = journalPosition{Schema: journalSchema}
	}
	j.at, j.saved = at, at
}

func (j *journal) save() {
	if j.at == j.saved {
		return
	}
	if err := j.state.save(j.at); err != nil {
		j.tell(&j.onsets.receive, "the position in the journal is not saved", "error", err)
		return
	}
	j.saved = j.at
}

// arguments are those of journalctl.
func (j *journal) arguments() []string {
	args := []string{"--output=export", "--follow", "--quiet"}
	switch {
	case j.at.Cursor != "":
		args = append(args, "--no-tail", "--after-cursor="+j.at.Cursor)
	case j.options.ReadOld:
		args = append(args, "--no-tail")
	default:
		args = append(args, "--lines=0")
	}
	return append(args, j.options.Matches...)
}

// read starts a journalctl and takes its entries through the log paths until it ends.
func (j *journal) read(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "journalctl", j.arguments()...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Second
	talk := &tail{}
	cmd.Stderr = talk
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	err = j.entries(out)
	cancel() // it is of no use any more
	if ended := cmd.Wait(); errors.Is(err, io.EOF) {
		err = ended
	}
	if text := talk.String(); text != "" {
		err = fmt.Errorf("%w: %s", cmp.Or(err, io.EOF), text)
	}
	return err
}

// maxBatch is how many entries are handed over at once, at most.
const maxBatch = 256

// entries handles entries until the stream ends. What has come so far is handed over before it waits for more.
func (j *journal) entries(from io.Reader) error {
	e := newExportReader(from, int(j.options.MaxFieldSize))
	for last := time.Now(); ; {
		fields, err := e.next() // waits
		if err != nil {
			return err
		}
		j.r.begin()
		cursor := ""
		for n := 1; ; n++ {
			if c := j.entry(fields); c != "" {
				cursor = c
			}
			if n == maxBatch || !e.hasEntry() {
				break
			}
			if fields, err = e.next(); err != nil {
				break
			}
		}
		j.r.counts.truncated += e.cut
		e.cut = 0
		j.r.flush()
		j.at.Cursor = cmp.Or(cursor, j.at.Cursor)
		if err != nil {
			return err
		}
		if time.Since(last) >= saveInterval || e.Buffered() == 0 {
			j.save()
			last = time.Now()
		}
	}
}

// hasEntry tells whether the next entry is there already, as far as can be seen.
func (e *exportReader) hasEntry() bool {
	b, _ := e.Peek(e.Buffered()) // it is there
	return bytes.Contains(b, []byte("\n\n"))
}

// entry takes an entry through the log paths and returns its cursor. The fields become what systemd-journal() of syslog-ng makes
// of them.
func (j *journal) entry(fields []exportField) (cursor string) {
	m := &j.r.message
	m.Reset(j.r.origin, j.r.now)
	facility, severity := j.r.parser.DefaultPriority.Facility(), j.r.parser.DefaultPriority.Severity()
	m.Timestamp = j.r.now
	for _, f := range fields {
		switch f.name {
		case "__CURSOR":
			cursor = string(f.value)
		case "MESSAGE":
			m.Msg = f.value
		case "_HOSTNAME":
			m.Hostname = f.value
		case "_PID":
			m.ProcID = f.value
		case "SYSLOG_IDENTIFIER":
			m.AppName = f.value
		case "_COMM":
			if len(m.AppName) == 0 {
				m.AppName = f.value
			}
		case "SYSLOG_FACILITY":
			if n, err := strconv.ParseUint(string(f.value), 10, 7); err == nil {
				facility = syslog.Facility(n)
			}
		case "PRIORITY":
			if n, err := strconv.ParseUint(string(f.value), 10, 3); err == nil {
				severity = syslog.Severity(n)
			}
		case "__REALTIME_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP": // the second comes later, and is the better one
			if us, err := strconv.ParseInt(string(f.value), 10, 64); err == nil {
				m.Timestamp = syslog.TimeOf(time.UnixMicro(us))
			}
		}
		if !strings.HasPrefix(f.name, "__") { // those are of the export, not of the entry
			m.Set(j.nameOf(f.name), f.value)
		}
	}
	m.Priority = syslog.NewPriority(facility, severity)
	m.HeaderChanged()
	j.r.deliver(m)
	return cursor
}

// maxNames is how many names of fields are remembered.
const maxNames = 4096

func (j *journal) nameOf(field string) logmsg.Name {
	n, ok := j.names[field]
	if !ok {
		if j.names == nil || len(j.names) >= maxNames {
			j.names = map[string]logmsg.Name{}
		}
		n = logmsg.NameOf(j.options.Prefix + field)
		j.names[field] = n
	}
	return n
}

// A tail is the end of what was written.
type tail struct{ bytes.Buffer }

const tailSize = 1024

func (t *tail) Write(p []byte) (int, error) {
	n, err := t.Buffer.Write(p)
	if over := t.Len() - tailSize; over > 0 {
		t.Next(over)
	}
	return n, err
}

func (t *tail) String() string { return string(bytes.TrimSpace(t.Bytes())) }
