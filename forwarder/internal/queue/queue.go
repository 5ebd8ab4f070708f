package queue

import (
	"slices"
	"sort"
	"sync"
	"time"

	"kad/forwarder/internal/logmsg"
)

// A Batch is formatted messages, one after the other.
type Batch struct {
	Key  string // which file they are for, where a destination has several
	Data []byte
	Ends []int // of each message in Data
	Wait bool  // flow control: the queue makes room instead of dropping
	// Receipts are let go when the messages are safe: with Wait, as soon as they are acknowledged or on disk, else when they
	// are taken, or dropped. A queue that is stopped loses them.
	Receipts []*logmsg.Receipt

	Received time.Time // when the first of the messages was; zero: it is not known

	number uint64 // of the first message, if a Disk gave it
	shared bool   // the memory is read by somebody else still: it is not used again
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.Data, b.Ends, b.Wait, b.Receipts, b.Received = b.Data[:0], b.Ends[:0], false, b.Receipts[:0], time.Time{}
}

// release lets go of the receipts, if that was not done before.
func (b *Batch) release() { b.settle((*logmsg.Receipt).Release) }

// lose says that the messages of the receipts are lost.
func (b *Batch) lose() { b.settle((*logmsg.Receipt).Lose) }

func (b *Batch) settle(end func(*logmsg.Receipt)) {
	for _, r := range b.Receipts {
		end(r)
	}
	b.Receipts = b.Receipts[:0]
}

// truncate leaves the first n messages.
func (b *Batch) truncate(n int) {
	end := 0
	if n > 0 {
		end = b.Ends[n-1]
	}
	b.Ends, b.Data = b.Ends[:n], b.Data[:end]
}

// Size is the length of Data as it was appended: a driver may have changed it.
func (b *Batch) Size() int {
	if len(b.Ends) == 0 {
		return 0
	}
	return b.Ends[len(b.Ends)-1]
}

// Join takes over what other has, if there is room in the memory of b and they are for the same file. So two batches of a
// queue have more than the memory of one: small ones cannot keep much.
func (b *Batch) Join(other *Batch) bool {
	if len(other.Data) > cap(b.Data)-len(b.Data) || b.Key != other.Key {
		return false
	}
	for _, end := range other.Ends {
		b.Ends = append(b.Ends, len(b.Data)+end)
	}
	b.Data = append(b.Data, other.Data...)
	b.Receipts = append(b.Receipts, other.Receipts...)
	Put(other)
	return true
}

// A Queue is filled by many goroutines and emptied by one. What Next gave stays in it until Ack: Rewind gives it again.
type Queue interface {
	// Append takes b over and returns how many messages were dropped because the queue is full: the last ones of b, or, if
	// the queue is told so, the oldest. A batch with Wait waits for room instead; it is dropped only when the queue is stopped.
	Append(b *Batch) (dropped int)
	// Next returns the batches that come next, at least one, of about max bytes. It waits for one, and returns none when
	// the queue is stopped or interrupted, or empty and drained.
	Next(max int) []*Batch
	// Try is Next without waiting. If it returns none and ended is false, Ready tells when to try again.
	Try(max int) (batches []*Batch, ended bool)
	// Ready receives after a Try that may not have given all, or when the next one may say something else than the last.
	Ready() <-chan struct{}
	// Ack says that the n oldest batches that Next gave are sent. They are the caller's then, until Put.
	Ack(n int)
	// Hold says what is sent and may not have been read: from a batch on that Next gave, so that a queue which outlives a
	// crash begins with it then; nil: nothing. It comes before the Ack of that batch.
	Hold(from *Batch)
	// Rewind makes Next give again what is not acknowledged.
	Rewind()
	// Interrupt makes Next give nothing until Resume, which also rewinds.
	Interrupt()
	Resume()
	// Len counts the messages that are not acknowledged.
	Len() int
	// IsFull tells whether there is no room, so that who appends may wait for an Ack.
	IsFull() bool
	// Stat is what the queue holds and what went through it.
	Stat() Stat
	// Drain says that nothing is appended any more.
	Drain()
	// Stop ends all waiting.
	Stop()
	// Close stops the queue, after the last Ack, and keeps what is not acknowledged if it can.
	Close() error
}

// Memory is a queue in memory.
type Memory struct {
	capacity      int   // messages
	capacityBytes int64 // of them

	outlet // its mutex guards what follows

	notFull   sync.Cond
	attendant func() bool // see Attend
	batches   []*Batch
	messages  int // in batches
	bytes     int64
	meter     meter
	stopped   bool
}

