package queue

import (
	"errors"
	"time"
)

// A group is batches that are written and synced at once.
type group struct {
	bytes    int64 // as records
	messages int
	done     bool
	err      error
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

// settle notes that e is no more in memory alone.
func (q *Disk) settle(e *entry) {
	e.written = true
	q.pending -= e.size
	q.messages -= len(e.Ends)
	e.release()
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
