package stats

import (
	"maps"
	"testing"
)

func TestHistogram(t *testing.T) {
	h := NewHistogram(1, 10)
	h.Observe(1, 2)
	h.Observe(1.5, 1)
	c := h.Clone()
	h.Observe(11, 4)
	if count, upTo := h.cumulative(); count != 7 || !maps.Equal(upTo, map[float64]uint64{1: 2, 10: 3}) || h.sum != 47.5 {
		t.Errorf("got %d values, %v, sum %v", count, upTo, h.sum)
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
