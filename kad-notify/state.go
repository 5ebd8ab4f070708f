package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kad/pkg/keepalived"
)

// store is the state directory. It has a directory for each instance and group,
//
//	instance/VI_1/lock      locked (flock) by who handles an event of VI_1
//	instance/VI_1/newest    the ticket of the newest transition that was heard of
//	instance/VI_1/last      what is remembered of VI_1: its last state and its VIPs
//	group/...
//
// and the history (history.go).
type store struct{ dir string }

// record is one instance's or group's directory in a store.
type record struct {
	dir  string
	lock *os.File // while it is held
}

// ticket orders the events of an instance in script mode by when keepalived forked for them. One
// from before the last boot is older than any of this one.
type ticket struct {
	Boot  string `json:"boot"`
	Start uint64 `json:"start"` // clock ticks since the boot
	PID   int    `json:"pid"`   // decides within one tick
}

func (t ticket) newerThan(other ticket) bool {
	switch {
	case t.Boot != other.Boot:
		return true // the other one was read from the disk, we run now
	case t.Start != other.Start:
		return t.Start > other.Start
	}
	return t.PID > other.PID
}

// ownTicket is the ticket of this process: field 22 of proc_pid_stat(5) is when it was forked.
func ownTicket() ticket {
	t := ticket{Boot: bootID(), PID: os.Getpid()}
	stat, _ := os.ReadFile("/proc/self/stat")
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from field 3 on
	if len(fields) > 19 {
		t.Start, _ = strconv.ParseUint(fields[19], 10, 64)
	}
	return t
}

// ticketNow is the ticket of an event that this process has just heard of.
func ticketNow() ticket {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	const tick = time.Second / 100 // USER_HZ
	return ticket{Boot: bootID(), Start: uint64(now.Nano() / int64(tick)), PID: os.Getpid()}
}

func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// memory is what is remembered of an instance or group.
type memory struct {
	Name     string           `json:"name"`
	State    keepalived.State `json:"state"`
	Priority int              `json:"priority"`
	Since    time.Time        `json:"since"`
	VIPs     []netip.Addr     `json:"vips,omitempty"` // all that it may still have announced
	BGP      *bgpSettings     `json:"bgp,omitempty"`  // where
}

func (s store) path(kind keepalived.EventKind) string {
	return filepath.Join(s.dir, strings.ToLower(string(kind)))
}

// open returns the record of an instance or group, which it makes when there is none. The error
// is that its directory cannot be made; the record is good for reading then.
func (s store) open(kind keepalived.EventKind, name string) (*record, error) {
	r := &record{dir: s.recordDir(kind, name)}
	return r, os.MkdirAll(r.dir, 0o755)
}

func (s store) recordDir(kind keepalived.EventKind, name string) string {
	return filepath.Join(s.path(kind), fileName(name))
}

// fileName makes a file name of an instance's name, which may hold any character.
func fileName(name string) string {
	escaped := strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
	if len(escaped) > 200 {
		return fmt.Sprintf("%s%%%x", escaped[:100], sha256.Sum256([]byte(name)))
	}
	return escaped
}

// names returns the names of all instances or groups of which something is remembered.
func (s store) names(kind keepalived.EventKind) []string {
	dirs, _ := os.ReadDir(s.path(kind))
	var names []string
	for _, d := range dirs {
		r := &record{dir: filepath.Join(s.path(kind), d.Name())}
		if m := r.recall(); m.Name != "" {
			names = append(names, m.Name)
		}
	}
	return names
}

// register leaves t as the newest ticket, unless there is a newer one.
func (r *record) register(t ticket) error {
	f, err := os.OpenFile(filepath.Join(r.dir, "newest"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	if known, err := readTicket(f.Name()); err == nil && !t.newerThan(known) {
		return nil
	}
	// All tickets of a boot are of one length, but for leading digits: pad, so that no rest remains.
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%-128s\n", text), 0)
	return err
}

func readTicket(file string) (t ticket, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(text, &t)
}

// overtaken reports whether an event that is newer than t has come. A ticket that cannot be read
// overtakes nobody.
func (r *record) overtaken(t ticket) bool {
	newest, err := readTicket(filepath.Join(r.dir, "newest"))
	return err == nil && newest.Boot == t.Boot && newest.newerThan(t)
}

// acquire takes the lock, and waits for it until ctx ends. When the lock file cannot be made, as on a full
// disk, it locks the directory, or the one above, instead.
func (r *record) acquire(ctx context.Context) error {
	f, err := os.OpenFile(filepath.Join(r.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	for dir := r.dir; err != nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		f, err = os.Open(dir)
	}
	if err != nil {
		return err
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			r.lock = f
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return fmt.Errorf("lock %s: %w", f.Name(), errLocked)
		case <-time.After(pause):
		}
	}
}

var errLocked = errors.New("an earlier event is still being handled")

// release gives the lock back.
func (r *record) release() {
	if r.lock != nil {
		r.lock.Close()
		r.lock = nil
	}
}

// recall returns what is remembered, the zero value when there is nothing to read.
func (r *record) recall() (m memory) {
	text, err := os.ReadFile(filepath.Join(r.dir, "last"))
	if err != nil || json.Unmarshal(text, &m) != nil {
		return memory{}
	}
	return m
}

// remember writes in place: a rename would make ext4 write to the disk, and a full disk has still
// room for what is overwritten.
func (r *record) remember(m memory) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(r.dir, "last"), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(append(text, '\n'), 0)
	return errors.Join(err, f.Truncate(int64(len(text)+1)), f.Close())
}
