package queue

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readSize      = 256 << 10   // read from a segment at once
	mergeSize     = 64 << 10    // to which small batches are joined when they are read
	pageSize      = 4 << 10     // what the disk may lose by itself
	retryInterval = time.Second // after a failed write or read
	positionAge   = time.Second // of acknowledgements that are not saved
	positionSize  = 1 << 20     // of them, in bytes
	maxScratch    = 4 << 20     // a larger buffer is not kept
)

// Disk is a queue on disk. A batch is, from the oldest to the newest, in front, in memory; between read and written, only on
// disk; in group, being written; or in tail, which is to be written. A reliable queue writes each batch, and gives none
// before. Another one writes when more than front_cache_size messages are in memory alone, and when it is closed.
type Disk struct {
	options Options
	logger  *slog.Logger
	lock    *os.File

	outlet // its mutex guards what follows

	changed sync.Cond // of what Append waits for: room, or that a group is written

	front    []*entry
	inFront  int64 // bytes of front, as records
	read     place
	written  uint64 // the number after the last message on disk
	tail     []*entry
	group    *group   // to which tail belongs, in a reliable queue
	writing  bool     // a goroutine gathers or writes
	batch    []*entry // that is being written
	pending  int64    // bytes, as records, of what is in memory alone
	messages int      // of them

	segments []*segment // oldest first
	active   *segment   // the last one, if it is appended to
	used     int64      // bytes of the segments
	next     uint64     // number of the next message
	hold     hold
	waiting  int  // messages that are not acknowledged
	lost     int  // messages that damage has cost
	damaged  bool // there is damage before read
	stopped  bool
	closed   bool

	changing bool // Append waits: the options change

	failing map[string]string // what the disk does not do, and why, as it was logged
	meter   meter

	acknowledged int64       // bytes since the position was saved, as records
	saver        *time.Timer // saves it; nil: nothing to save

	saving   sync.Mutex // guards what follows, and is locked before mu
	position uint64     // that is saved

	scratch []byte // of the goroutine that writes

	reading  sync.Mutex // guards what follows, and is locked after mu or without it
	buffer   []byte     // of the goroutine that reads
	source   file       // from which it reads
	sourceOf *segment   // which that is
}

// An entry is a batch in memory.
type entry struct {
	*Batch
	given   *Batch // what Next gave: a driver may change it
	first   uint64
	size    int64 // as a record, about
	written bool
}

func (e *entry) end() uint64 { return e.first + uint64(len(e.Ends)) }

// A place is one in the segments: of the message with that number, or of the next one that is there.
type place struct {
	segment *segment
	offset  int64
	number  uint64
}

// Open opens the queue of a destination, and makes it if there is none. What it has is counted, not read: damage in it is
// found when Next comes to it.
func Open(name string, o *Options, logger *slog.Logger) (*Disk, error) {
	q := &Disk{options: *o, logger: logger.With("queue", name), group: &group{}, failing: map[string]string{}, meter: newMeter(), hold: hold{from: holdNothing}, outlet: outlet{ready: newReady()}}
	q.changed.L = &q.mu
	q.options.name, q.options.dir = name, Path(o.Dir, name)
	if q.options.open == nil {
		q.options.open = openFile
	}
	if err := q.open(); err != nil {
		if q.lock != nil {
			err = errors.Join(err, q.lock.Close())
		}
		return nil, fmt.Errorf("queue %s: %w", name, err)
	}
	return q, nil
}

func (q *Disk) open() error {
	dir := q.options.dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	q.lock = lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s is in use by another process, or by a destination whose driver or framing a reload changes, which needs a restart", dir)
	} else if err != nil {
		return &os.PathError{Op: "flock", Path: lock.Name(), Err: err}
	}
	if err := errors.Join(removeTemporary(dir), syncDir(filepath.Dir(dir))); err != nil {
		return err
	}
	return q.recover()
}

// recover finds what the process before has left.
func (q *Disk) recover() (err error) {
	q.position, err = readPosition(q.options.dir)
	if errors.Is(err, errPosition) {
		q.logger.Warn("disk buffer is damaged", "file", positionFile, "error", err)
	} else if err != nil {
		return err
	}
	if q.segments, err = listSegments(q.options.dir); err != nil {
		return err
	}
	q.next = q.position
	for i, s := range q.segments {
		if err := q.inspect(s, i == len(q.segments)-1); err != nil {
			return err
		}
		q.used += s.size
		q.next = max(q.next, s.end)
	}
	q.written = q.next
	q.read.number = q.next
	if len(q.segments) > 0 {
		s := q.segments[0]
		q.read = place{s, s.start, max(q.position, s.first)}
	}
	q.waiting = int(q.written - q.read.number)
	return discard(q.release())
}

