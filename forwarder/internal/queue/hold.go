package queue

import (
	"errors"
	"math"
	"time"
)

// A hold is what a Disk begins with after a crash though it is acknowledged, and the segments that it keeps for that alone.
type hold struct {
	from     uint64     // number of the oldest message of it; holdNothing: there is none
	segments []*segment // oldest first, before those of the queue
}

const holdNothing = math.MaxUint64

// Hold holds nothing: no crash leaves a queue in memory.
func (q *Memory) Hold(*Batch) {}

// Hold says what comes again after a crash. The position that is saved does not get beyond it, nor does Close save another one.
func (q *Disk) Hold(from *Batch) {
	number := uint64(holdNothing)
	if from != nil {
		number = from.number
	}
	q.mu.Lock()
	if number == q.hold.from {
		q.mu.Unlock()
		return
	}
	q.hold.from = number
	old := q.unhold(nil)
	if q.saver == nil && !q.closed {
		q.saver = time.AfterFunc(positionAge, q.save)
	}
	q.mu.Unlock()
	q.shrink(old)
}

// first is the number of the oldest message that comes after a crash.
func (q *Disk) first() uint64 { return min(q.oldest(), q.hold.from) }

// unhold takes over segments whose messages are all acknowledged, and returns those that are held no more.
func (q *Disk) unhold(acknowledged []*segment) (old []*segment) {
	all := append(q.hold.segments, acknowledged...)
	n := 0
	for n < len(all) && q.after(all, n) <= q.hold.from {
		n++
	}
	q.hold.segments = all[n:]
	return all[:n:n]
}

// after is a number beyond those of the n-th of segments, which are before those of the queue.
func (q *Disk) after(segments []*segment, n int) uint64 {
	switch {
	case q.hold.from == holdNothing:
		return 0
	case n+1 < len(segments):
		return segments[n+1].first
	case len(q.segments) > 0:
		return q.segments[0].first
	}
	return q.next
}

// size is how many bytes all segments have.
func (q *Disk) size() int64 {
	size := q.used
	for _, s := range q.hold.segments {
		size += s.size
	}
	return size
}

// shrink removes segments from the disk.
func (q *Disk) shrink(old []*segment) {
	if err := errors.Join(discard(old), q.leave(old)); err != nil { // what is open has not gone
		q.logger.Warn("disk buffer does not shrink", "error", err)
	}
}
