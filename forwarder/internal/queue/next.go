package queue

import (
	"errors"
	"time"
)

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
