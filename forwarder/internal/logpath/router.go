package logpath

import (
	"sync/atomic"

	"kad/forwarder/internal/logmsg"
)

// A Tap has what looks at the messages of many routers while they run, nil if nothing does. Any goroutine may change it.
type Tap = atomic.Pointer[func(Event)]

// A Router runs a program for one goroutine.
type Router struct {
	program *Program
	// Trace, if set, is told what happens to a message.
	Trace func(Event)

	frames  []frame
	copies  []*logmsg.Message
	used    int // of copies
	batches []Batch
	touched []int32 // batches that hold messages
	waiting []int32 // those of them that wait for a full destination
	state   []uint8 // of each batch: in touched, in waiting

	matched []uint64 // by counters, since the last flush
	counted []int32  // counters that are not zero
	waitsAt atomic.Int32
}

// A frame is a branch on its way.
type frame struct {
	parent  int32
	refused bool
	ignore  bool // drop-unmatched: refusals do not count
}

const (
	isTouched = 1 << iota
	isWaiting
)

// NewRouter makes a router.
func (p *Program) NewRouter() *Router {
	return &Router{
		program: p, batches: make([]Batch, len(p.sinks)), state: make([]uint8, len(p.sinks)), matched: make([]uint64, len(p.matched)),
	}
}

// Route takes m, which entered at entry, through all paths.
func (r *Router) Route(entry int32, m *logmsg.Message) {
	if n := &r.program.nodes[entry]; n.straight && r.Trace == nil {
		r.straight(n.branches, m)
		return
	}
	r.frames = append(r.frames[:0], frame{parent: -1})
	r.walk(entry, m, 0)
}

// straight takes m through branches that have nothing but destinations.
func (r *Router) straight(branches []branch, m *logmsg.Message) {
	for i := range branches {
		b := &branches[i]
		r.sends(b.first, m)
		r.count(b.counter, max(1, len(m.Lines())))
		if b.flags&Final != 0 {
			return
		}
	}
}

// sends sends m to the destinations from the node at i on.
func (r *Router) sends(i int32, m *logmsg.Message) {
	for i != end {
		n := &r.program.nodes[i]
		r.send(n, m)
		i = n.next
	}
}

// Flush hands over what the destinations got since the last one, first to those for which nothing waits. The receipt, which
// may be nil, is for all of it.
func (r *Router) Flush(receipt *logmsg.Receipt) {
	for _, i := range r.touched {
		if r.state[i]&isWaiting == 0 {
			r.flush(i, receipt)
		}
	}
	for _, i := range r.counted {
		r.program.matched[i].Add(r.matched[i])
		r.matched[i] = 0
	}
	r.counted = r.counted[:0]
	for _, i := range r.waiting {
		r.flush(i, receipt)
	}
	r.touched, r.waiting = r.touched[:0], r.waiting[:0]
}

func (r *Router) flush(i int32, receipt *logmsg.Receipt) {
	r.waitsAt.Store(i + 1)
	r.batches[i].Flush(receipt)
	r.waitsAt.Store(0)
	r.state[i] = 0
}

// Waits returns the sink that the goroutine of the router hands over to, and may wait for, nil if it does something else. Any
// goroutine may ask.
func (r *Router) Waits() Sink {
	if i := r.waitsAt.Load(); i > 0 {
		return r.program.sinks[i-1]
	}
	return nil
}

func (r *Router) count(counter int32, messages int) {
	if r.matched[counter] == 0 {
		r.counted = append(r.counted, counter)
	}
	r.matched[counter] += uint64(messages)
}

func (r *Router) send(n *node, m *logmsg.Message) {
	batch := r.batches[n.arg]
	if batch == nil {
		batch = r.program.sinks[n.arg].NewBatch()
		r.batches[n.arg] = batch
	}
	state := &r.state[n.arg]
	if *state&isTouched == 0 {
		*state |= isTouched
		r.touched = append(r.touched, n.arg)
	}
	if n.wait && *state&isWaiting == 0 {
		*state |= isWaiting
		r.waiting = append(r.waiting, n.arg)
	}
	batch.Add(m, n.wait)
}

