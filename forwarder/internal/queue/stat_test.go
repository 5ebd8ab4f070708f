package queue

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// kinds are an empty queue of each kind.
func kinds(t *testing.T, capacity int) map[string]Queue {
	t.Helper()
	o := Options{Dir: t.TempDir()}
	if err := o.Init(); err != nil {
		t.Fatal(err)
	}
	d, err := Open("q", &o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return map[string]Queue{"memory": New(capacity, 1<<30), "disk": d}
}

func TestStat(t *testing.T) {
	for name, q := range kinds(t, 10) {
		t.Run(name, func(t *testing.T) {
			if s := q.Stat(); s.Messages != 0 || s.Bytes != 0 || !s.Oldest.IsZero() {
				t.Errorf("an empty queue has %+v", s)
			}
			at := time.Now().Add(-time.Minute)
			for i, text := range []string{"a", "bcd"} {
				b := batch(false, text, text)
				b.Received = at.Add(time.Duration(i) * time.Second)
				q.Append(b)
			}
			if s := q.Stat(); s.Messages != 4 || s.Bytes < 8 || !s.Oldest.Equal(at) {
				t.Errorf("got %+v, want 4 messages of 8 bytes or more, the oldest of %v", s, at)
			}
			q.Next(1)
			q.Next(1)
			q.Ack(1)
			if s := q.Stat(); s.Messages != 2 || !s.Oldest.Equal(at.Add(time.Second)) {
				t.Errorf("after an acknowledgement: got %+v", s)
			}
			q.Ack(1)
			if s := q.Stat(); s.Messages != 0 || s.Bytes != 0 || !s.Oldest.IsZero() || s.Delays.Count() != 4 || s.Batches.Count() != 2 {
				t.Errorf("after all: got %+v", s)
			}
		})
	}
}

// What waits for room is counted, and for how long.
func TestStatBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(1, 1<<30)
		q.Append(batch(false, "a"))
		for range 2 {
			go q.Append(batch(true, "b"))
		}
		synctest.Wait()
		time.Sleep(3 * time.Second)
		if s := q.Stat(); s.Waiters != 2 || s.Blocked != 6*time.Second {
			t.Errorf("got %d waiters for %v, want 2 for 6s", s.Waiters, s.Blocked)
		}
		q.Stop()
		synctest.Wait()
		time.Sleep(time.Second)
		if s := q.Stat(); s.Waiters != 0 || s.Blocked != 6*time.Second {
			t.Errorf("got %d waiters after %v, want none after 6s", s.Waiters, s.Blocked)
		}
	})
}
