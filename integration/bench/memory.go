package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// A burden is what may fill a program's memory.
type burden struct {
	what     string
	workload workload
	put      func(s *stage) error
}

// lasting is how long a burden that never ends is put.
const lasting = 3 * time.Second

var burdens = []burden{
	{"nothing: 8 connections that say nothing", workload{conns: 8, destinations: 1}, func(*stage) error { return nil }},
	{"1,000 silent connections and 10,000 messages a second", workload{conns: 8, destinations: 1, rate: 10000, lasts: lasting, idle: 1000}, finish},
	{"8 senders as fast as they can", workload{conns: 8, destinations: 1}, finish},
	{"the same, the destination dead", workload{conns: 8, destinations: 1, down: true}, flood8},
	{"the same, the destination reads 5 MB a second", workload{conns: 8, destinations: 1, slow: true}, flood8},
	{"the same, the destination dead, a reliable disk buffer", workload{conns: 8, destinations: 1, down: true, disk: true}, flood8},
	{"8 lines of 100 MB", workload{conns: 8, destinations: 1}, longLines},
}

// finish sends all messages and waits for them.
func finish(s *stage) error {
	_, err := s.through()
	return err
}

// flood8 sends on all connections until the time is over.
func flood8(s *stage) error {
	s.sink.start = time.Now()
	for _, conn := range s.conns {
		if err := conn.SetWriteDeadline(time.Now().Add(lasting)); err != nil {
			return err
		}
	}
	if err := send(s.workload, s.models, s.conns, s.count, s.sink.start); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// longLines sends a line without an end on each connection, then ends it. A peer may close the connection before that, or not
// get to the end.
func longLines(s *stage) error {
	s.sink.start = time.Now()
	part := bytes.Repeat([]byte("x"), 1<<20)
	var wg sync.WaitGroup
	for _, conn := range s.conns {
		if err := conn.SetWriteDeadline(time.Now().Add(5 * lasting)); err != nil {
			return err
		}
		wg.Go(func() {
			for range 100 {
				if _, err := conn.Write(part); err != nil {
					return
				}
			}
			_ = hangUp([]net.Conn{conn}) // until it has read all
		})
	}
	wg.Wait()
	return nil
}

// memory gives each peer each burden.
func (b *bench) memory() error {
	peers := slices.DeleteFunc(slices.Clone(b.all), func(p peer) bool { return p.name == "relay" })
	b.report.environment(peers, b.rounds)
	fmt.Fprintln(b.report)
	t := table{{"peak RSS, MiB"}}
	for _, p := range peers {
		t[0] = append(t[0], p.name)
	}
	for _, burden := range burdens {
		row := []string{burden.what}
		all := newModels(burden.workload)
		for _, p := range peers {
			var results []result
			for range b.rounds {
				r, err := burden.run(p, all, b.messages)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", burden.what, p.name, err)
				}
				b.log(burden.what, p, r)
				results = append(results, r)
			}
			row = append(row, rss.format(median(results, rss.of)))
		}
		t = append(t, row)
	}
	t.write(b.report)
	return b.report.save("memory")
}

func (b burden) run(p peer, all []model, messages int) (result, error) {
	s, err := newStage(p, b.workload, all, b.workload.messages(messages))
	if err != nil {
		return result{}, err
	}
	defer s.close()
	if err := b.put(s); err != nil {
		return result{}, err
	}
	return result{rss: float64(peakRSS(s.proc.Process.Pid)) / 1024}, nil
}
