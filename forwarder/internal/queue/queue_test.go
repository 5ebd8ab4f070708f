package queue

import (
	"slices"
	"testing"
	"testing/synctest"
)

// batch has a message for each text, and no room for others.
func batch(wait bool, texts ...string) *Batch {
	b := Get(0)
	b.Wait = wait
	for _, t := range texts {
		b.Data = append(b.Data, t...)
		b.Ends = append(b.Ends, len(b.Data))
	}
	b.Data = slices.Clip(b.Data)
	return b
}

func texts(batches []*Batch) (list []string) {
	for _, b := range batches {
		start := 0
		for _, end := range b.Ends {
			list = append(list, string(b.Data[start:end]))
			start = end
		}
	}
	return list
}

func TestOrderAndAck(t *testing.T) {
	q := New(100, 1<<30)
	q.Append(batch(false, "a", "b"))
	q.Append(batch(false, "c"))
	q.Append(batch(false, "dddd"))
	first := q.Next(3)
	if got := texts(first); !slices.Equal(got, []string{"a", "b", "c"}) || q.Len() != 4 {
		t.Fatalf("got %q of %d, want a b c of 4", got, q.Len())
	}
	q.Ack(1)
	if q.Len() != 2 {
		t.Errorf("%d messages after the first batch is acknowledged, want 2", q.Len())
	}
	q.Rewind()
	if got := texts(q.Next(100)); !slices.Equal(got, []string{"c", "dddd"}) {
		t.Errorf("got %q after rewind, want c dddd", got)
	}
	q.Ack(2)
	if q.Len() != 0 {
		t.Errorf("%d messages when all is acknowledged, want 0", q.Len())
	}
}

// A batch that is larger than max comes alone.
func TestNextLargeBatch(t *testing.T) {
	q := New(10, 1<<30)
	q.Append(batch(false, "long text"))
	q.Append(batch(false, "x"))
	if got := texts(q.Next(1)); !slices.Equal(got, []string{"long text"}) {
		t.Errorf("got %q, want the long text alone", got)
	}
}

// A full queue drops the newest messages, also those in the middle of a batch, and what was given still counts.
func TestDropsNewest(t *testing.T) {
	q := New(3, 1<<30)
	if n := q.Append(batch(false, "a", "b")); n != 0 {
		t.Errorf("dropped %d, want 0", n)
	}
	q.Next(100)
	if n := q.Append(batch(false, "c", "d", "e")); n != 2 {
		t.Errorf("dropped %d, want 2", n)
	}
	if n := q.Append(batch(false, "f")); n != 1 {
		t.Errorf("dropped %d, want 1", n)
	}
	q.Rewind()
	if got := texts(q.Next(100)); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %q, want a b c", got)
	}
}

func TestWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(1, 1<<30)
		q.Append(batch(false, "a"))
		done := make(chan int)
		go func() { done <- q.Append(batch(true, "b", "c")) }()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("a batch with flow control did not wait")
		default:
		}
		q.Next(100)
		q.Ack(1)
		if n := <-done; n != 0 {
			t.Errorf("dropped %d, want 0", n)
		}
		if got := texts(q.Next(100)); !slices.Equal(got, []string{"b", "c"}) {
			t.Errorf("got %q, want b c", got)
		}
	})
}

func TestCloseEndsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(1, 1<<30)
		q.Append(batch(false, "a"))
		q.Next(100)
		appended, next := make(chan int), make(chan []*Batch)
		go func() { appended <- q.Append(batch(true, "b", "c")) }()
		go func() { next <- q.Next(100) }()
		synctest.Wait()
		q.Close()
		if n := <-appended; n != 2 {
			t.Errorf("dropped %d, want 2", n)
		}
		if b := <-next; b != nil {
			t.Errorf("got %q of a closed queue", texts(b))
		}
	})
}

func TestDrain(t *testing.T) {
	q := New(10, 1<<30)
	q.Append(batch(false, "a"))
	q.Drain()
	if got := texts(q.Next(100)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %q, want a", got)
	}
	if b := q.Next(100); b != nil {
		t.Errorf("got %q of an empty, drained queue", texts(b))
	}
}

func BenchmarkAppendNextAck(b *testing.B) {
	q := New(1<<20, 1<<30)
	line := make([]byte, 250)
	b.ReportAllocs()
	for b.Loop() {
		batch := Get(0)
		for range 250 {
			batch.Data = append(batch.Data, line...)
			batch.Ends = append(batch.Ends, len(batch.Data))
		}
		q.Append(batch)
		q.Ack(len(q.Next(1 << 20)))
	}
	b.SetBytes(250 * 250)
}

// The bytes of a memory queue are bounded too: what does not fit is dropped, or waits.
func TestBytes(t *testing.T) {
	q := New(100, 10)
	for _, step := range []struct {
		texts   []string
		dropped int
	}{
		{[]string{"larger than the queue"}, 0},
		{[]string{"a"}, 1},
	} {
		if n := q.Append(batch(false, step.texts...)); n != step.dropped {
			t.Errorf("%q: %d dropped, want %d", step.texts, n, step.dropped)
		}
	}
	q.Ack(len(q.Next(1)))
	if n := q.Append(batch(false, "four", "five", "six")); n != 1 {
		t.Errorf("%d dropped, want 1", n)
	}
	if s := q.Stat(); s.Bytes != 8 || s.Messages != 2 || s.Dropped != [Reasons]uint64{Full: 2} {
		t.Errorf("got %+v, want 2 messages of 8 bytes, and 2 dropped", s)
	}
	synctest.Test(t, func(t *testing.T) {
		q := New(100, 10)
		q.Append(batch(false, "0123456789"))
		done := make(chan struct{})
		go func() { q.Append(batch(true, "a")); close(done) }()
		synctest.Wait()
		if q.Len() != 1 {
			t.Error("a batch is taken that has to wait")
		}
		q.Ack(len(q.Next(1)))
		<-done
	})
}

// Small batches in large memory take no more than twice what they have.
func TestJoin(t *testing.T) {
	q := New(100000, 1<<30)
	const n, size = 10000, 64 << 10
	for i := range n {
		b := &Batch{Data: make([]byte, 100, size), Ends: []int{50, 100}}
		b.Data[0], b.Data[50] = byte(i), byte(i>>8)
		q.Append(b)
	}
	if len(q.batches) > 2*n*100/size+1 {
		t.Errorf("%d batches keep %d bytes", len(q.batches), n*100)
	}
	i := 0
	for q.Len() > 0 {
		list := q.Next(1)
		for _, b := range list {
			for m := 0; m < len(b.Ends); m += 2 {
				if b.Data[b.Ends[m]-50] != byte(i) || b.Data[b.Ends[m]] != byte(i>>8) {
					t.Fatalf("message %d is not in order", i)
				}
				i++
			}
		}
		q.Ack(len(list))
	}
	if i != n || q.Stat().Bytes != 0 {
		t.Errorf("%d messages, %d bytes left; want %d, 0", i, q.Stat().Bytes, n)
	}
}
