package source

import (
	"sync"

	"kad/forwarder/internal/logpath"
)

// Readers are those of an input that are at work, for other goroutines to look at.
type readers struct {
	mu   sync.Mutex // guards what follows, and the router of each reader
	list map[*reader]struct{}
	past Counts // of those that have ended
}

func (rs *readers) add(r *reader) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.list == nil {
		rs.list = map[*reader]struct{}{}
	}
	rs.list[r] = struct{}{}
}

func (rs *readers) remove(r *reader) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.past.add(&r.tally)
	delete(rs.list, r)
}

// isUnder tells whether one of them is at a read whose messages take that route.
func (rs *readers) isUnder(to *route) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for r := range rs.list {
		if r.under.Load() == to {
			return true
		}
	}
	return false
}

// counts are those of all that there are and were.
func (rs *readers) counts() Counts {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	c := rs.past
	for r := range rs.list {
		c.add(&r.tally)
	}
	return c
}

// Waits returns the sinks that readers of the input hand over to, and may wait for.
func (in *Input) Waits() map[logpath.Sink]bool {
	in.readers.mu.Lock()
	defer in.readers.mu.Unlock()
	sinks := map[logpath.Sink]bool{}
	for r := range in.readers.list {
		if s := r.router.Waits(); s != nil {
			sinks[s] = true
		}
	}
	return sinks
}

// Hangs tells whether a reader is still at the read that it was at when Hangs was called before, and does not wait for a
// sink. One goroutine asks.
func (in *Input) Hangs() (hangs bool) {
	in.readers.mu.Lock()
	defer in.readers.mu.Unlock()
	for r := range in.readers.list {
		if r.pulse.Hangs() && r.router.Waits() == nil {
			hangs = true
		}
	}
	return hangs
}
