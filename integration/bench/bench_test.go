package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kad/pkg/testneed"
)

func workloadNamed(t *testing.T, name string) workload {
	t.Helper()
	i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })
	if i < 0 {
		t.Fatalf("no workload %s", name)
	}
	return workloads[i]
}

func TestModels(t *testing.T) {
	for _, w := range workloads {
		size, to := 0, map[uint8]int{}
		for _, m := range newModels(w) {
			if n := len(m.frame); n < minSize || n > maxSize+4 {
				t.Errorf("%s: %d bytes: %s", w.name, n, m.frame)
			}
			size += len(m.frame)
			to[m.to]++
			if got, n := cut(m.frame, w.counted); n != len(m.frame) || !bytes.Equal(got, m.text) {
				t.Errorf("%s: cut(%q) = %q, %d", w.name, m.frame, got, n)
			}
		}
		if mean := size / models; mean < meanSize-5 || mean > meanSize+4 {
			t.Errorf("%s: the mean is %d bytes, want about %d", w.name, mean, meanSize)
		}
		if want := map[bool]int{true: 4, false: 1}[w.destinations > 1]; len(to) < want {
			t.Errorf("%s: only %v", w.name, to)
		}
	}
}

// The sink finds each fault, and no other.
func TestSink(t *testing.T) {
	const count = 100
	w := workload{conns: 2, destinations: 4}
	all := newModels(w)
	at := func(destination int, conn, number int) func(s *sink) {
		return func(s *sink) { s.checker(destination).take(newStream(all, conn, number).append(nil)) }
	}
	first := slices.IndexFunc(all[:count], func(m model) bool { return m.to == 1<<0 })
	second := first + 1 + slices.IndexFunc(all[first+1:count], func(m model) bool { return m.to == 1<<0 })
	for _, test := range []struct {
		name string
		do   []func(s *sink)
		want faults
	}{
		{"in order", []func(*sink){at(0, 0, first), at(0, 0, second)}, faults{}},
		{"swapped", []func(*sink){at(0, 0, second), at(0, 0, first)}, faults{reordered: 1}},
		{"twice", []func(*sink){at(0, 0, first), at(0, 0, first)}, faults{doubled: 1, lost: 1}},
		{"elsewhere", []func(*sink){at(1, 0, first), at(0, 0, second)}, faults{misrouted: 1, lost: 1}},
		{"cut", []func(*sink){at(0, 0, second), func(s *sink) {
			line := newStream(all, 0, first).append(nil)
			s.checker(0).take(append(line[:40:40], line[41:]...))
		}}, faults{altered: 1, reordered: 1}},
		{"no message", []func(*sink){at(0, 0, first), func(s *sink) { s.checker(0).take([]byte("hello\n")) }}, faults{altered: 1, lost: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := newSink(w, all, nil, count)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			s.start = time.Now()
			missing := s.missing.Load()
			for _, do := range test.do {
				do(s)
			}
			got, _ := s.result()
			if got.lost -= int(missing) - len(test.do); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// Each workload gets through the forwarder whole.
func TestForwarder(t *testing.T) {
	forwarder, err := filepath.Abs("../../bin/forwarder")
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(forwarder)
	testneed.That(t, err == nil, "make build")
	peers, err := peersOf([]string{forwarder})
	testneed.That(t, err == nil, fmt.Sprint("the peers: ", err))
	i := slices.IndexFunc(peers, func(p peer) bool { return p.name == "forwarder" })
	tests := []workload{{name: "fanout", conns: 1, destinations: 10, fanout: true}, {name: "depth", conns: 1, destinations: 1, depth: 3, before: 2}}
	for _, name := range []string{"W1", "W2", "W3", "W4", "W5", "W7"} {
		tests = append(tests, workloadNamed(t, name))
	}
	for _, w := range tests {
		t.Run(w.name, func(t *testing.T) {
			r, err := run(peers[i], w, newModels(w), 10000)
			if err != nil {
				t.Fatal(err)
			}
			if r.faults != (faults{}) || r.cpu <= 0 || r.rate <= 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}
