package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

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

// checker is for a new connection to a destination.
func (s *sink) checker(destination int) *checker {
	return &checker{sink: s, destination: destination, out: s.outs[destination]}
}

func (s *sink) read(conn io.Reader, destination int) {
	check := s.checker(destination)
	buf := make([]byte, 256<<10)
	end := 0
	for {
		if s.workload.slow {
			time.Sleep(50 * time.Millisecond)
		}
		n, err := conn.Read(buf[end:])
		end += n
		end = copy(buf, buf[check.take(buf[:end]):end])
		if err != nil {
			return
		}
		if end == len(buf) { // that is no message, and where the next one begins nobody knows
			_, _ = io.Copy(io.Discard, conn) // it is lost
			return
		}
	}
}

// came notes that something came, and how many messages of it were still to come.
func (s *sink) came(messages int, now time.Duration) {
	s.first.CompareAndSwap(0, int64(now))
	s.last.Store(int64(now))
	if messages > 0 && s.missing.Add(int64(-messages)) == 0 {
		close(s.done)
	}
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