// New makes a queue for a number of messages that have no more than so many bytes. A message that is larger is taken when
// the queue is empty, and a batch that has waited is taken as a whole.
func New(capacity int, bytes int64) *Memory {
	q := &Memory{capacity: capacity, capacityBytes: bytes, meter: newMeter(), outlet: outlet{ready: newReady()}}
	q.notFull.L = &q.mu
	return q
}

var pool = sync.Pool{New: func() any { return new(Batch) }}

// Get returns an empty batch with memory for about size bytes: that of one that was put back, if there is one.
func Get(size int) *Batch {
	b := pool.Get().(*Batch)
	b.Key = ""
	b.Reset()
	if cap(b.Data) < size {
		b.Data = make([]byte, 0, size+size/4) // to append a lot to little would take five times as much
	}
	return b
}

// maxPooled is the size of the largest batch whose memory is kept.
const maxPooled = 1 << 20

// Put gives back a batch that was acknowledged. It is not used after that.
func Put(b *Batch) {
	if cap(b.Data) <= maxPooled && !b.shared {
		pool.Put(b)
	}
}

// Attend has Append call take when there is something new, without a lock. If that tells that it has taken it, Ready receives
// nothing, so that nobody is woken. A nil take ends that.
func (q *Memory) Attend(take func() bool) {
	q.mu.Lock()
	q.attendant = take
	q.mu.Unlock()
}

// Append takes b over.
func (q *Memory) Append(b *Batch) (dropped int) {
	dropped, attendant := q.append(b)
	if attendant != nil && !attendant() {
		q.ready.signal()
	}
	return dropped
}

// append also returns who is to be told of b, nil if nobody need be.
func (q *Memory) append(b *Batch) (dropped int, attendant func() bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for b.Wait && !q.stopped && q.isFull() {
		q.meter.wait(&q.notFull)
	}
	if q.stopped {
		b.lose()
		return q.meter.drop(Stopped, len(b.Ends)), nil
	}
	if room := q.room(b); !b.Wait && len(b.Ends) > room {
		dropped = q.meter.drop(Full, len(b.Ends)-room)
		b.truncate(room)
	}
	if !b.Wait || len(b.Ends) == 0 {
		b.release()
	}
	if len(b.Ends) == 0 {
		Put(b)
		return dropped, nil
	}
	q.messages += len(b.Ends)
	q.bytes += int64(len(b.Data))
	q.meter.batches.Observe(float64(len(b.Ends)), 1)
	if n := len(q.batches); n > q.given && q.batches[n-1].Join(b) {
		return dropped, nil // somebody has been told of that one
	}
	q.batches = append(q.batches, b)
	if q.attendant == nil {
		q.ready.signal()
	}
	return dropped, q.attendant
}

func (q *Memory) isFull() bool { return q.messages >= q.capacity || q.bytes >= q.capacityBytes }

// IsFull tells whether there is no room.
func (q *Memory) IsFull() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.isFull()
}

// room is how many messages of b there is room for.
func (q *Memory) room(b *Batch) int {
	room := max(0, q.capacity-q.messages)
	if left := q.capacityBytes - q.bytes; int64(len(b.Data)) > left {
		room = min(room, sort.SearchInts(b.Ends, int(max(0, left))+1))
		if q.messages == 0 {
			room = max(1, room)
		}
	}
	return room
}

// Next returns the batches that come next.
func (q *Memory) Next(max int) []*Batch { return q.ready.next(q, max) }

// Try returns the batches that come next, if there are some.
func (q *Memory) Try(max int) (batches []*Batch, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped || q.interrupted || q.given == len(q.batches) {
		return nil, q.stopped || q.interrupted || q.drained
	}
	first, size := q.given, 0
	for q.given < len(q.batches) && (q.given == first || size+len(q.batches[q.given].Data) <= max) {
		size += len(q.batches[q.given].Data)
		q.given++
	}
	if q.given < len(q.batches) || q.drained {
		q.ready.signal()
	}
	return append([]*Batch(nil), q.batches[first:q.given]...), false
}

// Ack says that the n oldest batches are sent, and gives them away.
func (q *Memory) Ack(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, b := range q.batches[:n] {
		q.messages -= len(b.Ends)
		q.bytes -= int64(b.Size())
		q.meter.acknowledged(b, now)
		b.release()
	}
	q.given -= n
	q.batches = slices.Delete(q.batches, 0, n) // in place: what is appended next needs no memory
	q.notFull.Broadcast()
}

// Len counts the messages that are not acknowledged.
func (q *Memory) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.messages
}

// Stop ends all waiting.
func (q *Memory) Stop() {
	q.mu.Lock()
	q.stopped = true
	q.ready.signal()
	q.notFull.Broadcast()
	q.mu.Unlock()
}

// Close stops the queue. What is in it is lost.
func (q *Memory) Close() error {
	q.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range q.batches {
		b.lose()
	}
	return nil
}
