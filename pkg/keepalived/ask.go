package keepalived

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Dump asks p for a text dump, by SIGUSR1 to the child that runs VRRP, and returns it
// when keepalived has closed the new and complete file. A bad dump, or none after half of
// the time, is asked for once more. The error has one of the reasons above, or is that of
// a cancelled ctx.
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
	w, err := newWaiter(a.pidfd, a.places, a.loaded != "")
	if err != nil {
		return nil, err
	}
	defer w.close()
	return a.twice(ctx, w)
}

// ask is one request for a dump.
type ask struct {
	*Process
	limit  time.Duration // of ctx, for error texts
	pidfd  int           // of VRRP
	uid    uint32        // of VRRP, the owner of its dump
	places []*dumpPlace
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

func (a *ask) gone() error {
	return because(ErrGone, "keepalived %d has ended: it was stopped, or is restarting", a.VRRP)
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

// twice signals, waits, and does so again if it has to.
func (a *ask) twice(ctx context.Context, w *waiter) (*Dump, error) {
	half, cancel := context.WithTimeout(ctx, a.patience(ctx))
	defer cancel()
	w.begin()
	dump, err := a.once(half, w)
	if err == nil && a.isOurs(dump) || errors.Is(err, ErrGone) || ctx.Err() != nil {
		return dump, err
	}
	if !errors.Is(err, ErrNoAnswer) { // a dump that has begun since the first signal will do
		w.begin()
	}
	dump, again := a.once(ctx, w)
	if errors.Is(again, ErrNoAnswer) && errors.Is(err, ErrBadDump) {
		return nil, err
	}
	return dump, again
}

// patience is how long the first answer may take: half of the time that there is.
func (a *ask) patience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline) / 2
	}
	return time.Second
}

func (a *ask) once(ctx context.Context, w *waiter) (*Dump, error) {
	if err := a.signal(); err != nil {
		return nil, err
	}
	place, data, err := w.next(ctx, a.uid)
	switch {
	case errors.Is(err, errEnded):
		return nil, a.gone()
	case errors.Is(err, context.DeadlineExceeded):
		return nil, a.noAnswer()
	case place == nil:
		return nil, err
	case err != nil:
		return nil, a.bad(place, err)
	}
	dump, err := ParseDump(data)
	if err != nil {
		if syntax := (*SyntaxError)(nil); errors.As(err, &syntax) {
			syntax.File = place.path()
		}
		return nil, because(ErrBadDump, "keepalived %d: dump %w", a.VRRP, err)
	}
	return dump, nil
}

// isOurs tells our dump from that of another keepalived that writes to the same file, if
// we know who we are.
func (a *ask) isOurs(d *Dump) bool {
	return !a.known || d.InstanceName == a.Name && d.NetworkNamespace == a.NetNamespace
}

func (a *ask) bad(place *dumpPlace, err error) error {
	return because(ErrBadDump, "keepalived %d: dump %s: %w", a.VRRP, place.path(), err)
}

// noAnswer says why none came, as far as can be seen.
func (a *ask) noAnswer() error {
	for _, place := range a.places {
		_, err := place.read(a.uid)
		switch {
		case err != nil && !errors.Is(err, unix.ENOENT): // also of an old one that keepalived cannot replace
			return a.bad(place, err)
		case place.begun:
			return because(ErrNoAnswer, "keepalived %d began its dump %s but did not finish it within %v", a.VRRP, place.path(), a.limit)
		}
	}
	hint := ""
	if s, err := a.proc.stat(a.VRRP); err == nil && s.state == 'T' {
		hint = ": the process is stopped (SIGSTOP)"
	}
	return because(ErrNoAnswer, "keepalived %d wrote no dump %s within %v%s", a.VRRP, a.places[0].path(), a.limit, hint)
}

// dumpPlace is a file that may become the dump.
type dumpPlace struct {
	dir  string // as keepalived names it
	fd   int    // of dir
	name string // of the file

	placeEvents
}

func (d *dumpPlace) path() string { return path.Join(d.dir, d.name) }

