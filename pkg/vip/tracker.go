package vip

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Local tracks addresses in our own network namespace.
var Local Tracker

// A Tracker knows of some addresses whether this host holds them, for those who ask often. The zero value is ready.
type Tracker struct {
	Namespace string // the network namespace, see List

	mu       sync.Mutex // guards what follows
	holdings map[netip.Addr]*Holding
	tracking chan struct{} // closed when there is a holding
}

// A Holding is whether this host holds one address: as it was when it was tracked first, and while Watch runs as it is.
type Holding struct {
	held atomic.Bool

	mu   sync.Mutex // guards what follows
	lost map[int]func()
	next int // key of lost
}

// Track returns the holding of an address, the same for each call.
func (t *Tracker) Track(a netip.Addr) (*Holding, error) {
	a = a.WithZone("")
	t.mu.Lock()
	defer t.mu.Unlock()
	if h, ok := t.holdings[a]; ok {
		return h, nil
	}
	addrs, err := List(t.Namespace)
	if err != nil {
		return nil, err
	}
	h := &Holding{lost: map[int]func(){}}
	h.update(addrs, a)
	if t.holdings == nil {
		t.holdings = map[netip.Addr]*Holding{}
	}
	if len(t.holdings) == 0 {
		close(t.started())
	}
	t.holdings[a] = h
	return h, nil
}

// Tracked are the addresses that are tracked, and whether this host holds them.
func (t *Tracker) Tracked() map[netip.Addr]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := map[netip.Addr]bool{}
	for a, h := range t.holdings {
		held[a] = h.Held()
	}
	return held
}

func (t *Tracker) started() chan struct{} {
	if t.tracking == nil {
		t.tracking = make(chan struct{})
	}
	return t.tracking
}

// Watch keeps the holdings up to date until ctx ends; then it returns nil. Where nothing is tracked it asks the kernel
// nothing.
func (t *Tracker) Watch(ctx context.Context) error {
	t.mu.Lock()
	started := t.started()
	t.mu.Unlock()
	select {
	case <-started:
		return Watch(ctx, t.Namespace, t.update)
	case <-ctx.Done():
		return nil
	}
}

func (t *Tracker) update(addrs []Address) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for a, h := range t.holdings {
		h.update(addrs, a)
	}
}

// Held tells whether this host holds the address. It costs a load from memory.
func (h *Holding) Held() bool { return h.held.Load() }

// OnLoss calls f each time the address leaves this host, until stop is called. f must not wait, nor call Track.
func (h *Holding) OnLoss(f func()) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := h.next
	h.next++
	h.lost[key] = f
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.lost, key)
	}
}

func (h *Holding) update(addrs []Address, a netip.Addr) {
	_, held := Held(addrs, a)
	if before := h.held.Swap(held); !before || held {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.lost {
		f()
	}
}
