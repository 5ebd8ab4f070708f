// Command bench measures the forwarder against its peers: Debian's syslog-ng, and a relay that only copies lines. It starts
// each in turn, sends the messages of a workload through it on the loopback, and counts what was lost, doubled, reordered,
// sent elsewhere or altered. It prints the medians of some rounds, and the ratios to the forwarder.
//
//	bench [-rounds 3] [-messages 1000000] [-workloads W1,W2] [-peers syslog-ng,forwarder] [-forwarder bin/forwarder] [-v]
//
// What to compare is the CPU time of a message: all programs share the processors, the generator and the sink among them,
// so messages a second say as much about those.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "relay" {
		fail(relay(os.Args[2], os.Args[3]))
	}
	rounds := flag.Int("rounds", 3, "how often each peer has its turn")
	messages := flag.Int("messages", 1_000_000, "messages of a run; fast peers send them four times")
	named := flag.String("workloads", "W1,W2,W3,W4", "which workloads")
	only := flag.String("peers", "", "which peers; none: all")
	forwarder := flag.String("forwarder", "bin/forwarder", "the program; several, with commas between them, are compared with each other")
	verbose := flag.Bool("v", false, "print each run")
	flag.Parse()
	debug.SetGCPercent(400) // the generator and the sink are not what is measured
	peers, err := peersOf(strings.Split(*forwarder, ","))
	fail(err)
	peers = slices.DeleteFunc(peers, func(p peer) bool { return *only != "" && !slices.Contains(strings.Split(*only, ","), p.name) })
	wrong := false
	for name := range strings.SplitSeq(*named, ",") {
		i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })
		if i < 0 {
			fail(fmt.Errorf("bench: workload %q is not known", name))
		}
		results, err := compare(workloads[i], peers, *rounds, *messages, *verbose)
		fail(err)
		print(os.Stdout, workloads[i], peers, results)
		for p, all := range results {
			wrong = wrong || strings.HasPrefix(peers[p].name, "forwarder") && slices.ContainsFunc(all, func(r result) bool { return r.faults != faults{} })
		}
	}
	if wrong {
		fail(fmt.Errorf("bench: the forwarder did not deliver each message once, in order and where it belongs"))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// compare gives each peer its turn, another one first in each round. The results are by peer.
func compare(w workload, peers []peer, rounds, messages int, verbose bool) ([][]result, error) {
	all := newModels(w)
	results := make([][]result, len(peers))
	for round := range rounds {
		for i := range peers {
			p := (i + round) % len(peers)
			if !peers[p].runs(w) {
				continue
			}
			r, err := run(peers[p], w, all, messages)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", w.name, peers[p].name, err)
			}
			if verbose {
				fmt.Fprintf(os.Stderr, "%s %-10s %+v\n", w.name, peers[p].name, r)
			}
			results[p] = append(results[p], r)
		}
	}
	return results, nil
}

// A result is what one run gave.
type result struct {
	cpu    float64 // microseconds a message
	rate   float64 // messages a second
	rss    float64 // MiB at most
	p50    float64 // milliseconds from when a message was due until it came, if the workload has a rate
	p99    float64
	others float64 // processors that neither the peer nor we used
	faults faults
}

// patience is how long nothing may come before the rest counts as lost.
const patience = 5 * time.Second

// run takes messages through p once.
func run(p peer, w workload, all []model, messages int) (result, error) {
	if w.rate == 0 {
		messages *= p.rounds
	}
	count := w.messages(messages)
	s, err := newSink(w, all, count)
	if err != nil {
		return result{}, err
	}
	defer s.close()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	proc, err := p.start(dir, w, s.ports())
	if err != nil {
		return result{}, err
	}
	defer proc.stop()
	conns, err := dial(w, proc.port)
	if err != nil {
		proc.stop()
		return result{}, fmt.Errorf("%w\n%s", err, proc.log.Bytes())
	}
	time.Sleep(200 * time.Millisecond) // until it has connected, and has nothing left to do
	used, own, machine := cpuTime(proc.Process.Pid), cpuTime(os.Getpid())-cpuTime(proc.Process.Pid), machineTime()
	s.start = time.Now()
	if err := send(w, all, conns, count, s.start); err != nil {
		return result{}, err
	}
	took := s.wait(patience)
	used = cpuTime(proc.Process.Pid) - used
	own = cpuTime(os.Getpid()) - cpuTime(proc.Process.Pid) - own
	elapsed := time.Since(s.start)
	r := result{
		cpu:    float64(used.Microseconds()) / float64(count*w.conns),
		rate:   float64(count*w.conns) / took.Seconds(),
		rss:    float64(peakRSS(proc.Process.Pid)) / 1024,
		others: max(0, (machineTime()-machine-used-own).Seconds()/elapsed.Seconds()),
	}
	for _, conn := range conns {
		_ = conn.Close() // all was read
	}
	var latencies []int32
	r.faults, latencies = s.result()
	if n := len(latencies); n > 0 {
		r.p50, r.p99 = float64(latencies[n/2])/1000, float64(latencies[n*99/100])/1000
	}
	return r, nil
}
