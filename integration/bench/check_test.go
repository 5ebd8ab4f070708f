package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// A plain checker finds the same as checkers, in the plainest way: it reads each message with a regular expression.
type plain struct {
	sink      *sink
	faults    faults
	seen      map[[3]int]bool // destination, connection, number
	last      map[[2]int]int  // number, by destination and connection
	latencies []int32         // if it is now when all was sent
}

var ending = regexp.MustCompile(`^(?s:(.*)) c(\d{5}) n(\d{8}) k(\d{4}) t(\d{10})$`)

func (p *plain) check(destination int, text []byte) {
	parts := ending.FindSubmatch(text)
	if parts == nil {
		p.faults.altered++
		return
	}
	var n [4]int
	for i := range n {
		n[i], _ = strconv.Atoi(string(parts[i+2])) // digits
	}
	conn, number, model, due := n[0], n[1], n[2], n[3]
	if conn >= p.sink.workload.conns || number >= 64*len(p.sink.outs[0].conns[0].seen) || model >= models {
		p.faults.altered++
		return
	}
	want := p.sink.models[model]
	if !bytes.Equal(parts[1], want.text[:len(want.text)-len(blank)]) {
		p.faults.altered++
	}
	if !p.sink.workload.belongs(&want, destination) {
		p.faults.misrouted++
		return
	}
	if p.seen[[3]int{destination, conn, number}] {
		p.faults.doubled++
		return
	}
	p.seen[[3]int{destination, conn, number}] = true
	p.faults.lost--
	if last, any := p.last[[2]int{destination, conn}]; any && number < last {
		p.faults.reordered++
	}
	p.last[[2]int{destination, conn}] = number
	p.latencies = append(p.latencies, int32(-due))
}

var lines, counts = regexp.MustCompile(`^([^\n]*)\n`), regexp.MustCompile(`^(\d{1,9}) `)

// frames are the texts of a stream up to where it has no frame.
func frames(b []byte, counted bool) (texts [][]byte) {
	for {
		if !counted {
			line := lines.FindSubmatch(b)
			if line == nil {
				return texts
			}
			texts, b = append(texts, line[1]), b[len(line[0]):]
			continue
		}
		count := counts.FindSubmatch(b)
		if count == nil {
			return texts
		}
		b = b[len(count[0]):]
		n, _ := strconv.Atoi(string(count[1])) // digits
		if n > len(b) {
			return texts
		}
		texts, b = append(texts, bytes.TrimSuffix(b[:n], []byte("\n"))), b[n:]
	}
}

// A flow is the frames that one connection to a destination carries.
type flow [][]byte

// flowsOf are what the destinations get if nothing is wrong: runs of each connection's messages by turns.
func flowsOf(w workload, all []model, count int, random *rand.Rand) []flow {
	flows := make([]flow, w.destinations)
	streams := make([]*stream, w.conns)
	for conn := range streams {
		streams[conn] = newStream(all, conn, 0)
	}
	for left := slices.Repeat([]int{count}, w.conns); slices.Max(left) > 0; {
		conn := random.IntN(w.conns)
		streams[conn].trailer.due(random.IntN(1e9))
		for range min(left[conn], 1+random.IntN(50)) {
			left[conn]--
			m := streams[conn].model()
			frame := streams[conn].append(nil)
			if w.counted && conn%2 == 1 { // as some send it, with a newline in the count
				frame = fmt.Appendf(nil, "%d %s\n", m.end-bytes.IndexByte(frame, ' '), frame[bytes.IndexByte(frame, ' ')+1:])
			}
			for d := range flows {
				if w.belongs(m, d) {
					flows[d] = append(flows[d], frame)
				}
			}
		}
	}
	return flows
}

