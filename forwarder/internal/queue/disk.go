package queue

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kad/forwarder/internal/option"

	"golang.org/x/sys/unix"
)

// Options are the [destination.NAME.disk_buffer] of the configuration. Init gives what is zero its default.
type Options struct {
	Dir            string          `toml:"dir"`              // in which the queue has a directory of its destination's name
	Reliable       bool            `toml:"reliable"`         // what is taken is synced; else the memory comes first
	Capacity       option.Size     `toml:"capacity_bytes"`   // of all segments; default 1 GiB
	FrontCacheSize int             `toml:"front_cache_size"` // messages that stay in memory, to be sent without reading; default 10000
	WhenFull       string          `toml:"when_full"`        // drop_newest (default), drop_oldest, block
	SyncInterval   option.Duration `toml:"sync_interval"`    // how long a sync waits for more; 0: only for the one before it
	SyncBytes      option.Size     `toml:"sync_bytes"`       // that end the wait; default 1 MiB
	SyncMessages   int             `toml:"sync_messages"`    // that end the wait; default 10000

	frontBytes int64 // of messages that stay in memory

	name string // of the queue
	dir  string // its own
	open func(name string, flag int) (file, error)
}

// DefaultDir is where queues are.
const DefaultDir = "/var/lib/forwarder/queue"

// MinCapacity is the smallest capacity_bytes.
const MinCapacity = 1 << 20

// Init checks the options. Its error is an *option.Error.
func (o *Options) Init() error {
	o.Dir = cmp.Or(o.Dir, DefaultDir)
	o.Capacity = cmp.Or(o.Capacity, 1<<30)
	o.FrontCacheSize = cmp.Or(o.FrontCacheSize, 10000)
	o.WhenFull = cmp.Or(o.WhenFull, "drop_newest")
	o.SyncBytes = cmp.Or(o.SyncBytes, 1<<20)
	o.SyncMessages = cmp.Or(o.SyncMessages, 10000)
	o.frontBytes = cmp.Or(o.frontBytes, 64<<20)
	switch {
	case !filepath.IsAbs(o.Dir):
		return option.Errorf("dir", "%q is not an absolute path", o.Dir)
	case o.Capacity < MinCapacity:
		return option.Errorf("capacity_bytes", "%d is below the minimum %d", o.Capacity, MinCapacity)
	case o.FrontCacheSize < 1:
		return option.Errorf("front_cache_size", "%d is below the minimum 1", o.FrontCacheSize)
	case o.WhenFull != "drop_newest" && o.WhenFull != "drop_oldest" && o.WhenFull != "block":
		return option.Errorf("when_full", "%q is not known, want drop_newest, drop_oldest or block", o.WhenFull)
	case o.SyncMessages < 1:
		return option.Errorf("sync_messages", "%d is below the minimum 1", o.SyncMessages)
	}
	return nil
}

// SetFrontBytes bounds the messages that stay in memory, besides front_cache_size; without it they have 64 MiB.
func (o *Options) SetFrontBytes(n int64) { o.frontBytes = n }

// segmentSize is the size after which a segment is not appended to: so that a full queue can forget a part of what it has.
func (o *Options) segmentSize() int64 { return min(64<<20, int64(o.Capacity)/8) }

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

