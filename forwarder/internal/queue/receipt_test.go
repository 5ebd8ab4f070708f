package queue

import (
	"syscall"
	"testing"

	"kad/forwarder/internal/logmsg"
)

// received is a batch whose receipt is at the state that it returns.
func received(wait bool, texts ...string) (b *Batch, state func() string) {
	r := &logmsg.Receipt{Done: func() {}}
	r.Hold()
	b = batch(wait, texts...)
	b.Receipts = append(b.Receipts, r)
	return b, func() string {
		switch {
		case r.IsOpen():
			return "open"
		case r.IsLost():
			return "lost"
		}
		return "safe"
	}
}

// A receipt is let go when its messages are safe, which depends on the queue and on flow control.
func TestReceipt(t *testing.T) {
	disk := func(reliable bool, change func(o *Options)) func(t *testing.T) Queue {
		return func(t *testing.T) Queue {
			o := testOptions(t)
			o.Reliable = reliable
			if change != nil {
				change(o)
			}
			return open(t, o)
		}
	}
	memory := func(*testing.T) Queue { return New(2, 1<<20) }
	acknowledge := func(q Queue) { q.Ack(len(q.Next(1))) }
	end := func(q Queue) { _ = q.Close() }
	fill := func(q Queue) {
		q.Append(batch(false, "2", "3"))
		q.Append(batch(false, "4"))
	}
	broken := func(o *Options) { o.open = (&faults{write: syscall.EIO}).open }
	for _, test := range []struct {
		name         string
		queue        func(t *testing.T) Queue
		wait         bool
		before, then func(q Queue)
		taken, after string
	}{
		{"memory", memory, false, nil, nil, "safe", "safe"},
		{"memory, flow control, acknowledged", memory, true, nil, acknowledge, "open", "safe"},
		{"memory, flow control, closed", memory, true, nil, end, "open", "lost"},
		{"memory, full", memory, false, fill, nil, "safe", "safe"},
		{"memory, stopped", memory, false, end, nil, "lost", "lost"},
		{"reliable disk", disk(true, nil), true, nil, nil, "safe", "safe"},
		{"disk, flow control, acknowledged", disk(false, nil), true, nil, acknowledge, "open", "safe"},
		{"disk, flow control, closed", disk(false, nil), true, nil, end, "open", "safe"},
		{"disk, flow control, spilled", disk(false, func(o *Options) { o.FrontCacheSize = 2 }), true, nil, fill, "open", "safe"},
		{"disk", disk(false, nil), false, nil, nil, "safe", "safe"},
		{"disk, blocks when full, acknowledged", disk(false, func(o *Options) { o.WhenFull = "block" }), false, nil, acknowledge, "open", "safe"},
		{"disk that fails, flow control, closed", disk(false, broken), true, nil, end, "open", "lost"},
		{"reliable disk that fails", disk(true, broken), false, nil, nil, "safe", "safe"},
		{"disk, stopped", disk(false, nil), true, end, nil, "lost", "lost"},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := test.queue(t)
			defer q.Close()
			if test.before != nil {
				test.before(q)
			}
			b, state := received(test.wait, "1")
			q.Append(b)
			if got := state(); got != test.taken {
				t.Errorf("taken: the receipt is %s, want %s", got, test.taken)
			}
			if test.then != nil {
				test.then(q)
			}
			if got := state(); got != test.after {
				t.Errorf("after: the receipt is %s, want %s", got, test.after)
			}
		})
	}
}

// A batch that is joined to another one keeps its receipt, and those that were joined to it theirs.
func TestReceiptsOfJoinedBatches(t *testing.T) {
	for _, end := range []struct {
		does func(q Queue)
		want string
	}{
		{func(q Queue) { q.Ack(len(q.Next(1))) }, "safe"},
		{func(q Queue) { _ = q.Close() }, "lost"},
	} {
		q := New(100, 1<<20)
		room, first := received(true, "1")
		room.Data = append(make([]byte, 0, 1000), room.Data...)
		q.Append(room)
		states := []func() string{first}
		for range 3 {
			b, state := received(true, "2")
			q.Append(b)
			states = append(states, state)
		}
		if len(q.batches) != 1 {
			t.Fatalf("%d batches, want them joined", len(q.batches))
		}
		end.does(q)
		for i, state := range states {
			if got := state(); got != end.want {
				t.Errorf("receipt %d is %s, want %s", i, got, end.want)
			}
		}
	}
}