// damages are what may happen to a flow's message i, which is neither the first nor the last.
var damages = []struct {
	name string
	do   func(f flow, i int, random *rand.Rand) flow
	want faults // of lines to one destination
}{
	{"nothing", func(f flow, _ int, _ *rand.Rand) flow { return f }, faults{}},
	{"lost", func(f flow, i int, _ *rand.Rand) flow { return slices.Delete(f, i, i+1) }, faults{lost: 1}},
	{"doubled at once", func(f flow, i int, _ *rand.Rand) flow { return slices.Insert(f, i, f[i]) }, faults{doubled: 1}},
	{"doubled later", func(f flow, i int, _ *rand.Rand) flow { return append(f, f[i]) }, faults{doubled: 1}},
	{"swapped", func(f flow, i int, _ *rand.Rand) flow { f[i], f[i+1] = f[i+1], f[i]; return f }, faults{reordered: 1}},
	{"late", func(f flow, i int, _ *rand.Rand) flow { m := f[i]; return append(slices.Delete(f, i, i+1), m) }, faults{reordered: 1}},
	{"altered in text", func(f flow, i int, random *rand.Rand) flow {
		f[i] = alter(f[i], 10+random.IntN(len(f[i])-len(blank)-11))
		return f
	}, faults{altered: 1}},
	{"altered in trailer's letters", func(f flow, i int, random *rand.Rand) flow {
		at := []int{0, 1, 7, 8, 17, 18, 23, 24}[random.IntN(8)]
		f[i] = alter(f[i], len(bytes.TrimSuffix(f[i], []byte("\n")))-len(blank)+at)
		return f
	}, faults{altered: 1, lost: 1}},
	{"altered in when it was due", func(f flow, i int, random *rand.Rand) flow {
		f[i] = alter(f[i], len(bytes.TrimSuffix(f[i], []byte("\n")))-1-random.IntN(10))
		return f
	}, faults{altered: 1, lost: 1}},
	{"another's text", func(f flow, i int, _ *rand.Rand) flow {
		a, b := bytes.TrimSuffix(f[i], []byte("\n")), bytes.TrimSuffix(f[i-1], []byte("\n"))
		f[i] = slices.Concat(b[:len(b)-len(blank)], a[len(a)-len(blank):], f[i][len(a):])
		return f
	}, faults{altered: 1}},
	{"cut at its begin", func(f flow, i int, _ *rand.Rand) flow { f[i] = f[i][5:]; return f }, faults{altered: 1}},
	{"cut in text", func(f flow, i int, _ *rand.Rand) flow {
		f[i] = slices.Delete(slices.Clone(f[i]), 40, 41)
		return f
	}, faults{altered: 1}},
	{"cut at its end", func(f flow, i int, _ *rand.Rand) flow {
		f[i] = slices.Delete(slices.Clone(f[i]), len(f[i])-3, len(f[i])-1)
		return f
	}, faults{altered: 1, lost: 1}},
	{"joined to the next", func(f flow, i int, _ *rand.Rand) flow { f[i] = f[i][:len(f[i])-1]; return f }, faults{altered: 1, lost: 1}},
	{"in two", func(f flow, i int, _ *rand.Rand) flow {
		return slices.Replace(f, i, i+1, slices.Concat(f[i][:60], []byte("\n"), f[i][60:]))
	}, faults{altered: 2}},
	{"an empty one before", func(f flow, i int, _ *rand.Rand) flow { return slices.Insert(f, i, []byte("\n")) }, faults{altered: 1}},
	{"what nobody sent", func(f flow, i int, _ *rand.Rand) flow { return slices.Insert(f, i, []byte("<13>hello\n")) }, faults{altered: 1}},
	{"of no connection", func(f flow, i int, _ *rand.Rand) flow { f[i] = remark(f[i], 2, "99999"); return f }, faults{altered: 1, lost: 1}},
	{"of no number", func(f flow, i int, _ *rand.Rand) flow { f[i] = remark(f[i], 9, "99999999"); return f }, faults{altered: 1, lost: 1}},
	{"of no model", func(f flow, i int, _ *rand.Rand) flow { f[i] = remark(f[i], 19, "9999"); return f }, faults{altered: 1, lost: 1}},
}

// alter makes a byte another one.
func alter(frame []byte, at int) []byte {
	frame = bytes.Clone(frame)
	frame[at] ^= 0x40
	return frame
}

// remark writes into the trailer.
func remark(frame []byte, at int, text string) []byte {
	frame = bytes.Clone(frame)
	copy(frame[len(bytes.TrimSuffix(frame, []byte("\n")))-len(blank)+at:], text)
	return frame
}

// checked gives what checkers find in flows that come in parts, and what is found plainly. Time must stand still.
func checked(t *testing.T, w workload, all []model, count int, flows []flow, random *rand.Rand) (got, want faults) {
	t.Helper()
	w.rate = 1 // so that latency is asked for
	s, err := newSink(w, all, nil, count)
	if err != nil {
		t.Fatal(err)
	}
	s.start = time.Now()
	p := &plain{s, faults{lost: int(s.missing.Load())}, map[[3]int]bool{}, map[[2]int]int{}, nil}
	for d, f := range flows {
		b := slices.Concat(f...)
		for _, text := range frames(b, w.counted) {
			p.check(d, text)
		}
		c := s.checker(d)
		for used, end := 0, 0; end < len(b); {
			end = min(len(b), end+1+random.IntN(5000))
			used += c.take(b[used:end])
		}
	}
	got, latencies := s.result()
	if slices.Sort(p.latencies); !slices.Equal(latencies, p.latencies) {
		t.Errorf("latencies are %v, want %v", latencies, p.latencies)
	}
	return got, p.faults
}

