package queue

import (
	"slices"
	"testing"
)

// Whoever tries after each token gets all, and learns of what ends that.
func TestReady(t *testing.T) {
	isReady := func(q Queue) bool {
		select {
		case <-q.Ready():
			return true
		default:
			return false
		}
	}
	tryAll := func(q Queue) (list []string, ended bool) {
		for isReady(q) && !ended {
			var batches []*Batch
			batches, ended = q.Try(1)
			list = append(list, texts(batches)...)
		}
		return list, ended
	}
	for name, q := range kinds(t, 10) {
		t.Run(name, func(t *testing.T) {
			for _, step := range []struct {
				name  string
				do    func()
				want  []string
				ended bool
			}{
				{"nothing", func() {}, nil, false},
				{"two", func() { q.Append(batch(false, "a")); q.Append(batch(false, "b")) }, []string{"a", "b"}, false},
				{"rewound", q.Rewind, []string{"a", "b"}, false},
				{"interrupted", q.Interrupt, nil, true},
				{"resumed", q.Resume, []string{"a", "b"}, false},
				{"drained", q.Drain, nil, true},
				{"stopped", q.Stop, nil, true},
			} {
				step.do()
				if got, ended := tryAll(q); !slices.Equal(got, step.want) || ended != step.ended {
					t.Errorf("%s: got %q, ended %t, want %q, %t", step.name, got, ended, step.want, step.ended)
				}
			}
		})
	}
}

// A queue that has something when it is opened is ready.
func TestReadyWhenOpened(t *testing.T) {
	o := testOptions(t)
	q := open(t, o)
	q.Append(batch(false, "a"))
	q.crash()
	q = open(t, o)
	defer q.Close()
	select {
	case <-q.Ready():
	default:
		t.Error("it is not ready")
	}
}

// What the attendant takes wakes nobody, what it leaves does.
func TestAttend(t *testing.T) {
	q := New(10, 1<<20)
	<-q.Ready()
	takes, asked := true, 0
	q.Attend(func() bool {
		asked++
		if takes {
			batches, _ := q.Try(1 << 20)
			q.Ack(len(batches))
		}
		return takes
	})
	isReady := func() bool {
		select {
		case <-q.Ready():
			return true
		default:
			return false
		}
	}
	q.Append(batch(false, "a"))
	if isReady() || q.Len() != 0 || asked != 1 {
		t.Errorf("taken: asked %d times, %d messages left", asked, q.Len())
	}
	takes = false
	q.Append(batch(false, "b"))
	if !isReady() || asked != 2 {
		t.Errorf("left: asked %d times", asked)
	}
	q.Try(1 << 20)
	q.Attend(nil)
	q.Append(batch(false, "c"))
	if !isReady() || asked != 2 {
		t.Errorf("without an attendant: asked %d times", asked)
	}
}
