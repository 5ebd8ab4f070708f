package keepalived

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dumpPlace is a file that may become the dump.
//
// Since 2.0.9 keepalived renames a new file into place before it writes it, before that
// it truncated the old one (lib/utils.c fopen_safe): that there is a file says nothing,
// nor does its size. A dump is new when it is another file than before the signal, and it
// is whole when keepalived no longer has that file open.
type dumpPlace struct {
	dir   string // as keepalived names it
	dirFd int
	name  string // of the file

	old    *os.File // the file before the signal: while it is held its inode number stays its own
	before unix.Stat_t
	begun  bool   // there is a new file
	writer string // the number by which keepalived has it open

	suspect unix.Stat_t // a new file that is no good,
	since   time.Time   // since when,
	reason  error       // and why
}

// benefit is how long a file that is no good may stay so before it is the answer: another
// one may be about to replace it.
const benefit = 50 * time.Millisecond

func (d *dumpPlace) path() string { return path.Join(d.dir, d.name) }

// openPlaces opens the directories in which keepalived may write its dump, as keepalived
// sees them.
func (a *ask) openPlaces() error {
	root, err := unix.Open(a.proc.path(a.VRRP, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return because(ErrPermission, "keepalived %d: its root directory: %w, asking it for a dump needs root", a.VRRP, err)
	}
	defer unix.Close(root)
	dirs, name := a.dumpFile()
	for i, dir := range dirs {
		fd, err := unix.Openat2(root, dir, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
		if err == nil {
			a.places = append(a.places, &dumpPlace{dir: dir, dirFd: fd, name: name})
		} else if i == 0 {
			a.hint = fmt.Sprintf(": %s: %v", dir, err)
		}
	}
	if len(a.places) == 0 {
		return because(ErrNoAnswer, "keepalived %d cannot write its dump%s", a.VRRP, a.hint)
	}
	return nil
}

func (a *ask) closePlaces() {
	for _, place := range a.places {
		place.old.Close()
		unix.Close(place.dirFd)
	}
}

// dumpFile returns the directories that keepalived may use, by its version and how it was
// built, and the file's name (core/global_data.c open_dump_file, lib/utils.c set_tmp_dir).
// Without a configuration it is the default.
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

// remember takes down what is there before a signal. Before the second signal it does so
// only when there was a bad answer: one that has begun since the first will do.
func (a *ask) remember(ctx context.Context, place *dumpPlace) error {
	if a.again && place.reason == nil {
		return nil
	}
	place.begun, place.reason = false, nil
	place.old.Close()
	place.old = nil
	if fd, err := unix.Openat(place.dirFd, place.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
		place.old = os.NewFile(uintptr(fd), place.path())
	}
	for {
		place.before = place.stat()
		if a.renames() || !a.isOpen(place, place.before) && place.stat() == place.before {
			return nil
		}
		// Somebody else's is being written, or was until just now: it must not pass for ours.
		if err := a.sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// renames reports that this keepalived is surely >= 2.0.9.
func (a *ask) renames() bool { return a.loaded != "" }

// look returns the dump at place if it is new, whole and ours; or an error if what is new
// there is no good; or neither.
func (a *ask) look(place *dumpPlace) (*Dump, error) {
	now := place.stat()
	if now == place.before || a.renames() && now.Ino == place.before.Ino {
		return nil, nil
	}
	place.begun = true
	if place.reason != nil && now == place.suspect {
		if time.Since(place.since) < benefit {
			return nil, nil
		}
		return nil, a.bad(place, place.reason)
	}
	dump, err := a.read(place)
	if err != nil {
		place.suspect, place.since, place.reason = now, time.Now(), err
	}
	return dump, nil
}

// read returns neither dump nor error while the file is being written.
func (a *ask) read(place *dumpPlace) (*Dump, error) {
	f, st, err := place.open(a.uid)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if a.isOpen(place, st) {
		return nil, nil
	}
	data := bytes.NewBuffer(make([]byte, 0, st.Size+bytes.MinRead))
	if _, err := data.ReadFrom(io.LimitReader(f, MaxDump+1)); err != nil {
		return nil, err
	}
	if !a.renames() && place.stat() != st { // written again meanwhile
		return nil, nil
	}
	dump, err := ParseDump(data.Bytes())
	if err == nil {
		err = a.isOurs(dump)
	}
	if err != nil {
		return nil, err
	}
	return dump, nil
}

// isOurs tells our dump from that of another keepalived that writes to the same file, if
// we know who we are; but a second such answer shows that we do not.
func (a *ask) isOurs(d *Dump) error {
	if !a.known || a.again || d.InstanceName == a.Name && d.NetworkNamespace == a.NetNamespace {
		return nil
	}
	return fmt.Errorf("is of instance %q, network namespace %q", d.InstanceName, d.NetworkNamespace)
}

// isOpen reports whether VRRP has the file open.
func (a *ask) isOpen(place *dumpPlace, st unix.Stat_t) bool {
	dir, err := os.Open(a.proc.path(a.VRRP, "fd"))
	if err != nil {
		return false
	}
	defer dir.Close()
	is := func(fd string) bool {
		var its unix.Stat_t
		err := unix.Fstatat(int(dir.Fd()), fd, &its, 0)
		return err == nil && its.Dev == st.Dev && its.Ino == st.Ino
	}
	if place.writer != "" && is(place.writer) {
		return true
	}
	fds, _ := dir.Readdirnames(-1)
	for _, place.writer = range fds {
		if is(place.writer) {
			return true
		}
	}
	return false
}

// open opens the file if it may be a dump of that user.
func (d *dumpPlace) open(uid uint32) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := unix.Openat(d.dirFd, d.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, st, errors.New("is a symbolic link, keepalived writes a file")
	}
	if err != nil {
		return nil, st, err
	}
	err = unix.Fstat(fd, &st)
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = errors.New("is not a file")
	case st.Uid != uid:
		err = fmt.Errorf("belongs to uid %d, not to keepalived's uid %d", st.Uid, uid)
	case st.Size > MaxDump:
		err = fmt.Errorf("%d bytes are more than the %d of the largest dump", st.Size, MaxDump)
	}
	if err != nil {
		unix.Close(fd)
		return nil, st, err
	}
	st.Atim = unix.Timespec{} // reading changes it
	return os.NewFile(uintptr(fd), d.path()), st, nil
}

// stat returns zero when there is no file.
func (d *dumpPlace) stat() unix.Stat_t {
	var st unix.Stat_t
	if unix.Fstatat(d.dirFd, d.name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return unix.Stat_t{}
	}
	st.Atim = unix.Timespec{}
	return st
}
