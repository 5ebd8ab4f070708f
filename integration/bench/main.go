// Command bench measures the forwarder against its peers: Debian's syslog-ng and rsyslog, and a relay that only copies lines. It starts
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
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == "relay" {
		fail(relay(os.Args[2], os.Args[3], os.Args[4]))
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
		fmt.Printf("\n%s: %s\n\n", workloads[i].name, workloads[i].what)
		tableOf(workloads[i], peers, results).write(os.Stdout)
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
