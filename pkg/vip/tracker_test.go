package vip

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

func TestTracker(t *testing.T) {
	ns, h := newNamespace(t)
	eth0 := addVeth(t, h)
	addAddr(t, h, eth0, "192.0.2.1/24")
	tracker := &Tracker{Namespace: ns}
	own := track(t, tracker, "192.0.2.1")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- tracker.Watch(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	vip := track(t, tracker, "192.0.2.100")
	if !own.Held() || vip.Held() {
		t.Errorf("at first the own address is held %v, the VIP %v", own.Held(), vip.Held())
	}
	if again := track(t, tracker, "192.0.2.100"); again != vip {
		t.Error("an address is tracked twice")
	}
	losses := make(chan string, 10)
	vip.OnLoss(func() { losses <- "lost" })
	stop := vip.OnLoss(func() { losses <- "lost, and nobody listens any more" })
	stop()
	addAddr(t, h, eth0, "192.0.2.100/32")
	for end := time.Now().Add(time.Minute); !vip.Held(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the VIP is never held")
		}
	}
	if err := h.AddrDel(eth0, address(t, "192.0.2.100/32")); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-losses:
		if got != "lost" || vip.Held() || !own.Held() {
			t.Errorf("%s, and held: %v, own address %v", got, vip.Held(), own.Held())
		}
	case <-time.After(time.Minute):
		t.Error("the loss of the VIP is not told")
	}
}

func track(t *testing.T, tracker *Tracker, addr string) *Holding {
	t.Helper()
	h, err := tracker.Track(netip.MustParseAddr(addr))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Where nothing is tracked, Watch ends with its context all the same.
func TestTrackerIdle(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := new(Tracker).Watch(ctx); err != nil {
		t.Error(err)
	}
}

func BenchmarkHeld(b *testing.B) {
	var tracker Tracker
	h, err := tracker.Track(netip.MustParseAddr("192.0.2.100"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		h.Held()
	}
}
