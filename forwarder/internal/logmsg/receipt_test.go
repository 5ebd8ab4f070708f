package logmsg

import (
	"sync"
	"testing"
)

func TestReceipt(t *testing.T) {
	done := 0
	r := &Receipt{Done: func() { done++ }}
	r.Hold()
	r.Hold()
	r.Release()
	if !r.IsOpen() || done != 0 {
		t.Fatalf("with a holder: open %t, done %d", r.IsOpen(), done)
	}
	r.Release()
	if r.IsOpen() || r.IsLost() || done != 1 {
		t.Fatalf("without one: open %t, lost %t, done %d", r.IsOpen(), r.IsLost(), done)
	}
	r.Hold()
	r.Lose()
	if r.IsOpen() || !r.IsLost() || done != 2 {
		t.Fatalf("lost: open %t, lost %t, done %d", r.IsOpen(), r.IsLost(), done)
	}
}

func TestReceiptNil(t *testing.T) {
	var r *Receipt
	r.Hold()
	r.Release()
	r.Lose()
}

// The last one of many that let go calls Done, once.
func TestReceiptConcurrent(t *testing.T) {
	done := make(chan struct{}, 2)
	r := &Receipt{Done: func() { done <- struct{}{} }}
	var wg sync.WaitGroup
	r.Hold()
	for range 8 {
		r.Hold()
		wg.Go(r.Release)
	}
	r.Release()
	wg.Wait()
	if len(done) != 1 {
		t.Fatalf("done %d times", len(done))
	}
}
