package main

import (
	"bytes"
	"sync"
	"time"
)

// Faults are what went wrong with messages on their way.
type faults struct{ lost, doubled, reordered, misrouted, altered int }

// An output is what came to one destination.
type output struct {
	mu        sync.Mutex // guards what follows
	conns     []arrivals
	faults    faults
	latencies []int32 // microseconds, if latency is asked for
}

// Arrivals are the messages of one sending connection at one destination.
type arrivals struct {
	seen []uint64 // a bit for each number
	last int
}

// A checker holds what comes on one connection to a destination against what was sent.
type checker struct {
	sink        *sink
	destination int
	out         *output
	next        stream // what should come next; without models: not known
	due         int    // as the message before
}

// take counts the whole messages in b and returns how many bytes they had.
func (c *checker) take(b []byte) (used int) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	now := time.Since(c.sink.start)
	came := 0
	for {
		if n := c.expected(b[used:]); n > 0 {
			used += n
			came += c.arrived(mark{conn: c.next.conn, number: c.next.number, due: c.due}, now)
			c.expect()
			continue
		}
		text, n := cut(b[used:], c.sink.workload.counted)
		if n == 0 {
			break
		}
		used += n
		came += c.count(text, now)
	}
	c.sink.came(came, now)
	return used
}

// expected returns how many bytes the message that should come has with its framing, 0 if it is not what b begins with. Nearly
// always it is, to the last byte; to compare costs much less than to read what came.
func (c *checker) expected(b []byte) (n int) {
	if c.next.all == nil {
		return 0
	}
	var text []byte
	want := c.next.model().text
	if c.sink.workload.counted {
		text, n = cut(b, true)
	} else if n = len(want) + 1; n <= len(b) && b[n-1] == '\n' {
		text = b[:n-1]
	}
	begin := len(want) - len(blank)
	if len(text) != len(want) || string(text[:begin]) != string(want[:begin]) || trailer(text[begin:]) != c.next.trailer {
		return 0
	}
	return n
}

// expect makes next the message that follows it on its connection among those of the destination, if there is one.
func (c *checker) expect() {
	n := 1
	for !c.sink.workload.belongs(&c.next.all[modelAt(c.next.conn, c.next.number+n)], c.destination) {
		n++
	}
	if c.next.forward(n); !c.sent(c.next.conn, c.next.number) {
		c.next.all = nil
	}
}

// sent tells whether there can be such a message.
func (c *checker) sent(conn, number int) bool {
	return conn < len(c.out.conns) && number < 64*len(c.out.conns[conn].seen)
}

// cut returns the first message in b and how many bytes it has with its framing, 0 if it is not whole.
func cut(b []byte, counted bool) (text []byte, n int) {
	if !counted {
		i := bytes.IndexByte(b, '\n')
		return b[:max(i, 0)], i + 1
	}
	i := bytes.IndexByte(b, ' ')
	if i < 1 || i > 9 {
		return nil, 0
	}
	size := number(b[:i])
	if n = i + 1 + size; size < 0 || n > len(b) {
		return nil, 0
	}
	return bytes.TrimSuffix(b[i+1:n], []byte("\n")), n
}

// count holds any message against what was sent, and returns 1 if it was still to come.
func (c *checker) count(text []byte, now time.Duration) int {
	faults := &c.out.faults
	m, ok := markOf(text)
	if !ok || !c.sent(m.conn, m.number) {
		faults.altered++
		return 0
	}
	want := &c.sink.models[m.model]
	begin := len(text) - len(blank)
	if !bytes.Equal(text[:begin], want.text[:len(want.text)-len(blank)]) {
		faults.altered++
	}
	if !c.sink.workload.belongs(want, c.destination) {
		faults.misrouted++
		return 0
	}
	c.next = stream{c.sink.models, m.conn, m.number, trailer(text[begin:])}
	c.due = m.due
	c.expect()
	return c.arrived(m, now)
}

// arrived counts a message that was sent, and belongs here. It returns 1 if it was still to come.
func (c *checker) arrived(m mark, now time.Duration) int {
	out := c.out
	from := &out.conns[m.conn]
	word, bit := &from.seen[m.number/64], uint64(1)<<(m.number%64)
	if *word&bit != 0 {
		out.faults.doubled++
		return 0
	}
	*word |= bit
	if m.number < from.last {
		out.faults.reordered++
	}
	from.last = m.number
	if c.sink.workload.rate > 0 && !c.sink.workload.udp {
		out.latencies = append(out.latencies, int32(int(now/time.Microsecond)-m.due))
	}
	return 1
}
