package logmsg

import "sync/atomic"

// A Receipt stands for the messages of one read until they are safe: sent and acknowledged, or kept on disk, or, where no
// flow control holds their sender back, taken by the queues of the destinations or dropped. A source that acknowledges
// holds it while it routes them, and lets go after that; each batch that they went into holds it too. A nil Receipt is that
// of a source whose sender does not ask.
type Receipt struct {
	// Done is called when the last holder lets go, on its goroutine, which may have locks: it only passes the news on.
	Done func()

	holders atomic.Int32
	lost    atomic.Bool
}

// Hold adds a holder.
func (r *Receipt) Hold() {
	if r != nil {
		r.holders.Add(1)
	}
}

// Release takes a holder away: what it had is safe.
func (r *Receipt) Release() {
	if r != nil && r.holders.Add(-1) == 0 {
		r.Done()
	}
}

// Lose takes a holder away whose messages are lost, since we end: the sender has to send them again.
func (r *Receipt) Lose() {
	if r != nil {
		r.lost.Store(true)
		r.Release()
	}
}

// IsOpen tells whether somebody holds it.
func (r *Receipt) IsOpen() bool { return r.holders.Load() > 0 }

// IsLost tells whether something of it was lost.
func (r *Receipt) IsLost() bool { return r.lost.Load() }
