package queue

import "sync"

// A ready holds a token when a queue has something to say to the one who empties it.
type ready chan struct{}

func newReady() ready {
	r := make(ready, 1)
	r.signal() // for what was there before
	return r
}

func (r ready) signal() {
	select {
	case r <- struct{}{}:
	default:
	}
}

// next waits until q gives something, or has ended.
func (r ready) next(q Queue, max int) []*Batch {
	for {
		if batches, ended := q.Try(max); len(batches) > 0 || ended {
			return batches
		}
		<-r
	}
}

// An outlet is the side on which a queue is emptied.
type outlet struct {
	ready ready

	mu          sync.Mutex // guards what follows, and the queue
	given       int        // of the batches that come next: what Next gave
	interrupted bool       // Next gives nothing
	drained     bool
}

// Ready receives when it is worth to try.
func (o *outlet) Ready() <-chan struct{} { return o.ready }

// Rewind makes Next give again what is not acknowledged.
func (o *outlet) Rewind() {
	o.mu.Lock()
	o.given = 0
	o.ready.signal()
	o.mu.Unlock()
}

// Interrupt makes Next give nothing until Resume, so that the one who empties the queue leaves it to another one.
func (o *outlet) Interrupt() {
	o.mu.Lock()
	o.interrupted = true
	o.ready.signal()
	o.mu.Unlock()
}

// Resume makes Next give again what is not acknowledged, and what comes after it.
func (o *outlet) Resume() {
	o.mu.Lock()
	o.given, o.interrupted = 0, false
	o.ready.signal()
	o.mu.Unlock()
}

// Drain says that nothing is appended any more.
func (o *outlet) Drain() {
	o.mu.Lock()
	o.drained = true
	o.ready.signal()
	o.mu.Unlock()
}
