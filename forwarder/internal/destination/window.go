package destination

import (
	"math"
	"sort"

	"kad/forwarder/internal/queue"
)

// maxReplays is how often a message that was acknowledged is sent again. A server that resets every connection before it
// has read a window would get the same messages for ever.
const maxReplays = 10

// An item is a batch on its way to a server.
type item struct {
	*queue.Batch
	first   int   // message with which it begins: those before have arrived
	end     int64 // position after it in the bytes of the connection
	queued  bool  // it is still in the queue
	replays int   // how often it was sent though it was acknowledged
}

// start is the offset in Data of the message with which it begins.
func (i *item) start() int {
	if i.first == 0 {
		return 0
	}
	return i.Ends[i.first-1]
}

func (i *item) bytes() []byte { return i.Data[i.start():] }

// A window is what was written to a connection and may have to be written to the next one.
type window struct {
	items   []item // that are not wholly acknowledged, oldest first
	written int64  // bytes
	acked   int64
	kept    []item // copies of what is acknowledged and may be unread, oldest first
	free    []*queue.Batch
}

// add appends what is being written.
func (w *window) add(i item) {
	w.written += int64(len(i.bytes()))
	i.end = w.written
	w.items = append(w.items, i)
}

// acknowledge says how many bytes the peer's kernel has, and how many of them must be kept. It returns how many batches and
// messages the queue need not keep any more.
func (w *window) acknowledge(acked, keep int64) (batches, messages int) {
	w.acked = min(acked, w.written)
	n := 0
	for n < len(w.items) && w.items[n].end <= w.acked {
		i := &w.items[n]
		if i.queued {
			batches++
			messages += len(i.Ends)
		}
		if keep > 0 && i.replays < maxReplays {
			w.keep(i)
		}
		n++
	}
	if n > 0 {
		m := copy(w.items, w.items[n:])
		clear(w.items[m:])
		w.items = w.items[:m]
	}
	w.forget(keep)
	return batches, messages
}

// keep copies an item: the memory of the original goes back to the queue.
func (w *window) keep(i *item) {
	b := &queue.Batch{}
	if last := len(w.free) - 1; last >= 0 {
		b, w.free = w.free[last], w.free[:last]
	}
	b.Data, b.Ends = append(b.Data[:0], i.Data...), append(b.Ends[:0], i.Ends...)
	k := *i
	k.Batch, k.queued = b, false
	w.kept = append(w.kept, k)
}

// forget drops what of kept is not among the last acknowledged bytes.
func (w *window) forget(keep int64) {
	n := 0
	for n < len(w.kept) && w.kept[n].end <= w.acked-keep {
		w.free = append(w.free, w.kept[n].Batch)
		n++
	}
	if n > 0 {
		m := copy(w.kept, w.kept[n:])
		clear(w.kept[m:])
		w.kept = w.kept[:m]
	}
}

// replay empties the window and returns what the next server must get: what is not acknowledged, and of what is, the last
// unread bytes. A message of which a part is missing is sent again as a whole.
func (w *window) replay(unread int64) (items []item, unacknowledged, acknowledged int) {
	arrived := w.acked - unread
	if unread == 0 {
		w.kept = nil
	}
	for _, i := range append(w.kept, w.items...) {
		offset := i.end - int64(len(i.Data)) // position of Data[0], if all were sent
		has := func(position int64) int {
			return max(i.first, sort.Search(len(i.Ends), func(m int) bool { return offset+int64(i.Ends[m]) > position }))
		}
		from := arrived
		if i.replays >= maxReplays {
			from = w.acked
		}
		first, acked := has(from), has(w.acked)
		i.first, i.end = first, math.MaxInt64
		acknowledged += max(0, acked-first)
		unacknowledged += len(i.Ends) - max(first, acked)
		if acked > first {
			i.replays++
		}
		if first < len(i.Ends) || i.queued {
			items = append(items, i)
		}
	}
	*w = window{}
	return items, unacknowledged, acknowledged
}
