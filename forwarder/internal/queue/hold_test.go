package queue

import (
	"fmt"
	"testing"
)

// What is held comes again after a crash and after an orderly end, though it was acknowledged; its segments stay for so long.
func TestHold(t *testing.T) {
	for name, end := range map[string]func(q *Disk) error{
		"killed":                              func(q *Disk) error { q.crash(); return nil },
		"killed after the position was saved": func(q *Disk) error { q.save(); q.crash(); return nil },
		"closed":                              (*Disk).Close,
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t)
			o.Capacity = MinCapacity
			q := open(t, o)
			var list []string
			for i := range 100 {
				list = append(list, fmt.Sprintf("%10000d", i))
				q.Append(batch(false, list[i]))
				if given := q.Next(1); i%10 == 0 {
					q.Hold(given[0])
				}
				q.Ack(1)
			}
			if used := q.Used(); used < 10*10000 || used > 15*10000 {
				t.Errorf("%d bytes are kept for 10 messages", used)
			}
			if err := end(q); err != nil {
				t.Fatal(err)
			}
			q = open(t, o)
			again := rest(q)
			if n := len(again); n < 10 || n > 12 || name != "killed" && n > 10 {
				t.Errorf("%d messages come again", n)
			}
			check(t, "rest", again, list[len(list)-len(again):])
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			if names := segmentFiles(t, o); len(names) > 0 {
				t.Errorf("%q are left", names)
			}
		})
	}
}

// Nothing is held any more when the receiver has read all.
func TestHoldEnds(t *testing.T) {
	o := testOptions(t)
	q := open(t, o)
	q.Append(batch(false, numbers(0, 10)...))
	q.Hold(q.Next(1000)[0])
	q.Ack(1)
	q.Hold(nil)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, o)
	defer q.Close()
	if n := q.Len(); n > 0 {
		t.Errorf("%d messages come again", n)
	}
}
