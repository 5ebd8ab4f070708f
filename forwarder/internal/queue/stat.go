package queue

import (
	"sync"
	"time"

	"kad/forwarder/internal/stats"
)

// A Stat is what a queue holds and what went through it.
type Stat struct {
	Messages int             // that are not acknowledged
	Bytes    int64           // of them; of a disk buffer: of its segments, and of what is in memory alone
	Oldest   time.Time       // when the oldest of them was received; zero: there is none, or it is not known
	Waiters  int             // batches that wait for room
	Blocked  time.Duration   // that batches have waited for room, all together
	Batches  stats.Histogram // messages of each batch that was appended
	Delays   stats.Histogram // seconds from the receipt of a message to its acknowledgement
	Dropped  [Reasons]uint64 // messages
	Disk     *DiskStat       // nil: the queue is in memory
}

// A DiskStat is what a disk buffer has on the disk.
type DiskStat struct {
	Used, Capacity int64 // bytes
	Lost           int   // messages that damage has cost
}

// A Reason is why messages were dropped.
type Reason int

// The reasons.
const (
	Full    Reason = iota // there is no room
	Failed                // the disk does not take them
	Stopped               // the queue is stopped
	Reasons               // how many reasons there are
)

// String is the reason as metrics have it.
func (r Reason) String() string { return [...]string{"queue_full", "disk_failed", "stopped"}[r] }

// A meter measures what goes through a queue. The queue's mutex guards it.
type meter struct {
	waiters         int
	begun           time.Duration // the sum of when each of them began, after start
	blocked         time.Duration // of those that wait no more
	batches, delays stats.Histogram
	dropped         [Reasons]uint64
}

// start is what times are measured from, since a sum of them must not overflow.
var start = time.Now()

func newMeter() meter {
	return meter{
		batches: stats.NewHistogram(1, 10, 100, 1000, 10000),
		delays:  stats.NewHistogram(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600, 3600),
	}
}

// wait waits on c for room.
func (m *meter) wait(c *sync.Cond) {
	begun := time.Since(start)
	m.waiters++
	m.begun += begun
	c.Wait()
	m.waiters--
	m.begun -= begun
	m.blocked += time.Since(start) - begun
}

// drop counts n messages.
func (m *meter) drop(why Reason, n int) int {
	m.dropped[why] += uint64(n)
	return n
}

// acknowledged notes how long the messages of b have taken.
func (m *meter) acknowledged(b *Batch, now time.Time) {
	if !b.Received.IsZero() {
		m.delays.Observe(max(0, now.Sub(b.Received).Seconds()), len(b.Ends))
	}
}

// stat fills in what the meter knows.
func (m *meter) stat(s Stat) Stat {
	s.Waiters = m.waiters
	s.Blocked = m.blocked + time.Duration(m.waiters)*time.Since(start) - m.begun
	s.Batches, s.Delays, s.Dropped = m.batches.Clone(), m.delays.Clone(), m.dropped
	return s
}

// Stat is what the queue holds and what went through it.
func (q *Memory) Stat() Stat {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stat{Messages: q.messages, Bytes: q.bytes}
	if len(q.batches) > 0 {
		s.Oldest = q.batches[0].Received
	}
	return q.meter.stat(s)
}

// Stat is what the queue holds and what went through it.
func (q *Disk) Stat() Stat {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stat{Messages: q.waiting, Disk: &DiskStat{Used: q.size(), Capacity: int64(q.options.Capacity), Lost: q.lost}}
	if q.waiting > 0 {
		s.Bytes = q.used + q.pending
	}
	switch {
	case len(q.front) > 0:
		s.Oldest = q.front[0].Received
	case q.read.number < q.written:
	case len(q.tail) > 0:
		s.Oldest = q.tail[0].Received
	}
	return q.meter.stat(s)
}
