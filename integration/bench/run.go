package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// A result is what one run gave.
type result struct {
	cpu    float64 // microseconds a message
	rate   float64 // messages a second
	rss    float64 // MiB at most
	own    float64 // microseconds a message of the generator and the sink
	others float64 // processors that neither the peer nor we used
	faults faults

	p50, p99, p999 float64 // milliseconds from when a message was due until it came, if the workload has a rate
	in, out, disk  float64 // messages a second into the disk buffer and out of it, and bytes written for each byte that came
}

// patience is how long nothing may come before the rest counts as lost: long, since the machine may have other work; but UDP
// does lose, and what it has not lost comes at once.
func (w workload) patience() time.Duration {
	if w.udp {
		return 3 * time.Second
	}
	return 30 * time.Second
}

// run takes messages through p once.
func run(p peer, w workload, all []model, messages int) (result, error) {
	if w.udp && w.rate == 0 {
		return rise(p, w, all)
	}
	if w.rate == 0 && !w.disk {
		messages *= p.rounds
	}
	s, err := newStage(p, w, all, w.messages(messages))
	if err != nil {
		return result{}, err
	}
	defer s.close()
	if w.disk {
		return s.detour()
	}
	return s.through()
}

// rates are what a workload over UDP tries, in messages a second.
var rates = []int{25_000, 50_000, 75_000, 100_000, 125_000, 150_000, 175_000, 200_000, 250_000, 300_000}

// rise gives the result of the highest rate at which at most 0.1 % of the messages were lost. It ends at the second rate with
// more, and where the generator does not reach a rate.
func rise(p peer, w workload, all []model) (best result, err error) {
	failed := 0
	for _, rate := range rates {
		w.rate = rate
		r, err := run(p, w, all, 0)
		if err != nil {
			return result{}, err
		}
		if r.faults.lost > w.messages(0)*w.conns/1000 {
			if failed++; failed == 2 {
				break
			}
			continue
		}
		best = r
		if r.rate < 0.95*float64(rate) {
			break
		}
	}
	return best, nil
}

// A stage is a peer between a generator and a sink.
type stage struct {
	workload workload
	models   []model
	count    int // messages of each connection
	dir      string
	sink     *sink
	proc     *process
	conns    []net.Conn
}

func newStage(p peer, w workload, all []model, count int) (s *stage, err error) {
	s = &stage{workload: w, models: all, count: count}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return nil, err
	}
	config, err := certify(s.dir)
	if err != nil {
		return nil, err
	}
	if s.sink, err = newSink(w, all, config, count); err != nil {
		return nil, err
	}
	if !w.disk && !w.down {
		if err := s.sink.listen(); err != nil {
			return nil, err
		}
	}
	if s.proc, err = p.start(s.dir, w, s.sink.ports); err != nil {
		return nil, err
	}
	if s.conns, err = dial(w, config, s.proc.port); err != nil {
		s.proc.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.proc.log.Bytes())
	}
	time.Sleep(200 * time.Millisecond) // until it has connected, and has nothing left to do
	return s, nil
}

// close ends the peer, and then the rest.
func (s *stage) close() {
	if s.proc != nil {
		s.proc.stop()
	}
	for _, conn := range s.conns {
		_ = conn.Close() // all was read
	}
	if s.sink != nil {
		s.sink.close()
	}
	_ = os.RemoveAll(s.dir) // below the directory for what is temporary
}

// through sends the messages and waits for them.
func (s *stage) through() (result, error) {
	m := s.meter()
	s.sink.start = m.start
	if err := send(s.workload, s.models, s.conns, s.count, m.start); err != nil {
		return result{}, err
	}
	took := s.sink.wait(s.workload.patience())
	r := s.result(m.stop())
	r.rate = float64(s.total()) / took.Seconds()
	return r, nil
}

// detour sends the messages while the destination is down, until the peer has them on its disk, and then waits for them.
func (s *stage) detour() (result, error) {
	before := written(s.proc.Process.Pid)
	m := s.meter()
	s.sink.start = m.start
	if err := send(s.workload, s.models, s.conns, s.count, m.start); err != nil {
		return result{}, err
	}
	if err := hangUp(s.conns); err != nil {
		return result{}, err
	}
	in := m.settle()
	onDisk := written(s.proc.Process.Pid) - before
	if err := s.sink.listen(); err != nil {
		return result{}, err
	}
	out := s.sink.wait(s.workload.patience()) - time.Duration(s.sink.first.Load())
	r := s.result(m.stop())
	r.in = float64(s.total()) / in.Seconds()
	if out > 0 { // else nothing came
		r.out = float64(s.total()) / out.Seconds()
		r.rate = float64(s.total()) / (in + out).Seconds()
	}
	r.disk = float64(onDisk) / float64(s.bytes())
	return r, nil
}

// hangUp tells the peer that nothing more comes, and waits until it has read all.
func hangUp(conns []net.Conn) error {
	for _, conn := range conns {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
	}
	for _, conn := range conns {
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			return fmt.Errorf("the peer does not close a connection that has ended: %w", err)
		}
	}
	return nil
}

func (s *stage) total() int { return s.count * s.workload.conns }

// bytes is the size of all messages with their framing.
func (s *stage) bytes() (n int) {
	for conn := range s.workload.conns {
		for i := range s.count {
			n += len(s.models[modelAt(conn, i)].frame)
		}
	}
	return n
}

func (s *stage) result(used, own time.Duration, others float64) result {
	r := result{
		cpu:    float64(used.Microseconds()) / float64(s.total()),
		own:    float64(own.Microseconds()) / float64(s.total()),
		rss:    float64(peakRSS(s.proc.Process.Pid)) / 1024,
		others: others,
	}
	var latencies []int32
	r.faults, latencies = s.sink.result()
	if n := len(latencies); n > 0 {
		at := func(perMille int) float64 { return float64(latencies[n*perMille/1000]) / 1000 }
		r.p50, r.p99, r.p999 = at(500), at(990), at(999)
	}
	return r
}