// The checker finds each damage, and no other.
func TestDamages(t *testing.T) {
	const count = 200
	w := workload{conns: 1, destinations: 1}
	all := newModels(w)
	for _, damage := range damages {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			flows := flowsOf(w, all, count, random)
			flows[0] = damage.do(flows[0], count/2, random)
			got, plain := checked(t, w, all, count, flows, random)
			if got != damage.want || plain != damage.want {
				t.Errorf("%s: got %+v, plainly %+v, want %+v", damage.name, got, plain, damage.want)
			}
		})
	}
}

// Whatever was damaged, in lines or in frames with their lengths: the checker finds what can be found plainly.
func TestManyDamages(t *testing.T) {
	const count = 200
	for _, w := range []workload{
		{name: "lines", conns: 1, destinations: 1},
		{name: "connections", conns: 3, destinations: 1},
		{name: "routed", conns: 3, destinations: 4},
		{name: "fanout", conns: 2, destinations: 2, fanout: true},
		{name: "counted", conns: 3, destinations: 1, counted: true},
	} {
		all := newModels(w)
		for seed := range uint64(30) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 0))
				flows := flowsOf(w, all, count*(1+random.IntN(5)/4), random) // some send twice as many
				for range random.IntN(8) {
					d := random.IntN(len(flows))
					f, i := flows[d], 1+random.IntN(len(flows[d])-2)
					if w.destinations > 1 && random.IntN(4) == 0 { // it goes elsewhere
						to := random.IntN(w.destinations)
						at := random.IntN(len(flows[to]))
						flows[to] = slices.Insert(flows[to], at, f[i])
					} else if min(len(f[i]), len(f[i-1])) > 80 { // not broken yet
						flows[d] = damages[random.IntN(len(damages))].do(f, i, random)
					}
				}
				if got, want := checked(t, w, all, count, flows, random); got != want {
					t.Errorf("%s, seed %d: got %+v, want %+v", w.name, seed, got, want)
				}
			})
		}
	}
}

// What follows on its connection is expected, so that it is not read the long way.
func TestExpected(t *testing.T) {
	for _, w := range workloads {
		all := newModels(w)
		s, err := newSink(w, all, nil, 1000)
		if err != nil {
			t.Fatal(err)
		}
		s.start = time.Now()
		for d := range w.destinations {
			c := s.checker(d)
			next, came := newStream(all, w.conns-1, 0), 0
			for ; next.number < 1000; next.forward(1) {
				if !w.belongs(next.model(), d) {
					continue
				}
				at := *next
				frame := at.append(nil)
				if want := len(frame); came > 0 && c.expected(frame) != want {
					t.Fatalf("%s: number %d is not expected: %q", w.name, next.number, frame)
				}
				c.take(frame)
				came++
			}
			if got := c.out.faults; got != (faults{}) || came == 0 {
				t.Errorf("%s: of %d: %+v", w.name, came, got)
			}
		}
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		in, text string
		n        int
	}{
		{"3 abc4 defg", "abc", 5}, {"4 abc\n4 defg", "abc", 6}, {"0 1 x", "", 2}, {"3 ab", "", 0}, {"3", "", 0}, {"", "", 0},
		{" abc", "", 0}, {"-1 abc", "", 0}, {"x abc", "", 0}, {"18446744073709551615 abc", "", 0}, {"9223372036854775807 abc", "", 0},
	} {
		if text, n := cut([]byte(test.in), true); string(text) != test.text || n != test.n {
			t.Errorf("%q: got %q, %d, want %q, %d", test.in, text, n, test.text, test.n)
		}
	}
}

// What has no frames is lost, and ends.
func TestNoFrames(t *testing.T) {
	for _, w := range []workload{{conns: 1, destinations: 1}, {conns: 1, destinations: 1, counted: true}} {
		s, err := newSink(w, newModels(w), nil, 100)
		if err != nil {
			t.Fatal(err)
		}
		s.start = time.Now()
		s.read(bytes.NewReader(bytes.Repeat([]byte("x"), 1<<20)), 0)
		if got, _ := s.result(); got != (faults{lost: 100}) {
			t.Errorf("counted %v: %+v", w.counted, got)
		}
	}
}
