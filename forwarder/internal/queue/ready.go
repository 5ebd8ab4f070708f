package queue

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
