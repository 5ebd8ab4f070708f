package loadgen

import (
	"math/bits"
	"time"
)

// Latency has percentiles of the time from sending to arriving, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

// fineBits is how many bits of a value a histogram tells apart after the first: 32 steps from one power of two to the next, 3 %.
const fineBits = 5

// A histogram counts durations by their microseconds.
type histogram struct {
	counts [64 << fineBits]int64
	total  int64
	max    time.Duration
}

// add counts a duration. One below zero is that of clocks that differ.
func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d/time.Microsecond))]++
	h.total++
	h.max = max(h.max, d)
}

func bucket(v uint64) int {
	shift := max(0, bits.Len64(v)-fineBits-1)
	return shift<<fineBits + int(v>>shift)
}

// bound is the least value that is beyond a bucket.
func bound(bucket int) uint64 {
	shift := max(0, bucket>>fineBits-1)
	return uint64(bucket-shift<<fineBits+1) << shift
}

// summary is nil if there is nothing.
func (h *histogram) summary() *Latency {
	if h.total == 0 {
		return nil
	}
	return &Latency{h.percentile(0.5), h.percentile(0.99), h.percentile(0.999), milliseconds(h.max)}
}

func (h *histogram) percentile(p float64) float64 {
	rest := int64(p * float64(h.total))
	for i, n := range h.counts {
		if rest -= n; rest < 0 {
			return min(float64(bound(i))/1000, milliseconds(h.max))
		}
	}
	return milliseconds(h.max)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
