package keepalived

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// errEnded says that the process that was to answer has ended.
var errEnded = errors.New("the process has ended")

// waiter waits for a new dump at one of several places, for the end of the process that
// is to write it, and for the end of a context.
//
// Since 2.0.9 keepalived renames the file into place before it writes it, before that it
// truncates the old one (lib/utils.c fopen_safe): that there is a file says nothing, nor
// does its size. A dump is new when it began after the signal, and whole when it was then
// closed. Where inotify is impossible the places are looked at again and again.
type waiter struct {
	places  []*dumpPlace
	pidfd   int
	inotify int      // -1 where it is impossible
	wake    *os.File // an eventfd: a context has ended
	wakeFd  int
	renames bool // this keepalived is surely >= 2.0.9
}

// placeEvents is what happened to a dumpPlace since the signal.
type placeEvents struct {
	watch   int32 // of inotify
	begun   bool  // a new dump has begun,
	closed  bool  // and is finished
	changes int   // counts beginnings, and writes before 2.0.9

	before, last unix.Stat_t // without inotify: at the signal, and when last looked at
	held         *os.File    // the file of before, so that its inode number is not used again
}

// inotifyInit is a variable for tests without inotify.
var inotifyInit = unix.InotifyInit1

func newWaiter(pidfd int, places []*dumpPlace, renames bool) (*waiter, error) {
	w := &waiter{places: places, pidfd: pidfd, renames: renames}
	var err error
	if w.wakeFd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	w.wake = os.NewFile(uintptr(w.wakeFd), "eventfd")
	if w.inotify, err = inotifyInit(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		w.inotify = -1
	}
	for _, place := range places {
		if w.inotify >= 0 && !w.watch(place) {
			unix.Close(w.inotify)
			w.inotify = -1
		}
	}
	return w, nil
}

func (w *waiter) watch(place *dumpPlace) bool {
	mask := uint32(unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE)
	if !w.renames {
		mask |= unix.IN_CREATE | unix.IN_OPEN | unix.IN_MODIFY
	}
	wd, err := unix.InotifyAddWatch(w.inotify, fmt.Sprintf("/proc/self/fd/%d", place.fd), mask)
	place.watch = int32(wd)
	return err == nil
}

func (w *waiter) close() {
	w.wake.Close()
	for _, place := range w.places {
		place.held.Close()
	}
	if w.inotify >= 0 {
		unix.Close(w.inotify)
	}
}

// begin forgets what has happened: the signal follows.
func (w *waiter) begin() {
	w.drain()
	for _, place := range w.places {
		place.begun, place.closed = false, false
		if w.inotify < 0 {
			place.hold()
		}
	}
}

// next returns the next new dump, or its place and what is wrong with the file there, or
// no place and errEnded or the error of ctx.
func (w *waiter) next(ctx context.Context, uid uint32) (*dumpPlace, []byte, error) {
	defer context.AfterFunc(ctx, func() { w.wake.Write(binary.NativeEndian.AppendUint64(nil, 1)) })()
	for pause := 1; ; pause = min(2*pause, 16) {
		for _, place := range w.places {
			data, err, ok := w.look(place, uid)
			if ok {
				return place, data, err
			}
		}
		if w.inotify >= 0 {
			pause = -1
		}
		if err := w.block(ctx, pause); err != nil {
			return nil, nil, err
		}
		w.drain()
	}
}

// look reads the dump at place if it is finished, and stays so while it is read.
func (w *waiter) look(place *dumpPlace, uid uint32) (data []byte, err error, ok bool) {
	if w.inotify < 0 {
		if !place.settled(w.renames) {
			return nil, nil, false
		}
		data, err = place.read(uid)
		return data, err, err != nil || Complete(data)
	}
	for place.closed {
		changes := place.changes
		data, err = place.read(uid)
		if w.drain(); place.changes == changes {
			return data, err, true
		}
	}
	return nil, nil, false
}

// block sleeps until there is something to look at, or for that many milliseconds unless
// they are negative.
func (w *waiter) block(ctx context.Context, milliseconds int) error {
	fds := []unix.PollFd{
		{Fd: int32(w.pidfd), Events: unix.POLLIN},
		{Fd: int32(w.wakeFd), Events: unix.POLLIN},
		{Fd: int32(w.inotify), Events: unix.POLLIN},
	}
	if _, err := unix.Poll(fds, milliseconds); err != nil && err != unix.EINTR {
		return os.NewSyscallError("poll", err)
	}
	if fds[0].Revents != 0 {
		return errEnded
	}
	if fds[1].Revents != 0 { // of this context, or late from the one before
		w.wake.Read(make([]byte, 8))
	}
	return ctx.Err()
}

// drain takes notice of all events that have come.
func (w *waiter) drain() {
	var buf [4096]byte // inotify(7): an event is 16 bytes and a name of at most 256
	for w.inotify >= 0 {
		n, err := unix.Read(w.inotify, buf[:])
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			wd, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
			end := unix.SizeofInotifyEvent + binary.NativeEndian.Uint32(b[12:])
			name := unix.ByteSliceToString(b[unix.SizeofInotifyEvent:end])
			for _, place := range w.places {
				if place.watch == wd && place.name == name {
					place.note(mask)
				}
			}
			b = b[end:]
		}
	}
}

// note tells a dump's beginning: a rename, or before 2.0.9 an open, which comes after the
// change of size to 0. A dump that had begun before the signal ends without one.
func (e *placeEvents) note(mask uint32) {
	switch {
	case mask&unix.IN_MOVED_TO != 0:
		e.begun, e.closed = true, false
		e.changes++
	case mask&unix.IN_MODIFY != 0:
		e.closed = false
		e.changes++
	case mask&unix.IN_CLOSE_WRITE != 0:
		e.closed = e.begun
	default:
		e.begun = true
	}
}

// hold remembers the file as it is before the signal.
func (d *dumpPlace) hold() {
	d.held.Close()
	d.held = nil
	if fd, err := unix.Openat(d.fd, d.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
		d.held = os.NewFile(uintptr(fd), d.path())
	}
	d.before = d.stat()
	d.last = d.before
}

// settled reports, without inotify, whether there is a new file that did not change
// since the last time.
func (d *dumpPlace) settled(renames bool) bool {
	now := d.stat()
	last := d.last
	d.last = now
	if now == d.before || renames && now.Ino == d.before.Ino {
		return false
	}
	d.begun = true
	return now == last
}

// stat returns zero when there is no file.
func (d *dumpPlace) stat() unix.Stat_t {
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd, d.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return unix.Stat_t{}
	}
	st.Atim = unix.Timespec{} // changes by reading
	return st
}
