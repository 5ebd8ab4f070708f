package destination

import (
	"math"
	"slices"
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

// appendMessages appends each message.
func (i *item) appendMessages(list [][]byte) [][]byte {
	start := i.start()
	for _, end := range i.Ends[i.first:] {
		list = append(list, i.Data[start:end])
		start = end
	}
	return list
}

// A window is what was written to a connection and may have to be written to the next one.
type window struct {
	items   []item // that are not wholly acknowledged, oldest first
	written int64  // bytes
	acked   int64
	read    int64  // of acked, those that need not be kept
	kept    []item // what is acknowledged and may be unread, oldest first; the queue has given it away
}

// add appends what is being written.
func (w *window) add(i item) {
	w.written += int64(len(i.bytes()))
	i.end = w.written
	w.items = append(w.items, i)
}

// An amount is of messages that are sent.
type amount struct{ messages, bytes int }

// acknowledge says how many bytes the peer's kernel has, and how many of them may be unread. It returns how many batches, and what
// of messages, the queue has to give away before keep is called. What was not needed once is not needed any more.
func (w *window) acknowledge(acked, unread int64) (batches int, a amount) {
	w.acked = min(acked, w.written)
	w.read = max(w.read, w.acked-unread)
	for n := 0; n < len(w.items) && w.items[n].end <= w.acked; n++ {
		if i := &w.items[n]; i.queued {
			i.queued = false
			batches++
			a.messages += len(i.Ends)
			a.bytes += i.Size()
		}
	}
	return batches, a
}

// oldest is the first batch that may have to be sent again, nil if there is none.
func (w *window) oldest() *queue.Batch {
	for _, list := range [...][]item{w.kept, w.items} {
		for _, i := range list {
			if i.end > w.read {
				return i.Batch
			}
		}
	}
	return nil
}

// keep keeps of what is acknowledged that which may be unread.
func (w *window) keep() {
	n := 0
	for n < len(w.items) && w.items[n].end <= w.acked {
		if i := w.items[n]; !w.merge(&i) {
			w.kept = append(w.kept, i)
		}
		n++
	}
	w.items = slices.Delete(w.items, 0, n)
	for n = 0; n < len(w.kept) && w.kept[n].end <= w.read; n++ {
		queue.Put(w.kept[n].Batch)
	}
	w.kept = slices.Delete(w.kept, 0, n)
}

// merge adds i to the last batch that is kept, if that has room.
func (w *window) merge(i *item) bool {
	if len(w.kept) == 0 || i.first > 0 {
		return false
	}
	last := &w.kept[len(w.kept)-1]
	if last.replays != i.replays || !last.Join(i.Batch) {
		return false
	}
	last.end = i.end
	return true
}

// add counts the messages of i from one to before another one.
func (a *amount) add(i item, from, to int) {
	if from < to {
		i.first = from
		a.messages += to - from
		a.bytes += i.Ends[to-1] - i.start()
	}
}

// replay empties the window and returns what the next server must get: what is not acknowledged, and of what is, the last
// unread bytes. A message of which a part is missing is sent again as a whole.
func (w *window) replay(unread int64) (items []item, unacknowledged, acknowledged amount) {
	arrived := w.acked - unread
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
		acknowledged.add(i, first, acked)
		unacknowledged.add(i, max(first, acked), len(i.Ends))
		if acked > first {
			i.replays++
		}
		if first < len(i.Ends) {
			items = append(items, i)
		} else {
			queue.Put(i.Batch)
		}
	}
	*w = window{}
	return items, unacknowledged, acknowledged
}
