package stats

import "sync/atomic"

// A Pulse shows whether a goroutine gets on with its work. Its zero value rests.
type Pulse struct {
	n    atomic.Uint64 // odd while it works
	last uint64        // as Hangs has seen it
}

// Work says that the goroutine begins to work, after Rest.
func (p *Pulse) Work() { p.n.Add(1) }

// Rest says that it waits for somebody else, after Work.
func (p *Pulse) Rest() { p.n.Add(1) }

// Hangs tells whether the goroutine is still at the work at which the last call has seen it. One goroutine asks.
func (p *Pulse) Hangs() bool {
	n := p.n.Load()
	same := n%2 == 1 && n == p.last
	p.last = n
	return same
}
