package queue

import "testing"

// What a reliable queue keeps in memory of what waits is bounded in bytes too, and all of it comes.
func TestFrontBytes(t *testing.T) {
	o := testOptions(t)
	o.Reliable, o.Capacity = true, 64<<20
	o.SetFrontBytes(1 << 20)
	q := open(t, o)
	defer q.Close()
	const count, size = 80, 100 << 10
	for range count {
		b := Get(size)
		b.Data = append(b.Data, make([]byte, size)...)
		b.Ends = append(b.Ends, size)
		if dropped := q.Append(b); dropped > 0 {
			t.Fatalf("%d messages are dropped", dropped)
		}
	}
	inMemory := 0
	for _, e := range q.front {
		inMemory += len(e.Data)
	}
	if inMemory < 1<<20 || inMemory > 1<<20+size {
		t.Errorf("%d bytes are in memory, want about 1 MiB", inMemory)
	}
	for n := 0; n < count; {
		list := q.Next(1 << 20)
		for _, b := range list {
			n += len(b.Ends)
		}
		q.Ack(len(list))
	}
	if q.inFront != 0 || q.Len() != 0 {
		t.Errorf("%d bytes and %d messages are left", q.inFront, q.Len())
	}
}
