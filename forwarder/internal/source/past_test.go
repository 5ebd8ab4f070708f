package source

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"kad/forwarder/internal/jetstream"
)

func delivery(sequence uint64) jetstream.Delivery {
	return jetstream.Delivery{Sequence: sequence, Stored: int64(sequence) * 1000}
}

// What was taken is known, however much came since, until it is settled as lost.
func TestPast(t *testing.T) {
	p := &past{keep: time.Minute}
	const count = 500_000
	for n := uint64(1); n <= count; n++ {
		if v := p.judge(delivery(n)); v != take {
			t.Fatalf("%d: got %d", n, v)
		}
		if n%3 > 0 {
			p.settle(delivery(n), n%3 == 1)
		}
	}
	want := map[uint64]verdict{0: wait, 1: forget, 2: take}
	for range 10_000 {
		n := 1 + rand.Uint64N(count)
		v := p.judge(delivery(n))
		if v != want[n%3] {
			t.Fatalf("%d again: got %d, want %d", n, v, want[n%3])
		}
		if v == take {
			p.settle(delivery(n), false)
		}
	}
	if p.open.Load() != count/3 || p.known.Load() == 0 {
		t.Errorf("%d open, %d known", p.open.Load(), p.known.Load())
	}
}

// A stream that was made anew begins with the same numbers; what is settled of the one before says nothing of it.
func TestPastOfAnotherStream(t *testing.T) {
	p := &past{keep: time.Minute}
	old, anew := delivery(7), jetstream.Delivery{Sequence: 7, Stored: 1e15}
	p.judge(old)
	p.settle(old, true)
	p.judge(delivery(8))
	if p.judge(old) != forget || p.judge(anew) != take || p.judge(anew) != wait {
		t.Error("the new message is not taken once")
	}
	p.settle(delivery(8), true)
	if later := (jetstream.Delivery{Sequence: 8, Stored: 1e15 + 1}); p.judge(later) != take {
		t.Error("a message is taken for one of the stream before")
	}
}

func TestPastEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &past{keep: time.Minute}
		for n := range uint64(100) {
			p.judge(delivery(n * blockSize))
			time.Sleep(time.Second)
		}
		if len(p.blocks) != len(p.order) || len(p.blocks) > 62 {
			t.Errorf("%d blocks, %d in order", len(p.blocks), len(p.order))
		}
	})
}
