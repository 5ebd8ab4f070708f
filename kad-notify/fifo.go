package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"kad/pkg/cli"
	"kad/pkg/keepalived"
)

const (
	defaultFIFO = "/run/kad/notify.fifo"
	pipeSize    = 1 << 20 // keepalived drops lines that do not fit, without a word
	maxLine     = 4096
	maxQueue    = 10_000 // events that wait
)

func fifoVerb() *cli.Command {
	return &cli.Command{
		Name: "fifo", Usage: "handle the events of keepalived's notify FIFO, in order", ArgsUsage: "[PATH]",
		Description: "Reads PATH (default " + defaultFIFO + "), which it makes when it is missing: run it before keepalived, as a unit, " +
			"with notify_fifo PATH in keepalived.conf. As notify_fifo_script keepalived itself starts it and appends the path. " +
			"When it begins and ends, and when a keepalived has ended, it does for BGP what the verb sync does. " +
			"SIGHUP has it read notify.toml again; when that is wrong it says why and goes on with the old one.",
		Flags: []cli.Flag{&cli.DurationFlag{Name: "stop-timeout", Value: 10 * time.Second,
			Usage: "when told to end, handle what has been read, for at most this `TIME`"}},
		Action: fifo,
	}
}

func fifo(c *cli.Context) error {
	if c.NArg() > 1 {
		return cli.Usagef("unexpected argument %q", c.Args().Get(1))
	}
	if c.Bool("dry-run") {
		return cli.Usagef("--dry-run goes with an event or with sync")
	}
	n, err := newNotifier(c, "fifo")
	if err != nil {
		return err
	}
	name := defaultFIFO
	if c.NArg() == 1 {
		name = c.Args().First()
	}
	hangups := hangups() // before anybody can know that we are there
	pipe, err := openFIFO(name)
	if err != nil {
		return err
	}
	defer pipe.Close()
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGTERM, os.Interrupt)
	defer stop()
	return n.serve(ctx, pipe, hangups, c.Duration("stop-timeout"))
}

// openFIFO opens a FIFO, which it makes when there is none, for this process alone. Open for
// writing too it is never at its end, and what keepalived writes while no one of its own has it
// open, as in a reload, is kept.
func openFIFO(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mkfifo(name, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &os.PathError{Op: "mkfifo", Path: name, Err: err}
	}
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := claim(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func claim(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeNamedPipe == 0 {
		return fmt.Errorf("%s is not a FIFO", f.Name())
	}
	if err := keepalived.Secure(f.Name()); err != nil {
		return err
	}
	raw, err := f.SyscallConn() // Fd would make it blocking
	if err != nil {
		return err
	}
	var lockErr error
	err = raw.Control(func(fd uintptr) {
		lockErr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB)
		// Refused above fs.pipe-max-size, and to users with many pipes: a smaller one does as well.
		_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize)
	})
	if errors.Is(lockErr, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s is being read by another kad-notify", f.Name())
	}
	return errors.Join(err, lockErr)
}

// serve handles events until ctx ends, and then those that have been read, for at most grace. For each of
// hangups it reloads.
func (n *notifier) serve(ctx context.Context, pipe *os.File, hangups <-chan os.Signal, grace time.Duration) error {
	q := newQueue()
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	var readErr error
	reader := make(chan struct{})
	go func() {
		defer close(reader)
		defer q.close()
		readErr = n.read(pipe, q)
	}()
	defer context.AfterFunc(ctx, func() {
		_ = pipe.SetReadDeadline(time.Now().Add(drainTime))
		time.AfterFunc(grace, func() { cancel(fmt.Errorf("not done %v after kad-notify was told to end", grace)) })
	})()
	go each(ctx, hangups, func() { q.push(reloadAsked) })
	go n.relays.watch(ctx, q.heard, func() { q.push(keepalivedEnded) })
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // keepalived, which waits for it, may start
	n.settle(work)
	for e, ok := q.pop(); ok && work.Err() == nil; e, ok = q.pop() {
		switch e {
		case keepalivedEnded:
			n.settle(work)
		case reloadAsked:
			n.reload(work)
		default:
			n.inOrder(work, e)
		}
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	n.settle(context.WithoutCancel(ctx))
	pipe.Close()
	<-reader
	return readErr
}

// keepalivedEnded is in the queue when a keepalived has ended: it may have been killed, and said nothing.
var keepalivedEnded = keepalived.Event{Kind: "ended"}

// drainTime is how long after SIGTERM lines are still read: keepalived ends its reader just when it writes STOP.
const drainTime = 100 * time.Millisecond

// settleTime is how long the start and the end may take.
const settleTime = 5 * time.Second

// settle makes BGP agree with keepalived, for events that were not seen: before the start and after the end.
func (n *notifier) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := n.sync(ctx, syncOptions{}); err != nil {
		n.complain(err)
	}
}