// inspect reads the header of a segment, and finds the end of the last one.
func (q *Disk) inspect(s *segment, last bool) (err error) {
	f, err := q.options.open(s.path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size := s.size
	if !last {
		size = min(size, maxHeader)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	h, err := parseHeader(b)
	switch {
	case errors.Is(err, errHeader): // it is damage as other damage is, before the first record
	case err != nil:
		return fmt.Errorf("%s: %w", s.path, err)
	case h.name != q.options.name:
		return fmt.Errorf("%s is of the queue %q", s.path, h.name)
	}
	s.start = h.size
	if !last {
		return nil
	}
	if s.size = q.findEnd(s, b); s.size == size {
		return nil
	}
	return f.Truncate(s.size)
}

// findEnd returns where the last record of the last segment ends. What follows is part of a record that a crash has left,
// or damage, which goes to quarantine.
func (q *Disk) findEnd(s *segment, b []byte) int64 {
	s.end = s.first
	end := s.start
	var trailing []byte
	torn := walk(b[s.start:], s.start, s.salt, func(offset int64, size int, r *record) {
		s.end = max(s.end, r.end())
		end, trailing = offset+int64(size), nil
	}, func(_ int64, b []byte) { trailing = b })
	if torn > 0 {
		q.logger.Info("disk buffer ends in the middle of a batch that was being written, it is cut", "file", s.path, "offset", end, "bytes", torn)
	}
	if trailing != nil {
		q.setAside(s, end, b[end:len(b)-torn])
	}
	return end
}

func (q *Disk) isEmpty() bool { return q.next == q.oldest() && len(q.tail) == 0 && !q.writing }

// oldest is the number of the oldest message that is not acknowledged.
func (q *Disk) oldest() uint64 {
	switch {
	case len(q.front) > 0:
		return q.front[0].first
	case q.read.number < q.written:
		return q.read.number
	case len(q.batch) > 0:
		return q.batch[0].first
	case len(q.tail) > 0 && !q.options.Reliable:
		return q.tail[0].first
	}
	return q.next
}

// loseAll lets go of what could not be written.
func (q *Disk) loseAll() {
	for _, e := range slices.Concat(q.front, q.tail) {
		e.lose()
	}
}

// seal ends appending to the active segment.
func (q *Disk) seal() {
	if q.active != nil {
		q.report("closed", q.active.file.Close())
		q.active.file, q.active = nil, nil
	}
}

// report logs what the disk does not do, when that changes.
func (q *Disk) report(what string, err error) {
	reason := ""
	if path, ok := errors.AsType[*os.PathError](err); ok {
		reason = path.Err.Error() // the names of segments differ
	} else if err != nil {
		reason = err.Error()
	}
	if reason == q.failing[what] {
		return
	}
	q.failing[what] = reason
	if err != nil {
		q.logger.Error("disk buffer is not "+what, "error", err)
	} else {
		q.logger.Info("disk buffer is " + what + " again")
	}
}

// IsFull tells whether there is no room on the disk.
func (q *Disk) IsFull() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used+q.pending >= int64(q.options.Capacity)
}

// Len counts the messages that are not acknowledged.
func (q *Disk) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

// Lost counts the messages that damage has cost, as far as it can be told.
func (q *Disk) Lost() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

// Used is how many bytes the segments have.
func (q *Disk) Used() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size()
}

// Stop ends all waiting.
func (q *Disk) Stop() {
	q.mu.Lock()
	q.stopped = true
	q.ready.signal()
	q.changed.Broadcast()
	q.mu.Unlock()
}

// Close stops the queue, writes what is in memory alone, and lets others have the directory. An empty queue leaves no
// segment there.
func (q *Disk) Close() error {
	q.Stop()
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	for q.writing || q.options.Reliable && len(q.tail) > 0 {
		q.changed.Wait()
	}
	var err error
	if q.messages > 0 {
		if err = q.spill(); err != nil {
			err = fmt.Errorf("%d messages that were in memory are lost: %w", q.messages, err)
			q.loseAll()
		}
	}
	empty := q.isEmpty() && q.hold.from == holdNothing
	q.mu.Unlock()
	q.save()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.seal()
	q.reading.Lock()
	err = errors.Join(err, q.closeSource())
	q.reading.Unlock()
	if empty {
		err = errors.Join(err, discard(q.segments), remove(filepath.Join(q.options.dir, positionFile)))
	}
	if err = errors.Join(err, q.lock.Close()); err != nil {
		return fmt.Errorf("queue %s: %w", q.options.name, err)
	}
	return nil
}
