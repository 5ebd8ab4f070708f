package source

import (
	"sync"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/jetstream"
)

// A past knows what was delivered, so that nothing is taken twice: a leader that dies may have forgotten about our last
// acknowledgements, and the next one delivers what it has none for after ack_wait, whatever has come since.
type past struct {
	keep time.Duration // for how long it knows, at least, within maxBlocks

	mu     sync.Mutex // guards what follows
	blocks map[uint64]*block
	order  []uint64 // of blocks, oldest first

	open  atomic.Int64  // messages that are not settled
	known atomic.Uint64 // deliveries of messages that were taken before
}

const (
	blockSize = 1 << 12
	maxBlocks = 1 << 14 // 16 MiB, 67 million messages
)

// A block is of messages that follow each other in the stream.
type block struct {
	taken, safe [blockSize / 64]uint64 // a bit for each
	first, last int64                  // when the stream got the first and the last one that was taken; nanoseconds since 1970
	made        time.Time
}

func (b *block) has(d jetstream.Delivery) bool { return d.Stored >= b.first && d.Stored <= b.last }

// A verdict is what to do with a delivery.
type verdict int

const (
	take   verdict = iota // it is new
	wait                  // it was taken and is not settled
	forget                // it was acknowledged
)

// judge tells what to do with a delivery. A stream that was deleted and made anew has the numbers of the one before for other
// messages, that came later: then all is new.
func (p *past) judge(d jetstream.Delivery) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.block(d.Sequence)
	i, bit := place(d.Sequence)
	if b.taken[i]&bit != 0 && !b.has(d) {
		p.blocks, p.order = nil, nil
		b = p.block(d.Sequence)
	}
	switch {
	case b.taken[i]&bit == 0:
		b.taken[i] |= bit
		b.first, b.last = min(b.first, d.Stored), max(b.last, d.Stored)
		p.open.Add(1)
		return take
	case b.safe[i]&bit != 0:
		p.known.Add(1)
		return forget
	}
	p.known.Add(1)
	return wait
}

// settle notes what became of a message that was taken: it is safe, or is to be taken again.
func (p *past) settle(d jetstream.Delivery, isSafe bool) {
	p.open.Add(-1)
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.blocks[d.Sequence/blockSize]
	if b == nil || !b.has(d) {
		return // of another stream, or long ago
	}
	i, bit := place(d.Sequence)
	if isSafe {
		b.safe[i] |= bit
	} else {
		b.taken[i] &^= bit
	}
}

func place(sequence uint64) (i int, bit uint64) {
	n := sequence % blockSize
	return int(n / 64), 1 << (n % 64)
}

// block is that of a message. One that is made takes the place of those that are too old.
func (p *past) block(sequence uint64) *block {
	n := sequence / blockSize
	if b := p.blocks[n]; b != nil {
		return b
	}
	now := time.Now()
	for len(p.order) > 0 && (len(p.order) >= maxBlocks || now.Sub(p.blocks[p.order[0]].made) > p.keep) {
		delete(p.blocks, p.order[0])
		p.order = p.order[1:]
	}
	if p.blocks == nil {
		p.blocks = map[uint64]*block{}
	}
	b := &block{first: 1<<63 - 1, last: -1 << 63, made: now}
	p.blocks[n] = b
	p.order = append(p.order, n)
	return b
}