// walk takes m from the node at i to the end of its path. current is the frame whose branch it is in.
func (r *Router) walk(i int32, m *logmsg.Message, current int32) {
	used, own := r.used, false
	for i != end {
		n := &r.program.nodes[i]
		if n.modifies && !own && n.op != opIf {
			m, own = r.copyOf(m), true
		}
		i = n.next
		switch n.op {
		case opWork:
			if !r.process(n, m) {
				r.frames[current].refused = true
				i = end
			}
		case opSend:
			if r.Trace != nil {
				r.trace(n, m, true)
			}
			r.send(n, m)
		case opIf:
			asked := m
			if n.modifies {
				asked = r.copyOf(m)
			}
			if r.process(n, asked) {
				m, own = asked, own || n.modifies
			} else {
				i = n.alt
			}
		case opTee:
			r.walk(n.arg, m, r.push(current, true))
			r.pop()
		case opLeave:
			current = r.frames[current].parent
		case opJunction:
			r.junction(n, m, current)
			i = end
		}
	}
	r.used = used
}

func (r *Router) process(n *node, m *logmsg.Message) bool {
	ok := n.step.Process(m)
	if r.Trace != nil {
		r.trace(n, m, ok)
	}
	return ok
}

// junction offers m to the branches of n, and tells the frame current if none matched.
func (r *Router) junction(n *node, m *logmsg.Message, current int32) {
	matched := r.round(n, m, current, 0)
	if !matched && n.fallback {
		matched = r.round(n, m, current, Fallback)
	}
	if !matched && !n.lenient {
		r.frames[current].refused = true
	}
	if r.Trace != nil {
		r.trace(n, m, matched)
	}
}

// round offers m to the branches with, or without, the fallback flag and tells whether one matched.
func (r *Router) round(n *node, m *logmsg.Message, current int32, fallback Flags) (matched bool) {
	for i := range n.branches {
		b := &n.branches[i]
		if b.flags&Fallback != fallback {
			continue
		}
		if r.branch(b, m, current) {
			matched = true
			r.count(b.counter, 1)
			if b.flags&Final != 0 {
				break
			}
		}
	}
	return matched
}

// branch takes m through b and tells whether it matched.
func (r *Router) branch(b *branch, m *logmsg.Message, current int32) bool {
	if b.sends && r.Trace == nil {
		r.sends(b.first, m)
		return true
	}
	if r.Trace != nil {
		r.Trace(Event{Kind: Enter, Statement: b.statement, Message: m})
	}
	f := r.push(current, b.flags&DropUnmatched != 0)
	r.walk(b.first, m, f)
	ok := !r.frames[f].refused || r.frames[f].ignore
	r.pop()
	if r.Trace != nil {
		r.Trace(Event{Kind: Exit, Statement: b.statement, Message: m, Matched: ok})
	}
	return ok
}

func (r *Router) push(parent int32, ignore bool) int32 {
	r.frames = append(r.frames, frame{parent: parent, ignore: ignore})
	return int32(len(r.frames) - 1)
}

func (r *Router) pop() { r.frames = r.frames[:len(r.frames)-1] }

// copyOf is a copy of m that is good until the walk that made it returns.
func (r *Router) copyOf(m *logmsg.Message) *logmsg.Message {
	if r.used == len(r.copies) {
		r.copies = append(r.copies, new(logmsg.Message))
	}
	c := r.copies[r.used]
	r.used++
	c.CopyFrom(m)
	return c
}

// An EventKind says what an Event is about.
type EventKind uint8

// The kinds of events.
const (
	Enter EventKind = iota // a branch begins
	Exit                   // it has ended
	Node                   // an element had its turn
)

// An Event is something that happened to a message.
type Event struct {
	Kind      EventKind
	Statement *Statement // Enter, Exit
	Element   Element    // Node; nil: the junction of a source
	Message   *logmsg.Message
	Matched   bool
}

func (r *Router) trace(n *node, m *logmsg.Message, ok bool) {
	r.Trace(Event{Kind: Node, Element: n.element, Message: m, Matched: ok})
}
