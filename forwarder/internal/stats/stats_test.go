package stats

import (
	"slices"
	"testing"
)

func TestHistogram(t *testing.T) {
	h := NewHistogram(1, 10)
	h.Observe(1, 2)
	h.Observe(1.5, 1)
	c := h.Clone()
	h.Observe(11, 4)
	if !slices.Equal(h.counts, []uint64{2, 1, 4}) || h.Count() != 7 || h.sum != 47.5 {
		t.Errorf("got %d, sum %v", h.counts, h.sum)
	}
	if c.Count() != 3 {
		t.Errorf("the copy has changed: %d values", c.Count())
	}
}

func TestPulse(t *testing.T) {
	var p Pulse
	asks := func(want bool) {
		t.Helper()
		if p.Hangs() != want {
			t.Errorf("got %v, want %v", !want, want)
		}
	}
	asks(false) // it rests
	asks(false)
	p.Work()
	asks(false) // it has just begun
	asks(true)
	p.Rest()
	p.Work()
	asks(false) // at other work
	p.Rest()
	asks(false)
}