// inOrder handles one event of the FIFO. None is dropped for a newer one.
func (n *notifier) inOrder(ctx context.Context, e keepalived.Event) {
	r, err := n.store.open(e.Kind, e.Name)
	if err == nil && e.Transition() {
		err = r.register(ticketNow())
	}
	if err != nil {
		n.complain(fmt.Errorf("state directory: %w", err))
	}
	defer r.release()
	if err := n.await(ctx, r, e); err != nil {
		n.complain(err)
		return
	}
	if err := n.perform(ctx, r, e, func() bool { return false }); err != nil && !errors.Is(err, errFailed) {
		n.complain(err)
	}
}

// untilEmpty reads a pipe until its deadline, and then what is left in it, which may be much: what a machine is too busy to read in
// time is not lost.
type untilEmpty struct{ pipe *os.File }

func (u untilEmpty) Read(b []byte) (n int, err error) {
	n, err = u.pipe.Read(b)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	raw, rawErr := u.pipe.SyscallConn()
	if rawErr != nil {
		return 0, rawErr
	}
	_ = raw.Control(func(fd uintptr) { n, _ = unix.Read(int(fd), b) }) // does not wait
	return max(n, 0), err
}

// read puts the events of a FIFO into q, until the deadline of pipe.
func (n *notifier) read(pipe *os.File, q *queue) error {
	lines := &lineReader{r: untilEmpty{pipe}}
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed), errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errOverlong):
			n.complain(fmt.Errorf("%s: %w", pipe.Name(), err))
			continue
		case err != nil:
			return err
		}
		e, err := n.parseLine(line)
		if err != nil {
			n.complain(fmt.Errorf("%s: %w", pipe.Name(), err))
			continue
		}
		if e.Kind != keepalived.InstanceEvent && e.Kind != keepalived.GroupEvent {
			continue // a server of LVS
		}
		if dropped := q.push(e); dropped > 0 {
			n.complain(fmt.Errorf("%s: %d events of %s are left out, it is in the state %s by now", pipe.Name(), dropped, e.Name, e.State))
		}
	}
}

// parseLine reads a line, or what follows a half line in it: what looks like the name of an instance
// with `INSTANCE "` inside is two lines, of which the first has lost its end.
func (n *notifier) parseLine(line []byte) (keepalived.Event, error) {
	for _, kind := range []keepalived.EventKind{keepalived.InstanceEvent, keepalived.GroupEvent} {
		i := bytes.LastIndex(line, []byte(string(kind)+` "`))
		if i < 1 {
			continue
		}
		if e, err := keepalived.ParseNotifyLine(line[i:]); err == nil {
			n.complain(fmt.Errorf("half a line is left out: %s", strings.ToValidUTF8(string(line[:i]), "?")))
			return e, nil
		}
	}
	return keepalived.ParseNotifyLine(line)
}

var errOverlong = fmt.Errorf("a line of more than %d bytes is left out", maxLine)

// lineReader parts what it reads into lines of at most maxLine bytes.
type lineReader struct {
	r    io.Reader
	buf  [64 << 10]byte
	rest []byte // of buf, not yet returned
	line []byte
	skip bool // the line that has begun is too long
}

// next returns the next line without its end. It is good until the next call.
func (l *lineReader) next() ([]byte, error) {
	l.line = l.line[:0]
	for {
		part, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		l.rest = rest
		if len(l.line)+len(part) > maxLine {
			l.skip = true
		}
		if !l.skip {
			l.line = append(l.line, part...)
		}
		switch {
		case whole && l.skip:
			l.skip = false
			return nil, errOverlong
		case whole:
			return l.line, nil
		}
		size, err := l.r.Read(l.buf[:])
		if size == 0 && err != nil {
			return nil, err
		}
		l.rest = l.buf[:size]
	}
}

// queue holds events that wait, in their order.
type queue struct {
	mu     sync.Mutex // guards what follows
	some   *sync.Cond
	events []keepalived.Event
	closed bool

	heard chan struct{} // has a value when events were pushed
}

func newQueue() *queue {
	q := &queue{heard: make(chan struct{}, 1)}
	q.some = sync.NewCond(&q.mu)
	return q
}

// push adds e. When maxQueue events wait, those of e's instance that it makes obsolete are dropped
// and counted, or if there are none the oldest of all.
func (q *queue) push(e keepalived.Event) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) >= maxQueue {
		kept := q.events[:0]
		for _, old := range q.events {
			if old.Kind != e.Kind || old.Name != e.Name || !e.Transition() {
				kept = append(kept, old)
			}
		}
		dropped = len(q.events) - len(kept)
		q.events = kept
	}
	if len(q.events) >= maxQueue {
		q.events = q.events[1:]
		dropped = 1
	}
	q.events = append(q.events, e)
	q.some.Signal()
	select {
	case q.heard <- struct{}{}:
	default:
	}
	return dropped
}

// pop takes the oldest event, and waits for one; ok is false when the queue is closed and empty.
func (q *queue) pop() (e keepalived.Event, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.events) == 0 && !q.closed {
		q.some.Wait()
	}
	if len(q.events) == 0 {
		return e, false
	}
	e = q.events[0]
	q.events = q.events[1:]
	return e, true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.some.Broadcast()
}
