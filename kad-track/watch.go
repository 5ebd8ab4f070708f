package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"kad/pkg/atomicfile"
	"kad/pkg/cli"
	"kad/pkg/control"
)

var watchFlags = []cli.Flag{
	&cli.StringFlag{Name: "track-file", Required: true, Usage: "write to `FILE`"},
	&cli.IntFlag{Name: "fail-weight", Value: 1, Usage: "write `N` while a check fails; keepalived multiplies it with the weight of the track_file"},
	&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "check each `TIME`"},
	&cli.IntFlag{Name: "rise", Value: 2, Usage: "pass after `N` good rounds in a row; the first round decides alone"},
	&cli.IntFlag{Name: "fall", Value: 2, Usage: "fail after `N` bad rounds in a row, but at once when a process or unit has ended, or a host is drained"},
}

func watchVerb() *cli.Command {
	return &cli.Command{
		Name:  "watch",
		Usage: "keep checking, and write the verdict into keepalived's track_file",
		Description: "The file says 0 while all checks pass. The death of a process that a check vouches for, " +
			"by its control socket, pid file or unit, is written the moment it happens; what else fails, at the next check. " +
			"The file says the other value before this program is ready, and when it ends.",
		Flags: watchFlags,
		Action: func(c *cli.Context) error {
			w, err := newWatcher(c)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
			defer stop()
			return w.run(ctx)
		},
	}
}

// watcher keeps a track_file. Its fields are run's alone.
type watcher struct {
	file     string
	bad      string // what the file says while a check fails
	checks   []check
	units    []string
	timeout  time.Duration // of a round of checks
	interval time.Duration
	verdict  hysteresis
	talk     io.Writer

	processes map[int]context.CancelFunc // watched, by process ID
	deaths    chan int                   // process IDs
	trouble   string                     // last spoken of
}

func newWatcher(c *cli.Context) (*watcher, error) {
	j, err := prepare(c)
	if err != nil {
		return nil, err
	}
	w := &watcher{
		file: c.String("track-file"), bad: strconv.Itoa(c.Int("fail-weight")) + "\n",
		checks: j.checks, units: j.list.units(), timeout: j.timeout, interval: c.Duration("interval"),
		verdict: hysteresis{rise: c.Int("rise"), fall: c.Int("fall")},
		talk:    c.App.ErrWriter,
	}
	switch {
	case c.Int("fail-weight") == 0:
		return nil, cli.Usagef("--fail-weight 0: want another number, 0 is what a passing check writes")
	case w.interval <= 0:
		return nil, cli.Usagef("--interval %v: want more than 0", w.interval)
	case w.verdict.rise < 1 || w.verdict.fall < 1:
		return nil, cli.Usagef("--rise and --fall: want at least 1")
	}
	return w, nil
}

// round is what one run of all checks has found.
type round struct {
	err  error // of the first check that fails
	pids []int // that the checks vouch for, all of them if err is nil
}

// run keeps the file until ctx ends, and leaves it failing. An error is one of writing that.
func (w *watcher) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := w.fail(); err != nil {
		return err
	}
	defer func() {
		notify(sd.SdNotifyStopping)
		err = errors.Join(err, w.fail())
	}()
	w.processes, w.deaths = map[int]context.CancelFunc{}, make(chan int)
	changes := make(chan struct{}, 1)
	for _, unit := range w.units {
		go watchUnit(ctx, unit, changes)
	}
	watchdog, stop := watchdogTicks()
	defer stop()
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	rounds := make(chan round, 1)
	check := func() { rounds <- w.check(ctx) }
	go check()
	running, outdated, again := true, false, false
	for {
		select {
		case <-ctx.Done():
			return nil
		case pid := <-w.deaths:
			outdated = running // it may have asked the dead one
			err = w.died(pid)
		case r := <-rounds:
			running = false
			if !outdated {
				err = w.judge(ctx, r)
			}
			outdated = false
		case <-changes:
			again = true
		case <-tick.C:
			again = true
		case <-watchdog:
			notify(sd.SdNotifyWatchdog)
		}
		if err != nil {
			return err
		}
		if again && !running {
			running, again = true, false
			go check()
		}
	}
}

// watchdogTicks comes twice as often as systemd's WatchdogSec wants a sign of life.
func watchdogTicks() (<-chan time.Time, func()) {
	period, err := sd.SdWatchdogEnabled(false)
	if err != nil || period <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(period / 2)
	return t.C, t.Stop
}

