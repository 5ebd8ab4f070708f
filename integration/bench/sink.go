package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Faults are what went wrong with messages on their way.
type faults struct{ lost, doubled, reordered, misrouted, altered int }

// A sink is all destinations of a run. It holds each message that arrives against its model.
type sink struct {
	workload  workload
	models    []model
	tls       *tls.Config
	ports     []int // of the destinations
	start     time.Time
	listeners []net.Listener
	outs      []*output
	missing   atomic.Int64 // messages that are still to come
	done      chan struct{}
	first     atomic.Int64 // when something came first, in nanoseconds since start
	last      atomic.Int64 // when something came last
}

// An output is what came to one destination.
type output struct {
	mu        sync.Mutex // guards what follows
	conns     []arrivals
	faults    faults
	latencies []int32 // microseconds, if the workload has a rate
}

// Arrivals are the messages of one sending connection at one destination.
type arrivals struct {
	seen []uint64 // a bit for each number
	last int
}

// newSink awaits what the connections of w will send, each of them count messages.
func newSink(w workload, all []model, config *tls.Config, count int) (*sink, error) {
	ports, err := freePorts(w.destinations)
	if err != nil {
		return nil, err
	}
	s := &sink{workload: w, models: all, tls: config, ports: ports, done: make(chan struct{})}
	for range ports {
		out := &output{conns: make([]arrivals, w.conns)}
		for i := range out.conns {
			out.conns[i] = arrivals{seen: make([]uint64, count/64+1), last: -1}
		}
		s.outs = append(s.outs, out)
	}
	for conn := range w.conns {
		for i := range count {
			s.missing.Add(int64(w.copies(all[modelAt(conn, i)])))
		}
	}
	return s, nil
}

// listen accepts connections from now on.
func (s *sink) listen() error {
	for i, port := range s.ports {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		if s.workload.tls {
			l = tls.NewListener(l, s.tls)
		}
		s.listeners = append(s.listeners, l)
		go s.accept(l, i)
	}
	return nil
}

func (s *sink) close() {
	for _, l := range s.listeners {
		_ = l.Close() // accept sees it
	}
}

func (s *sink) accept(l net.Listener, destination int) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed at the end of the run
		}
		go func() {
			defer conn.Close()
			s.read(conn, destination)
		}()
	}
}

func (s *sink) read(conn io.Reader, destination int) {
	buf := make([]byte, 256<<10)
	end := 0
	for {
		if s.workload.slow {
			time.Sleep(50 * time.Millisecond)
		}
		n, err := conn.Read(buf[end:])
		end += n
		end = copy(buf, buf[s.take(destination, buf[:end]):end])
		if err != nil {
			return
		}
	}
}

// take counts the whole messages in b and returns how many bytes they had.
func (s *sink) take(destination int, b []byte) (used int) {
	out := s.outs[destination]
	out.mu.Lock()
	defer out.mu.Unlock()
	now := time.Since(s.start)
	came := 0
	for {
		text, n := cut(b[used:], s.workload.counted)
		if n == 0 {
			break
		}
		used += n
		came += s.count(out, destination, text, now)
	}
	s.first.CompareAndSwap(0, int64(now))
	s.last.Store(int64(now))
	if came > 0 && s.missing.Add(int64(-came)) == 0 {
		close(s.done)
	}
	return used
}

// cut returns the first message in b and how many bytes it has with its framing, 0 if it is not whole.
func cut(b []byte, counted bool) (text []byte, n int) {
	if !counted {
		i := bytes.IndexByte(b, '\n')
		return b[:max(i, 0)], i + 1
	}
	i := bytes.IndexByte(b, ' ')
	if i < 0 {
		return nil, 0
	}
	size, err := strconv.Atoi(string(b[:i]))
	if n = i + 1 + size; err != nil || n > len(b) {
		return nil, 0
	}
	return bytes.TrimSuffix(b[i+1:n], []byte("\n")), n
}

// count holds one message against what was sent, and returns 1 if it was still to come.
func (s *sink) count(out *output, destination int, text []byte, now time.Duration) int {
	m, ok := markOf(text)
	if !ok || m.conn >= len(out.conns) || m.number >= 64*len(out.conns[m.conn].seen) {
		out.faults.altered++
		return 0
	}
	want := &s.models[m.model]
	if !bytes.Equal(text[:len(text)-len(blank)], want.text[:len(want.text)-len(blank)]) {
		out.faults.altered++
	}
	if !s.workload.belongs(want, destination) {
		out.faults.misrouted++
		return 0
	}
	from := &out.conns[m.conn]
	if word, bit := &from.seen[m.number/64], uint64(1)<<(m.number%64); *word&bit != 0 {
		out.faults.doubled++
		return 0
	} else {
		*word |= bit
	}
	if m.number < from.last {
		out.faults.reordered++
	}
	from.last = m.number
	if s.workload.rate > 0 && !s.workload.udp {
		out.latencies = append(out.latencies, int32(int(now/time.Microsecond)-m.due))
	}
	return 1
}

// wait returns when all has come, or nothing more for patience, and how long after the start the last message came.
func (s *sink) wait(patience time.Duration) time.Duration {
	began := time.Since(s.start)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return time.Duration(s.last.Load())
		case <-tick.C:
			if last := time.Duration(s.last.Load()); time.Since(s.start)-max(began, last) > patience {
				return last
			}
		}
	}
}

// result sums up what came, with the latencies in order.
func (s *sink) result() (total faults, latencies []int32) {
	for _, out := range s.outs {
		out.mu.Lock()
		total.doubled += out.faults.doubled
		total.reordered += out.faults.reordered
		total.misrouted += out.faults.misrouted
		total.altered += out.faults.altered
		latencies = append(latencies, out.latencies...)
		out.mu.Unlock()
	}
	total.lost = int(s.missing.Load())
	slices.Sort(latencies)
	return total, latencies
}
