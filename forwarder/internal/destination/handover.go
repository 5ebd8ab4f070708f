package destination

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"kad/forwarder/internal/queue"
)

// leaveTime is how long a destination may take to get what is on its way acknowledged, when another one is to go on with
// its queue.
const leaveTime = time.Second

// A handover is what two destinations of the same name settle when the configuration changes: the new one goes on with the
// queue of the one before, its counters, and the server in use.
type handover struct {
	before *Destination    // nil: there is none
	hurry  context.Context // is done when the next one has waited long enough
	expire context.CancelFunc
	ended  chan struct{} // closed when Run returns

	mu        sync.Mutex // guards what follows, and whether the queue is interrupted
	inherited bool       // the queue is another one's
}

func newHandover() *handover {
	h := &handover{ended: make(chan struct{})}
	h.hurry, h.expire = context.WithCancel(context.Background())
	return h
}

// CanInherit tells whether d can send what was formatted for before, and has its queue in the same place. If not, before
// has to send it.
func (d *Destination) CanInherit(before *Destination) bool {
	own, other := d.driver.Format(), before.driver.Format()
	if d.Name != before.Name || reflect.TypeOf(d.driver) != reflect.TypeOf(before.driver) ||
		own.IsCounted != other.IsCounted || (own.Key == nil) != (other.Key == nil) {
		return false
	}
	options := d.driver.Settings().DiskBuffer
	if q, ok := before.queue.(*queue.Disk); ok {
		return options != nil && q.Is(options)
	}
	return options == nil
}

// Inherit takes over the queue of a destination that runs, with what is in it and those who wait for room. Run then waits
// until before has ended. Without an Open before: the queue is open.
func (d *Destination) Inherit(before *Destination) (err error) {
	settings := d.driver.Settings()
	switch q := before.queue.(type) {
	case *queue.Memory:
		q.Resize(settings.LogFIFOSize, int64(settings.LogFIFOBytes))
	case *queue.Disk:
		if err = q.Change(settings.DiskBuffer); err != nil {
			err = fmt.Errorf("disk buffer does not become reliable: %w", err)
		}
	}
	d.queue, d.counters, d.before = before.queue, before.counters, before
	before.bequeath()
	time.AfterFunc(leaveTime, before.expire)
	return err
}

// bequeath leaves the queue to another one.
func (d *Destination) bequeath() {
	d.handover.mu.Lock()
	defer d.handover.mu.Unlock()
	d.inherited = true
	d.queue.Interrupt()
}

// stop ends all waiting for the queue, unless that is another one's.
func (d *Destination) stop() {
	d.handover.mu.Lock()
	defer d.handover.mu.Unlock()
	if !d.inherited {
		d.queue.Stop()
	}
}

func (d *Destination) isInherited() bool {
	d.handover.mu.Lock()
	defer d.handover.mu.Unlock()
	return d.inherited
}

// follow begins where the destination before has ended.
func (d *Destination) follow() {
	if d.before == nil {
		return
	}
	<-d.before.ended
	if d.sender != nil && d.before.sender != nil {
		d.sender.inherit(d.before.sender)
	}
	d.before = nil
	d.handover.mu.Lock()
	defer d.handover.mu.Unlock()
	if !d.inherited {
		d.queue.Resume()
	}
}

// inherit goes on with the server that another sender had in use, and with what only that one has: what a server may have
// left unread is not in the queue any more.
func (s *sender) inherit(before *sender) {
	for _, i := range before.pending {
		if !i.queued {
			s.pending = append(s.pending, i)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = before.status
	s.status.Servers, s.status.Errors = s.servers, slices.Clone(s.errs)
	s.status.Connected, s.status.Address = "", ""
	for i, name := range s.servers {
		if name == before.servers[before.rotation.current] {
			s.rotation.use(i, before.rotation.pinned)
			break
		}
	}
	if s.servers[0] == before.servers[0] {
		s.rotation.stalled = before.rotation.stalled
	}
	s.status.Current, s.status.Pinned = s.servers[s.rotation.current], s.rotation.pinned
}
