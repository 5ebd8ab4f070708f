package queue

import (
	"slices"
	"testing"
)

// A queue that is interrupted takes batches and gives none, until it gives all again.
func TestInterrupt(t *testing.T) {
	for name, q := range kinds(t, 10) {
		t.Run(name, func(t *testing.T) {
			q.Append(batch(false, "a"))
			q.Append(batch(false, "b"))
			q.Next(1)
			q.Next(1)
			q.Ack(1)
			given := make(chan []*Batch)
			go func() { given <- q.Next(1) }() // there is no third one
			q.Interrupt()
			if got := <-given; got != nil {
				t.Fatalf("Next gave %q, want nothing", texts(got))
			}
			q.Append(batch(false, "c"))
			if got := q.Next(1); got != nil {
				t.Fatalf("Next gave %q before Resume", texts(got))
			}
			q.Resume()
			if got := texts(append(q.Next(1), q.Next(1)...)); !slices.Equal(got, []string{"b", "c"}) {
				t.Fatalf("got %q, want b and c", got)
			}
		})
	}
}

func TestChange(t *testing.T) {
	o := testOptions(t)
	o.Reliable = false
	q := open(t, o)
	q.Append(batch(false, "a"))
	if q.Used() != 0 {
		t.Fatal("a batch is on the disk before it must be")
	}
	reliable := *o
	reliable.Reliable = true
	for i, next := range []*Options{&reliable, o, &reliable} {
		if !q.Is(next) {
			t.Fatal("the directory is another one")
		}
		if err := q.Change(next); err != nil {
			t.Fatal(err)
		}
		if n := q.Append(batch(false, string(rune('b'+i)))); n != 0 {
			t.Fatalf("%d messages dropped", n)
		}
	}
	if n := q.Len(); n != 4 {
		t.Errorf("there are %d messages, want 4", n)
	}
	q.crash()
	q = open(t, o)
	defer q.Close()
	if got := texts(q.Next(1 << 10)); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("after a crash: %q, want all that a reliable queue has taken", got)
	}
}