// A group is batches that are written and synced at once.
type group struct {
	bytes    int64 // as records
	messages int
	done     bool
	err      error
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

// Append takes b over. In a reliable queue it is synced then.
func (q *Disk) Append(b *Batch) (dropped int) {
	count := len(b.Ends)
	if count == 0 {
		b.release()
		Put(b)
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.changing {
		q.changed.Wait()
	}
	wait := b.Wait || q.options.WhenFull == "block"
	e := &entry{Batch: b, size: recordSize(b)}
	for {
		forgotten, refused, ok := q.admit(e, wait)
		dropped += forgotten
		if !ok {
			q.drop(b)
			return dropped + q.meter.drop(refused, count)
		}
		q.push(e)
		if !q.options.Reliable {
			if !wait {
				b.release()
			}
			q.ready.signal()
			return dropped
		}
		if q.commit(e) == nil {
			return dropped
		}
		if !wait || !q.pause() {
			q.drop(b)
			return dropped + q.meter.drop(Failed, count)
		}
	}
}

// drop lets go of a batch that is not taken.
func (q *Disk) drop(b *Batch) {
	if q.stopped {
		b.lose()
	} else {
		b.release()
	}
}

// push puts e into tail. In a reliable queue it gets its number when it is written.
func (q *Disk) push(e *entry) {
	if !q.options.Reliable {
		e.first = q.next
		q.next = e.end()
		q.waiting += len(e.Ends)
	}
	q.tail = append(q.tail, e)
	q.pending += e.size
	q.messages += len(e.Ends)
	q.meter.batches.Observe(float64(len(e.Ends)), 1)
}

// admit makes room for a batch, or waits for it. It tells how many old messages it dropped, and whether there is room, or why
// not.
func (q *Disk) admit(e *entry, wait bool) (dropped int, why Reason, ok bool) {
	for !q.stopped {
		fits := q.messages == 0 || q.messages+len(e.Ends) <= q.options.FrontCacheSize && q.pending+e.size <= q.options.frontBytes
		switch {
		case !q.options.Reliable && fits, q.isEmpty():
			return dropped, 0, true // however large it is
		case q.used+q.pending+e.size <= int64(q.options.Capacity):
			if q.options.Reliable {
				return dropped, 0, true
			}
			if q.spill() != nil && !(wait && q.pause()) {
				return dropped, Failed, false
			}
		case q.options.WhenFull == "drop_oldest" && len(q.segments) > 1:
			dropped += q.meter.drop(Full, q.dropOldest())
		case wait:
			q.meter.wait(&q.changed)
		default:
			return dropped, Full, false
		}
	}
	return dropped, Stopped, false
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

// dropOldest forgets the oldest segment, and tells how many messages are lost with it. What of it is in memory is not.
func (q *Disk) dropOldest() (dropped int) {
	s, next := q.segments[0], q.segments[1]
	if q.read.segment == s {
		if q.read.number < q.written {
			dropped = int(s.end - min(s.end, q.read.number))
		}
		number := min(q.written, max(q.read.number, next.first))
		q.waiting -= int(number - q.read.number)
		q.read = place{next, next.start, number}
	}
	q.segments = q.segments[1:]
	q.used -= s.size
	q.report("shrunk", discard([]*segment{s}))
	return dropped
}

// pause waits before the disk is tried again, unless the queue is stopped.
func (q *Disk) pause() bool {
	q.waitFor(retryInterval, func() bool { return false })
	return !q.stopped
}

// waitFor waits until it is time, or done says so, or the queue is stopped.
func (q *Disk) waitFor(limit time.Duration, done func() bool) {
	due := false
	timer := time.AfterFunc(limit, func() {
		q.mu.Lock()
		due = true
		q.changed.Broadcast()
		q.mu.Unlock()
	})
	defer timer.Stop()
	for !due && !done() && !q.stopped {
		q.changed.Wait()
	}
}

// commit returns when e, the last of tail, is synced. One of those who wait writes for all.
func (q *Disk) commit(e *entry) error {
	g := q.group
	g.bytes += e.size
	g.messages += len(e.Ends)
	if q.isEnough(g) {
		q.changed.Broadcast()
	}
	for !g.done {
		if q.writing {
			q.changed.Wait()
			continue
		}
		q.writing = true
		if q.options.SyncInterval > 0 {
			q.waitFor(time.Duration(q.options.SyncInterval), func() bool { return q.isEnough(g) })
		}
		q.group = &group{}
		g.err = q.write()
		g.done = true
		q.changed.Broadcast()
	}
	return g.err
}

func (q *Disk) isEnough(g *group) bool {
	return g.bytes >= int64(q.options.SyncBytes) || g.messages >= q.options.SyncMessages
}

// spill writes all that is in memory alone.
func (q *Disk) spill() error {
	for q.writing {
		q.changed.Wait()
	}
	if q.messages == 0 {
		return nil
	}
	q.writing = true
	defer q.changed.Broadcast()
	return q.write()
}

// write writes what is in memory alone, and ends writing. It unlocks meanwhile.
func (q *Disk) write() error {
	for _, e := range q.front {
		if !e.written {
			q.batch = append(q.batch, e)
		}
	}
	ahead := len(q.batch)
	q.batch = append(q.batch, q.tail...)
	q.tail = nil
	if q.options.Reliable {
		for _, e := range q.batch {
			e.first = q.next
			q.next = e.end()
		}
	}
	s := q.active
	q.mu.Unlock()
	s, ends, err := q.store(s, q.batch)
	q.mu.Lock()
	q.writing = false
	q.report("written", err)
	if err == nil {
		q.place(s, ends, ahead)
	} else {
		q.unwrite(ahead)
	}
	clear(q.batch)
	q.batch = q.batch[:0]
	q.ready.signal()
	return err
}

// store writes batches to s, or to a new segment if s is nil or long, and tells where each ends.
func (q *Disk) store(s *segment, batches []*entry) (at *segment, ends []int64, err error) {
	if s == nil || s.size >= q.options.segmentSize() {
		if s, err = createSegment(&q.options, batches[0].first); err != nil {
			return nil, nil, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, discard([]*segment{s}))
			}
		}()
	}
	b, now := q.scratch[:0], time.Now().UnixNano()
	for _, e := range batches {
		b = appendRecord(b, e.Batch, e.first, s.salt, now)
		ends = append(ends, s.size+int64(len(b)))
	}
	if q.scratch = nil; cap(b) <= maxScratch {
		q.scratch = b
	}
	if _, err := s.file.WriteAt(b, s.size); err != nil {
		return nil, nil, err
	}
	if q.options.Reliable {
		err = s.file.Sync()
	}
	return s, ends, err
}

// place notes where batches have been written. What of them comes next stays in memory; the first ones, ahead, are in front.
func (q *Disk) place(s *segment, ends []int64, ahead int) {
	if s != q.active {
		q.seal()
		q.active = s
		q.segments = append(q.segments, s)
		q.used += s.size
	}
	if q.read.segment == nil {
		q.read.segment, q.read.offset = s, s.size
	}
	for i, e := range q.batch {
		if !e.written { // nor acknowledged meanwhile
			q.settle(e)
		}
		if q.options.Reliable {
			q.waiting += len(e.Ends)
		}
		after := place{s, ends[i], e.end()}
		isNext := q.read.number == q.written
		q.written = after.number
		switch {
		case i < ahead:
			q.read = after
		case isNext && q.hasRoom():
			q.advance(e)
			q.read = after
		default:
			if isNext {
				q.read.number = e.first
			}
			Put(e.Batch)
		}
	}
	q.used += ends[len(ends)-1] - s.size
	s.size, s.end = ends[len(ends)-1], q.written
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

// settle notes that e is no more in memory alone.
func (q *Disk) settle(e *entry) {
	e.written = true
	q.pending -= e.size
	q.messages -= len(e.Ends)
	e.release()
}

// hasRoom tells whether another batch may stay in memory.
func (q *Disk) hasRoom() bool {
	n := len(q.front)
	return n == 0 || q.inFront < q.options.frontBytes && q.front[n-1].end()-q.front[0].first < uint64(q.options.FrontCacheSize)
}

// advance puts entries into front.
func (q *Disk) advance(entries ...*entry) {
	q.front = append(q.front, entries...)
	for _, e := range entries {
		q.inFront += e.size
	}
}

// unwrite takes back what could not be written: a reliable queue has not taken it, another one keeps it in memory. Its
// numbers are not used again, since some of it may be on the disk.
func (q *Disk) unwrite(ahead int) {
	if s := q.active; s != nil {
		q.report("cut", s.file.Truncate(s.size))
		q.seal()
	}
	if !q.options.Reliable {
		q.tail = append(append([]*entry(nil), q.batch[ahead:]...), q.tail...)
		return
	}
	for _, e := range q.batch {
		q.pending -= e.size
		q.messages -= len(e.Ends)
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

// Next returns the batches that come next.
func (q *Disk) Next(max int) []*Batch { return q.ready.next(q, max) }

// Try returns the batches that come next, if there are some. It reads them from the disk if need be.
func (q *Disk) Try(max int) (batches []*Batch, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.stopped && !q.interrupted {
		switch {
		case q.given < len(q.front):
			q.ready.signal() // there may be more
			return q.give(max), false
		case q.read.number < q.written:
			if !q.fetch() {
				time.AfterFunc(retryInterval, q.ready.signal)
				return nil, false
			}
		case len(q.tail) > 0 && !q.options.Reliable && !q.writing:
			q.advance(q.tail...)
			q.tail = nil
		default:
			return nil, q.drained && len(q.tail) == 0 && !q.writing
		}
	}
	return nil, true
}

func (q *Disk) give(max int) (batches []*Batch) {
	for size := 0; q.given < len(q.front); q.given++ {
		e := q.front[q.given]
		if size += len(e.Data); size > max && len(batches) > 0 {
			break
		}
		if e.given == nil {
			given := *e.Batch
			given.number = e.first
			e.given = &given
		}
		batches = append(batches, e.given)
	}
	return batches
}

// Ack says that the n oldest batches are sent, and gives them away.
func (q *Disk) Ack(n int) {
	now := time.Now()
	q.mu.Lock()
	for i, e := range q.front[:n] {
		q.meter.acknowledged(e.Batch, now)
		e.given.shared = !e.written && q.writing
		if !e.written {
			q.settle(e)
		}
		q.acknowledged += e.size
		q.inFront -= e.size
		q.waiting -= len(e.Ends)
		q.front[i] = nil
	}
	q.given -= n
	if q.front = q.front[n:]; len(q.front) == 0 {
		q.front = nil
	}
	old := q.unhold(q.release())
	save := q.acknowledged >= positionSize
	if !save && q.saver == nil && !q.closed {
		q.saver = time.AfterFunc(positionAge, q.save)
	}
	q.changed.Broadcast()
	q.mu.Unlock()
	q.shrink(old)
	if save {
		q.save()
	}
}

// release takes the segments out whose messages are all acknowledged.
func (q *Disk) release() []*segment {
	hasGap := q.read.number < q.written
	onDisk := hasGap || len(q.front) > 0 && q.front[0].written
	n := 0
	for n+1 < len(q.segments) && (!onDisk || q.segments[n+1].first <= q.oldest()) {
		n++
	}
	if n+1 == len(q.segments) && !onDisk && !q.writing {
		last := q.segments[n]
		if last != q.active || !q.options.Reliable || last.size >= q.options.segmentSize()/8 {
			q.seal()
			n++
		}
	}
	old := q.segments[:n:n]
	q.segments = q.segments[n:]
	for _, s := range old {
		q.used -= s.size
		if q.read.segment != s {
			continue
		}
		if q.read.segment = nil; hasGap {
			q.read.segment, q.read.offset = q.segments[0], q.segments[0].start
		}
	}
	return old
}

// discard removes segments.
func discard(segments []*segment) (err error) {
	for _, s := range segments {
		if s.file != nil {
			err = errors.Join(err, s.file.Close())
		}
		err = errors.Join(err, remove(s.path))
	}
	return err
}

// save persists the position.
func (q *Disk) save() {
	q.saving.Lock()
	defer q.saving.Unlock()
	q.mu.Lock()
	if q.saver != nil {
		q.saver.Stop()
		q.saver = nil
	}
	position, closed := q.first(), q.closed
	q.acknowledged = 0
	q.mu.Unlock()
	if closed || position <= q.position {
		return
	}
	if err := writePosition(&q.options, position); err != nil {
		q.logger.Warn("disk buffer does not note what is sent, it is sent again after a crash", "error", err)
		return
	}
	q.position = position
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
