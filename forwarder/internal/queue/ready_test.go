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
