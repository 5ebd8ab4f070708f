package loadgen

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Tally counts what arrives. Its memory is bounded: a bit for each message between the first that is missing and the last
// that came, at most maxPages pages a connection, and at most maxOrigins connections.
type Tally struct {
	run uint32 // only this one is judged; 0: all

	mu      sync.Mutex // guards what follows
	origins map[originKey]*origin
	foreign int64 // messages without a mark, or of another run
	latency histogram
	first   time.Time // when the first message came, and the last
	last    time.Time
}

const maxOrigins = 1 << 16

type originKey struct {
	run        uint32
	connection int
}

// An origin is a connection of a sender, and what came of it.
type origin struct {
	seen        set
	connections int
	total       int64   // messages, as far as is known; 0: not at all
	settled     bool    // the sender itself has told the total
	highest     int64   // number that came
	highestAt   []int64 // the same for each sink, since what goes by two ways may overtake
	received    int64   // different messages
	duplicated  int64
	reordered   int64
	overtaken   []Overtaken // the first maxOvertaken
}

// NewTally makes a Tally of one run, or of all if run is 0.
func NewTally(run uint32) *Tally {
	return &Tally{run: run, origins: map[originKey]*origin{}}
}

// A batch is what one reader has got at once.
type batch struct {
	tally  *Tally
	sink   int
	now    time.Time
	key    originKey // of the last message
	origin *origin
}

// begin locks the tally for messages that have come to a sink now. The caller unlocks it.
func (t *Tally) begin(sink int) batch {
	t.mu.Lock()
	return batch{tally: t, sink: sink, now: time.Now()}
}

// add counts one message.
func (b *batch) add(message []byte) {
	t := b.tally
	m, ok := FindMark(message)
	if !ok || t.run != 0 && m.Run != t.run {
		t.foreign++
		return
	}
	if key := (originKey{m.Run, m.Connection}); b.origin == nil || b.key != key {
		s := t.origins[key]
		if s == nil {
			if len(t.origins) == maxOrigins {
				t.foreign++
				return
			}
			s = &origin{connections: m.Connections, highest: -1}
			t.origins[key] = s
		}
		b.key, b.origin = key, s
	}
	if t.first.IsZero() {
		t.first = b.now
	}
	t.last = b.now
	if b.origin.add(m, b.sink, b.now) {
		t.latency.add(b.now.Sub(m.Sent))
	}
}

// add tells whether the message is a new one.
func (s *origin) add(m Mark, sink int, now time.Time) bool {
	if !s.seen.add(m.Number) {
		s.duplicated++
		return false
	}
	s.received++
	for len(s.highestAt) <= sink {
		s.highestAt = append(s.highestAt, -1)
	}
	if m.Number < s.highestAt[sink] {
		s.overtake(m, sink, now)
	} else {
		s.highestAt[sink] = m.Number
	}
	if m.Number > s.highest {
		s.highest = m.Number
		if !s.settled {
			s.total = m.Total
		}
	}
	return true
}

// overtake notes a message that came after a later one.
func (s *origin) overtake(m Mark, sink int, now time.Time) {
	s.reordered++
	if last := len(s.overtaken) - 1; last >= 0 {
		if o := &s.overtaken[last]; o.Sink == sink && o.Numbers.Last+1 == m.Number {
			o.Numbers.Last = m.Number
			return
		}
	}
	if len(s.overtaken) < maxOvertaken {
		s.overtaken = append(s.overtaken, Overtaken{
			Numbers: Range{m.Number, m.Number}, Sink: sink, After: s.highestAt[sink], Sent: m.Sent, Came: now,
		})
	}
}

// lost is how many messages have not come, at least; exact if the connection's end is known.
func (s *origin) lost() (n int64, exact bool) {
	if s.total > s.highest {
		return s.total - s.received, true
	}
	return s.highest + 2 - s.received, false // the last message tells the total, so there is one more
}

// Judged is what a Tally says. Messages that came twice are not out of order.
type Judged struct {
	Received       int64    `json:"received"` // different messages
	Lost           int64    `json:"lost"`     // at least, if Endless is not 0
	Duplicated     int64    `json:"duplicated"`
	Reordered      int64    `json:"reordered"` // that came after a later one of their connection, at the same sink
	Foreign        int64    `json:"foreign"`   // messages without a mark, or of another run
	Endless        int64    `json:"endless"`   // connections whose last message has not come
	ReceiveSeconds float64  `json:"receive_seconds"`
	Latency        *Latency `json:"latency_ms,omitempty"`
	Faults         []Fault  `json:"faults,omitempty"` // a connection each, the first maxFaults
}

// A Fault is what went wrong on one connection.
type Fault struct {
	Run        string      `json:"run"`
	Connection int         `json:"connection"`
	Lost       int64       `json:"lost"`
	Duplicated int64       `json:"duplicated"`
	Reordered  int64       `json:"reordered"`
	Missing    []Range     `json:"missing,omitempty"`   // the first maxMissing
	Overtaken  []Overtaken `json:"overtaken,omitempty"` // the first maxOvertaken
}

// Overtaken are messages that came, one after the other, to a sink that had a later one.
type Overtaken struct {
	Numbers Range     `json:"numbers"`
	Sink    int       `json:"sink"`  // from 0, in the order of the sinks
	After   int64     `json:"after"` // number of the later one
	Sent    time.Time `json:"sent"`  // the first of them, or when it was due, if there is a rate
	Came    time.Time `json:"came"`  // the first of them
}

const (
	maxFaults    = 100
	maxMissing   = 10
	maxOvertaken = 10
)

// Judge sums up.
func (t *Tally) Judge() Judged {
	t.mu.Lock()
	defer t.mu.Unlock()
	j := Judged{Foreign: t.foreign, ReceiveSeconds: t.last.Sub(t.first).Seconds(), Latency: t.latency.summary()}
	runs := map[uint32]int{} // connections that are not heard of
	keys := slices.SortedFunc(maps.Keys(t.origins), func(a, b originKey) int {
		return cmp.Or(cmp.Compare(a.run, b.run), cmp.Compare(a.connection, b.connection))
	})
	for _, key := range keys {
		s := t.origins[key]
		if _, known := runs[key.run]; !known {
			runs[key.run] = s.connections
		}
		runs[key.run]--
		lost, exact := s.lost()
		if !exact {
			j.Endless++
		}
		j.Received += s.received
		j.Lost += lost
		j.Duplicated += s.duplicated
		j.Reordered += s.reordered
		if lost+s.duplicated+s.reordered > 0 && len(j.Faults) < maxFaults {
			j.Faults = append(j.Faults, Fault{
				Run: runName(key.run), Connection: key.connection, Lost: lost, Duplicated: s.duplicated, Reordered: s.reordered,
				Missing: s.seen.missing(s.received + lost), Overtaken: slices.Clone(s.overtaken),
			})
		}
	}
	for _, unheard := range runs {
		j.Lost += int64(max(0, unheard))
		j.Endless += int64(max(0, unheard))
	}
	return j
}

// expect tells the tally how many messages a connection has sent, which its last message may not have told.
func (t *Tally) expect(run uint32, connection, connections int, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := originKey{run, connection}
	s := t.origins[key]
	if s == nil {
		s = &origin{connections: connections, highest: -1}
		t.origins[key] = s
	}
	s.total, s.settled = max(total, s.highest+1), true
}

// Received is how many different messages have come, and when the last one did; zero: none.
func (t *Tally) Received() (n int64, last time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.origins {
		n += s.received
	}
	return n, t.last
}

func runName(run uint32) string {
	b := make([]byte, 8)
	hexDigits(b, run)
	return string(b)
}
