package stats

import "slices"

// A Histogram counts values by their size. Whoever has one guards it.
type Histogram struct {
	bounds []float64 // of the buckets, ascending; a last bucket has what is above all
	counts []uint64
	sum    float64
}

// NewHistogram makes one with buckets for values up to each of the bounds, which ascend.
func NewHistogram(bounds ...float64) Histogram {
	return Histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1)}
}

// Observe counts n times a value.
func (h *Histogram) Observe(value float64, n int) {
	i := 0
	for i < len(h.bounds) && value > h.bounds[i] {
		i++
	}
	h.counts[i] += uint64(n)
	h.sum += value * float64(n)
}

// Clone is a copy that does not change.
func (h *Histogram) Clone() Histogram {
	return Histogram{bounds: h.bounds, counts: slices.Clone(h.counts), sum: h.sum}
}

// Count is how many values there are.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.counts {
		n += c
	}
	return n
}
