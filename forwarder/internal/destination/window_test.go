package destination

import (
	"testing"

	"kad/forwarder/internal/queue"
)

// Small batches in large memory are kept together: the memory is bounded by what is kept.
func TestKeptMemory(t *testing.T) {
	const size, unread = 64 << 10, 1 << 20
	var w window
	for i := range int64(20000) {
		b := &queue.Batch{Data: make([]byte, 200, size), Ends: []int{200}}
		w.add(item{Batch: b})
		w.acknowledge((i+1)*200, unread)
		w.keep()
	}
	memory := 0
	for _, k := range w.kept {
		memory += cap(k.Data)
	}
	if memory > 2*unread+size {
		t.Errorf("%d bytes of memory keep %d", memory, unread)
	}
	if items, _, again := w.replay(unread); again != (amount{unread/200 + 1, (unread/200 + 1) * 200}) {
		t.Errorf("%d messages in %d batches are sent again, want %d", again.messages, len(items), unread/200+1)
	}
}
