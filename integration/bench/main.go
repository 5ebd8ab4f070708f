// Command bench measures the forwarder against its peers: Debian's syslog-ng and rsyslog, and a relay that only copies. It starts
// each in turn, sends the messages of a workload through it on the loopback, and counts what was lost, doubled, reordered,
// sent elsewhere or altered. It prints the medians of some rounds, and the ratios to the forwarder, as Markdown.
//
//	bench peers  [-rounds 3] [-messages 1000000] [-workloads W1,W2] [-peers syslog-ng,forwarder] [-forwarder bin/forwarder] [-page FILE] [-v]
//	bench curves [-rounds 3] ...    what a message costs the forwarder as connections, filters, destinations, sizes grow
//	bench memory [-rounds 3] ...    the memory of the peers under what may fill it
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

// A bench is what the flags ask for.
type bench struct {
	rounds, messages int
	workloads        []string
	all              []peer
	verbose          bool
	report           *report
	wrong            bool // the forwarder did not deliver each message once, in order and where it belongs
}

func main() {
	if len(os.Args) == 5 && os.Args[1] == "relay" {
		fail(relay(os.Args[2], os.Args[3], os.Args[4]))
	}
	b := &bench{report: &report{}}
	verbs := map[string]func() error{"peers": b.peers, "curves": b.curves, "memory": b.memory}
	verb, args := "peers", os.Args[1:]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
	}
	if verbs[verb] == nil {
		fail(fmt.Errorf("bench: %q is neither peers nor curves nor memory", verb))
	}
	fail(b.parse(args))
	debug.SetGCPercent(400) // the generator and the sink are not what is measured
	fail(verbs[verb]())
	if b.wrong {
		fail(fmt.Errorf("bench: the forwarder did not deliver each message once, in order and where it belongs"))
	}
}

func (b *bench) parse(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.IntVar(&b.rounds, "rounds", 3, "how often each peer has its turn")
	flags.IntVar(&b.messages, "messages", 500_000, "messages of a run; fast peers send them four times")
	named := flags.String("workloads", "", "which workloads, or curves by what grows; none: all")
	only := flags.String("peers", "", "which peers; none: all")
	forwarder := flags.String("forwarder", "bin/forwarder", "the program; several, with commas between them, are compared with each other")
	flags.StringVar(&b.report.page, "page", "", "write the report and its chart into this `FILE` too")
	flags.BoolVar(&b.verbose, "v", false, "print each run")
	_ = flags.Parse(args) // it exits itself
	if *named != "" {
		b.workloads = strings.Split(*named, ",")
	}
	all, err := peersOf(strings.Split(*forwarder, ","))
	for _, name := range b.workloads {
		if !slices.ContainsFunc(workloads, func(w workload) bool { return w.name == name }) && !slices.ContainsFunc(curves, func(c curve) bool { return c.what == name }) {
			return fmt.Errorf("bench: %q is neither a workload nor a curve", name)
		}
	}
	b.all = slices.DeleteFunc(all, func(p peer) bool { return *only != "" && !slices.Contains(strings.Split(*only, ","), p.name) })
	return err
}

// forwarder is the first one of the peers.
func (b *bench) forwarder() (peer, error) {
	i := slices.IndexFunc(b.all, func(p peer) bool { return p.name == "forwarder" })
	if i < 0 {
		return peer{}, fmt.Errorf("bench: no forwarder among the peers")
	}
	return b.all[i], nil
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// peers takes the workloads through all peers.
func (b *bench) peers() error {
	b.report.environment(b.all, b.rounds)
	results := map[string][][]result{}
	var groups []group
	for _, w := range workloads {
		if !b.chosen(w.name) {
			continue
		}
		got, err := b.compare(w)
		if err != nil {
			return err
		}
		results[w.name] = got
		heading(b.report, "%s: %s", w.name, w.what)
		tableOf(w, b.all, got).write(b.report)
		groups = append(groups, groupOf(w, b.all, got))
	}
	heading(b.report, "Targets")
	targetsOf(b.all, results).write(b.report)
	if err := b.report.chart("performance-peers.svg", "CPU µs of a message in each workload, by program", barChart(groups, "µs", 0.1, 100)); err != nil {
		return err
	}
	return b.report.save("peers")
}

// chosen tells whether the flags ask for a workload or a curve.
func (b *bench) chosen(name string) bool {
	return b.workloads == nil || slices.Contains(b.workloads, name)
}

// compare gives each peer its turn, another one first in each round. The results are by peer.
func (b *bench) compare(w workload) ([][]result, error) {
	all := newModels(w)
	results := make([][]result, len(b.all))
	for round := range b.rounds {
		for i := range b.all {
			p := (i + round) % len(b.all)
			if !b.all[p].runs(w) {
				continue
			}
			r, err := run(b.all[p], w, all, b.messages)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", w.name, b.all[p].name, err)
			}
			b.log(w.name, b.all[p], r)
			results[p] = append(results[p], r)
		}
	}
	for i, p := range b.all {
		b.check(p, w, results[i])
	}
	return results, nil
}

func (b *bench) log(what string, p peer, r result) {
	if b.verbose {
		fmt.Fprintf(os.Stderr, "%s %-10s %+v\n", what, p.name, r)
	}
}

// check remembers whether a forwarder was wrong. What UDP loses it never had.
func (b *bench) check(p peer, w workload, all []result) {
	for _, r := range all {
		if w.udp {
			r.faults.lost = 0
		}
		b.wrong = b.wrong || strings.HasPrefix(p.name, "forwarder") && (r.faults != faults{})
	}
}

// groupOf are the bars of a workload.
func groupOf(w workload, peers []peer, results [][]result) group {
	g := group{title: w.name + ": " + w.what}
	for i, p := range peers {
		if len(results[i]) > 0 {
			g.bars = append(g.bars, bar{p.name, median(results[i], cpu.of), colours[p.name]})
		}
	}
	return g
}