// check runs all checks once.
func (w *watcher) check(ctx context.Context) round {
	var r round
	for found := range results(ctx, w.checks, w.timeout) {
		if found.err != nil {
			return round{err: fmt.Errorf("%s: %w", found.name, found.err)}
		}
		if found.pid > 0 {
			r.pids = append(r.pids, found.pid)
		}
	}
	return r
}

// judge takes a round into the verdict, and writes it when it changes.
func (w *watcher) judge(ctx context.Context, r round) error {
	if r.err == nil {
		w.follow(ctx, r.pids)
	}
	changed := w.verdict.observe(r.err == nil, isCertain(r.err))
	if err := w.write(); err != nil {
		return err
	}
	if changed {
		w.tell(r.err)
	}
	return nil
}

// died takes the death of a process into the verdict.
func (w *watcher) died(pid int) error {
	cancel, ok := w.processes[pid]
	if !ok {
		return nil // no longer a process that matters
	}
	cancel()
	delete(w.processes, pid)
	if !w.verdict.observe(false, true) {
		return nil
	}
	err := w.write()
	w.tell(fmt.Errorf("process %d has died", pid))
	return err
}

// tell says that the verdict has changed, and why. The first time it does we are ready.
func (w *watcher) tell(why error) {
	text := "up"
	if why != nil {
		text = "down: " + why.Error()
	}
	fmt.Fprintf(w.talk, "kad-track: %s\n", text)
	notify(sd.SdNotifyReady + "\nSTATUS=" + text)
}

// notify tells systemd a state (sd_notify(3)). Unlike that of go-systemd it waits only 100 ms for a systemd that does not
// listen: by attempts, not by the clock, or a READY would get lost when the machine stalls before the first of them.
func notify(state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	conn, _, err := control.Dial(context.Background(), socket, syscall.SOCK_DGRAM)
	if err != nil {
		return
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	for range 10 {
		_ = raw.Control(func(fd uintptr) { _, err = unix.Write(int(fd), []byte(state)) })
		if !errors.Is(err, unix.EAGAIN) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// write makes the file say what the verdict is, also when somebody else has changed it. When
// it cannot say that all is well it goes on failing, and the next round tries again.
func (w *watcher) write() error {
	if !w.verdict.up {
		return w.fail()
	}
	if got, _ := os.ReadFile(w.file); string(got) == "0\n" {
		return nil
	}
	if err := atomicfile.Write(w.file, "0\n"); err != nil {
		w.complain(err.Error())
	}
	return nil
}

// complain speaks of trouble, once while it stays the same.
func (w *watcher) complain(trouble string) {
	if trouble != w.trouble {
		w.trouble = trouble
		fmt.Fprintf(w.talk, "kad-track: %s\n", trouble)
	}
}

// fail makes the file say that a check fails. On a full disk it is overwritten in place.
func (w *watcher) fail() error {
	if got, _ := os.ReadFile(w.file); string(got) == w.bad {
		return nil
	}
	err := atomicfile.Write(w.file, w.bad)
	if err == nil || overwrite(w.file, w.bad) == nil {
		return nil
	}
	return err
}

// overwrite changes what a file says without taking more room for it.
func overwrite(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Truncate(int64(len(text))), f.Close())
}

// follow watches these processes, and no others.
func (w *watcher) follow(ctx context.Context, pids []int) {
	for pid, cancel := range maps.Clone(w.processes) {
		if !slices.Contains(pids, pid) {
			cancel()
			delete(w.processes, pid)
		}
	}
	for _, pid := range pids {
		if w.processes[pid] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		err := onDeath(ctx, pid, func() {
			select {
			case w.deaths <- pid:
			case <-ctx.Done():
			}
		})
		if err == nil {
			w.processes[pid] = cancel
			continue
		}
		cancel()
		w.complain(err.Error() + ": a death is seen at the next check only")
	}
}

// hysteresis is a verdict that takes several rounds of the same kind to change.
type hysteresis struct {
	rise, fall int // rounds

	up      bool
	decided bool
	streak  int // rounds that disagreed with up
}

// observe takes one round and reports whether the verdict has changed. The first round decides,
// and a failure that is certain.
func (h *hysteresis) observe(pass, certain bool) (changed bool) {
	needed := h.fall
	if pass {
		needed = h.rise
	}
	if !h.decided || certain && !pass {
		needed = 1
	}
	switch {
	case pass == h.up && h.decided:
		h.streak = 0
		return false
	case pass == h.up:
		h.decided = true
		return true
	}
	h.streak++
	if h.streak < needed {
		return false
	}
	h.up, h.decided, h.streak = pass, true, 0
	return true
}
