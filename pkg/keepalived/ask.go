package keepalived

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Dump asks p for a text dump, by SIGUSR1 to the child that runs VRRP, and returns it
// when keepalived has closed the new and complete file. A bad dump, or none after half of
// the time, is asked for once more. The error has one of the reasons above, or is that of
// a cancelled ctx.
//
// The file is looked at in short intervals. inotify would tell as much, but to close it
// takes the kernel 6 to 15 ms (fsnotify_wait_marks_destroyed), also when a process ends:
// several times what the dump takes.
func (p *Process) Dump(ctx context.Context) (*Dump, error) {
	switch {
	case p.denied != nil:
		return nil, because(ErrPermission, "keepalived %d: %w, asking it for a dump needs root", p.PID, p.denied)
	case p.VRRP == 0 && len(p.Children) == 0:
		return nil, because(ErrNoVRRP, "keepalived %d has nothing to run", p.PID)
	case p.VRRP == 0:
		return nil, because(ErrNoVRRP, "keepalived %d runs no VRRP, only checkers or BFD", p.PID)
	}
	a := &ask{Process: p}
	if deadline, ok := ctx.Deadline(); ok {
		a.limit = time.Until(deadline).Round(time.Millisecond)
	}
	if err := a.identify(); err != nil {
		return nil, err
	}
	defer unix.Close(a.pidfd)
	defer a.closePlaces()
	if err := a.openPlaces(); err != nil {
		return nil, err
	}
	defer a.lock(ctx)()
	return a.twice(ctx)
}

// ask is one request for a dump.
type ask struct {
	*Process
	limit  time.Duration // of ctx, for error texts
	pidfd  int           // of VRRP
	uid    uint32        // of VRRP, the owner of its dump
	places []*dumpPlace
	again  bool   // the second signal has been sent
	hint   string // why there may be no answer
}

// identify takes hold of the process before it looks at it, so that what it has looked at
// is what will be signalled: SIGUSR1 ends a process that does not expect it.
func (a *ask) identify() (err error) {
	a.pidfd, err = unix.PidfdOpen(a.VRRP, 0)
	if errors.Is(err, unix.ESRCH) {
		return a.gone()
	}
	if err != nil {
		return because(ErrPermission, "keepalived %d: pidfd_open: %w", a.VRRP, err)
	}
	s, err := a.proc.stat(a.VRRP)
	uid, err2 := strconv.ParseUint(a.proc.status(a.VRRP, "Uid"), 10, 32)
	if err != nil || err2 != nil || s.parent != a.PID || s.start != a.start || !a.proc.isKeepalived(a.VRRP) {
		unix.Close(a.pidfd)
		return a.gone()
	}
	a.uid = uint32(uid)
	return nil
}

// twice signals, waits, and does so again if it has to.
func (a *ask) twice(ctx context.Context) (*Dump, error) {
	half, cancel := context.WithTimeout(ctx, patience(ctx))
	defer cancel()
	dump, err := a.once(half)
	if err == nil || errors.Is(err, ErrGone) || ctx.Err() != nil {
		return dump, err
	}
	a.again = true
	dump, err2 := a.once(ctx)
	if errors.Is(err2, ErrNoAnswer) && errors.Is(err, ErrBadDump) {
		return nil, err
	}
	return dump, err2
}

// patience is how long the first answer may take: half of the time that there is.
func patience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline) / 2
	}
	return time.Second
}

func (a *ask) once(ctx context.Context) (*Dump, error) {
	for _, place := range a.places {
		if err := a.remember(ctx, place); err != nil {
			return nil, err
		}
	}
	if err := a.signal(); err != nil {
		return nil, err
	}
	var over error
	for start := time.Now(); ; {
		for _, place := range a.places {
			dump, err := a.look(place)
			if err != nil {
				return nil, err
			}
			if dump != nil && a.ends(0) {
				return nil, a.gone()
			}
			if dump != nil {
				return dump, nil
			}
		}
		if over != nil { // and it did not come while we slept: a busy machine may oversleep
			return nil, over
		}
		over = a.sleep(ctx, min(max(time.Since(start)/16, 200*time.Microsecond), 10*time.Millisecond))
	}
}

