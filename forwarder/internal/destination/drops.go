package destination

import (
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/queue"
)

// dropsEnd is how long nothing must have been dropped for the dropping to have ended.
const dropsEnd = 10 * time.Second

// Reasons for which a driver drops messages. The queue has its own.
const (
	tooLarge = "too_large" // for a datagram
	refused  = "refused"   // a datagram, by the peer
	badName  = "bad_file_name"
	buried   = "dead_letter" // is in the dead letter file
)

// Drops are messages that will not be sent.
type drops struct {
	total  atomic.Uint64
	logger atomic.Pointer[slog.Logger]

	mu       sync.Mutex        // guards what follows
	byDriver map[string]uint64 // by reason
	current  int               // since dropping began; 0: it has ended
	last     time.Time
}

// add counts messages that were dropped, and logs when that begins and when it has ended.
func (d *drops) add(n int) {
	if n == 0 {
		return
	}
	d.total.Add(uint64(n))
	d.mu.Lock()
	begins := d.current == 0
	d.current += n
	d.last = time.Now()
	d.mu.Unlock()
	if begins {
		d.warn("messages are dropped")
		time.AfterFunc(dropsEnd, d.end)
	}
}

// end logs how many were dropped, unless more are.
func (d *drops) end() {
	d.mu.Lock()
	rest, n := dropsEnd-time.Since(d.last), d.current
	if rest <= 0 {
		d.current = 0
	}
	d.mu.Unlock()
	if rest > 0 {
		time.AfterFunc(rest, d.end)
		return
	}
	d.warn("no more messages are dropped", "messages", n)
}

func (d *drops) warn(text string, args ...any) {
	if l := d.logger.Load(); l != nil {
		l.Warn(text, args...)
	}
}

// A dropper counts by reason what it could not write and does not try again.
type dropper struct{ list map[string]int }

func (l *dropper) drop(reason string, messages int) {
	if l.list == nil {
		l.list = map[string]int{}
	}
	l.list[reason] += messages
}

// dropped tells what was dropped since the last call.
func (l *dropper) dropped() map[string]int {
	list := l.list
	l.list = nil
	return list
}

// addDriver counts what a driver has dropped, and tells how many messages that are.
func (d *drops) addDriver(c Conn) (n int) {
	l, ok := c.(interface{ dropped() map[string]int })
	if !ok {
		return 0
	}
	for reason, count := range l.dropped() {
		d.addReason(reason, count)
		n += count
	}
	return n
}

// addReason counts what a driver has dropped.
func (d *drops) addReason(reason string, n int) {
	d.mu.Lock()
	if d.byDriver == nil {
		d.byDriver = map[string]uint64{}
	}
	d.byDriver[reason] += uint64(n)
	d.mu.Unlock()
	d.add(n)
}

// Dropped are the messages that will not be sent, by reason.
func (d *Destination) Dropped() map[string]uint64 {
	list := map[string]uint64{}
	for reason, n := range d.queue.Stat().Dropped {
		if n > 0 || queue.Reason(reason) == queue.Full {
			list[queue.Reason(reason).String()] = n
		}
	}
	d.drops.mu.Lock()
	defer d.drops.mu.Unlock()
	maps.Copy(list, d.drops.byDriver)
	return list
}