// openPlaces opens the directories in which keepalived may write its dump
// (core/global_data.c open_dump_file, lib/utils.c set_tmp_dir), as keepalived sees them.
func (a *ask) openPlaces() error {
	root, err := unix.Open(a.proc.path(a.VRRP, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return because(ErrPermission, "keepalived %d: its root directory: %w, asking it for a dump needs root", a.VRRP, err)
	}
	defer unix.Close(root)
	dirs, name := a.dumpFile()
	for _, dir := range dirs {
		var fd int
		fd, err = unix.Openat2(root, dir, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
		if err == nil {
			a.places = append(a.places, &dumpPlace{dir: dir, fd: fd, name: name})
		}
	}
	if len(a.places) == 0 {
		return because(ErrNoAnswer, "keepalived %d: cannot write its dump to %s: %w", a.VRRP, dirs[0], err)
	}
	return nil
}

func (a *ask) closePlaces() {
	for _, place := range a.places {
		unix.Close(place.fd)
	}
}

// dumpFile returns the directories that keepalived may use, by its version and how it was
// built, and the file's name. Without a configuration it is the default.
func (a *ask) dumpFile() (dirs []string, name string) {
	c, _, err := a.Config()
	if err != nil {
		c = new(Config)
	}
	dir, file := path.Split(c.StateDumpFile)
	if file == "" {
		file = "keepalived.data"
	}
	if c.DataUseInstance {
		ext := path.Ext(file)
		file = strings.TrimSuffix(file, ext) + instanceSuffix(a.NetNamespace, a.Name) + ext
	}
	if path.IsAbs(dir) {
		return []string{dir}, file
	}
	if tmp := a.env("TMPDIR"); path.IsAbs(tmp) { // >= 2.2.5
		dirs = append(dirs, tmp)
	}
	return append(dirs, "/tmp", "/run/keepalived"), file // --with-tmp-dir= is /tmp by default
}

func instanceSuffix(namespace, instance string) string {
	switch {
	case namespace == "" && instance == "":
		return ""
	case namespace == "" || instance == "":
		return "." + namespace + instance
	}
	return "." + namespace + "_" + instance
}

// read returns the whole dump; uid must own it.
func (d *dumpPlace) read(uid uint32) ([]byte, error) {
	fd, err := unix.Openat(d.fd, d.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, errors.New("is a symbolic link, keepalived writes a file")
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), d.path())
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, errors.New("is not a file")
	case st.Uid != uid:
		return nil, fmt.Errorf("belongs to uid %d, not to keepalived's uid %d", st.Uid, uid)
	case st.Size > MaxDump:
		return nil, fmt.Errorf("%d bytes are more than the %d of the largest dump", st.Size, MaxDump)
	}
	data := bytes.NewBuffer(make([]byte, 0, st.Size+bytes.MinRead))
	_, err = data.ReadFrom(io.LimitReader(f, MaxDump+1))
	return data.Bytes(), err
}

// askLock is shared by all of our readers, and by root only: a place in it is locked for
// each dump, so that none reads while another's dump is being written over it, as before
// keepalived 2.0.9.
const askLock = "/run/kad-ask.lock"

// lock waits for other readers of the same dump, and returns what lets the next one in.
// Where it cannot be had in reasonable time it goes without.
func (a *ask) lock(ctx context.Context) (unlock func()) {
	f, err := os.OpenFile(askLock, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return func() {}
	}
	var dir unix.Stat_t
	unix.Fstat(a.places[0].fd, &dir)
	h := fnv.New64a()
	h.Write(strconv.AppendUint(strconv.AppendUint([]byte(a.places[0].name+"/"), dir.Dev, 10), dir.Ino, 10))
	place := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(h.Sum64() >> 2), Len: 1}
	ctx, cancel := context.WithTimeout(ctx, a.patience(ctx)/2)
	defer cancel()
	for pause := time.Millisecond; ctx.Err() == nil; pause *= 2 {
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &place); err == nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return func() { f.Close() }
}