func (a *ask) signal() error {
	switch err := unix.PidfdSendSignal(a.pidfd, unix.SIGUSR1, nil, 0); {
	case errors.Is(err, unix.ESRCH):
		return a.gone()
	case err != nil:
		return because(ErrPermission, "keepalived %d: signal SIGUSR1: %w, asking it for a dump needs root", a.VRRP, err)
	}
	return nil
}

// sleep returns an error when VRRP or ctx has ended.
func (a *ask) sleep(ctx context.Context, pause time.Duration) error {
	deadline, limited := ctx.Deadline()
	if limited {
		pause = max(0, min(pause, time.Until(deadline)))
	}
	switch {
	case a.ends(pause):
		return a.gone()
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case limited && time.Until(deadline) <= 0:
		return a.noAnswer()
	}
	return nil
}

// ends reports whether VRRP has ended, or does so while it waits.
func (a *ask) ends(wait time.Duration) bool {
	timeout := unix.NsecToTimespec(wait.Nanoseconds())
	fds := []unix.PollFd{{Fd: int32(a.pidfd), Events: unix.POLLIN}}
	unix.Ppoll(fds, &timeout, nil)
	return fds[0].Revents != 0
}

func (a *ask) gone() error {
	return because(ErrGone, "keepalived %d has ended: it was stopped, or is restarting", a.VRRP)
}

func (a *ask) bad(place *dumpPlace, err error) error {
	if syntax := (*SyntaxError)(nil); errors.As(err, &syntax) {
		syntax.File = place.path()
		return because(ErrBadDump, "keepalived %d: dump %w", a.VRRP, err)
	}
	return because(ErrBadDump, "keepalived %d: dump %s: %w", a.VRRP, place.path(), err)
}

// noAnswer says why none came, as far as can be seen.
func (a *ask) noAnswer() error {
	for _, place := range a.places {
		f, _, err := place.open(a.uid)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue
		case err != nil: // perhaps that of an old file that keepalived cannot replace
			return a.bad(place, err)
		}
		f.Close()
		if place.begun {
			return because(ErrNoAnswer, "keepalived %d began its dump %s but did not finish it within %v", a.VRRP, place.path(), a.limit)
		}
	}
	if s, err := a.proc.stat(a.VRRP); err == nil && s.state == 'T' {
		a.hint = ": the process is stopped (SIGSTOP)"
	}
	return because(ErrNoAnswer, "keepalived %d wrote no dump %s within %v%s", a.VRRP, a.places[0].path(), a.limit, a.hint)
}

// askLock is for root only. A byte of it is locked for each dump, so that of our readers
// none reads a dump while another one's is being written over it, as before keepalived
// 2.0.9, and so that two keepalived with the same file are asked one after the other.
const askLock = "/run/kad-ask.lock"

// lock waits for other readers of the same dump, and returns what lets the next one in.
// Where it cannot be had in reasonable time it goes without.
func (a *ask) lock(ctx context.Context) (unlock func()) {
	f, err := os.OpenFile(askLock, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return func() {}
	}
	var dir unix.Stat_t
	unix.Fstat(a.places[0].dirFd, &dir)
	h := fnv.New64a()
	fmt.Fprint(h, dir.Dev, dir.Ino, a.places[0].name)
	place := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(h.Sum64() >> 2), Len: 1}
	ctx, cancel := context.WithTimeout(ctx, patience(ctx)/2)
	defer cancel()
	for pause := time.Millisecond; ; pause *= 2 {
		if unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &place) == nil || a.sleep(ctx, pause) != nil {
			return func() { f.Close() }
		}
	}
}
