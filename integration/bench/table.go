package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// print writes the medians of a workload, and how the peers compare to the first forwarder.
func print(out io.Writer, w workload, peers []peer, results [][]result) {
	fmt.Fprintf(out, "\n%s: %s\n", w.name, w.what)
	base := slices.IndexFunc(peers, func(p peer) bool { return p.name == "forwarder" })
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\tCPU µs/msg\tmsg/s\tpeak RSS MiB\t")
	if w.rate > 0 {
		fmt.Fprint(t, "p50 ms\tp99 ms\t")
	}
	fmt.Fprint(t, "lost\tdoubled\treordered\tmisrouted\taltered\tothers' CPU\tCPU : forwarder\tmsg/s : forwarder\t\n")
	for i, p := range peers {
		all := results[i]
		if len(all) == 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t%.3f\t%.0fk\t%.1f\t", p.name, median(all, cpu), median(all, rate)/1000, median(all, func(r result) float64 { return r.rss }))
		if w.rate > 0 {
			fmt.Fprintf(t, "%.2f\t%.2f\t", median(all, func(r result) float64 { return r.p50 }), median(all, func(r result) float64 { return r.p99 }))
		}
		f := sum(all)
		fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%d\t%.0f %%\t", f.lost, f.doubled, f.reordered, f.misrouted, f.altered,
			100*median(all, func(r result) float64 { return r.others }))
		if base >= 0 {
			fmt.Fprintf(t, "%.2f\t%.2f\t", ratio(all, results[base], cpu), ratio(all, results[base], rate))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // out is a terminal or a file, and says itself what is wrong
}

func cpu(r result) float64  { return r.cpu }
func rate(r result) float64 { return r.rate }

func median(all []result, of func(result) float64) float64 {
	values := make([]float64, len(all))
	for i, r := range all {
		values[i] = of(r)
	}
	return middle(values)
}

// ratio is the median of the ratios of the rounds, in each of which both had their turn.
func ratio(a, b []result, of func(result) float64) float64 {
	values := make([]float64, min(len(a), len(b)))
	for i := range values {
		values[i] = of(a[i]) / of(b[i])
	}
	return middle(values)
}

func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

func sum(all []result) (total faults) {
	for _, r := range all {
		total.lost += r.faults.lost
		total.doubled += r.faults.doubled
		total.reordered += r.faults.reordered
		total.misrouted += r.faults.misrouted
		total.altered += r.faults.altered
	}
	return total
}
