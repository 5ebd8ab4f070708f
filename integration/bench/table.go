package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A column of a table of results.
type column struct {
	title  string
	of     func(result) float64
	format func(float64) string
}

// digitsAfter formats with n digits after the point.
func digitsAfter(n int) func(float64) string {
	return func(v float64) string { return strconv.FormatFloat(v, 'f', n, 64) }
}

// thousands formats a number of messages.
func thousands(v float64) string {
	return strconv.FormatFloat(v/1000, 'f', 0, 64) + "k"
}

var (
	cpu  = column{"CPU µs/msg", func(r result) float64 { return r.cpu }, digitsAfter(2)}
	rate = column{"msg/s", func(r result) float64 { return r.rate }, thousands}
	rss  = column{"peak RSS MiB", func(r result) float64 { return r.rss }, digitsAfter(0)}
	p50  = column{"p50 ms", func(r result) float64 { return r.p50 }, digitsAfter(2)}
	p99  = column{"p99 ms", func(r result) float64 { return r.p99 }, digitsAfter(2)}
	p999 = column{"p99.9 ms", func(r result) float64 { return r.p999 }, digitsAfter(1)}
	in   = column{"in msg/s", func(r result) float64 { return r.in }, thousands}
	out  = column{"out msg/s", func(r result) float64 { return r.out }, thousands}
	disk = column{"written : received", func(r result) float64 { return r.disk }, digitsAfter(2)}
)

// columnsOf are those that say something about w.
func columnsOf(w workload) []column {
	columns := []column{cpu, rate, rss}
	switch {
	case w.rate > 0:
		columns = append(columns, p50, p99, p999)
	case w.disk:
		columns = append(columns, in, out, disk)
	}
	return columns
}

// tableOf has the medians of a workload, and how the peers compare to the first forwarder.
func tableOf(w workload, peers []peer, results [][]result) table {
	columns := columnsOf(w)
	t := table{{""}}
	for _, c := range columns {
		t[0] = append(t[0], c.title)
	}
	t[0] = append(t[0], "others' CPU", "faults", "CPU : forwarder", "msg/s : forwarder")
	base := slices.IndexFunc(peers, func(p peer) bool { return p.name == "forwarder" })
	for i, p := range peers {
		all := results[i]
		if len(all) == 0 {
			continue
		}
		row := []string{p.name}
		for _, c := range columns {
			row = append(row, c.format(median(all, c.of)))
		}
		row = append(row, digitsAfter(2)(median(all, func(r result) float64 { return r.others })), sum(all).String())
		if base >= 0 {
			row = append(row, digitsAfter(2)(ratio(all, results[base], cpu.of)), digitsAfter(2)(ratio(all, results[base], rate.of)))
		}
		t = append(t, row)
	}
	return t
}

// String names the faults there were.
func (f faults) String() string {
	var found []string
	for _, kind := range []struct {
		name string
		n    int
	}{{"lost", f.lost}, {"doubled", f.doubled}, {"reordered", f.reordered}, {"misrouted", f.misrouted}, {"altered", f.altered}} {
		if kind.n > 0 {
			found = append(found, fmt.Sprint(kind.n, " ", kind.name))
		}
	}
	if found == nil {
		return "none"
	}
	return strings.Join(found, ", ")
}

// A table has a row of titles, then the others.
type table [][]string

// write writes t as Markdown, padded so that it is legible as it is.
func (t table) write(out io.Writer) {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for r, row := range t {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprint(out, "| ", cell, pad)
			} else {
				fmt.Fprint(out, " | ", pad, cell)
			}
		}
		fmt.Fprintln(out, " |")
		if r == 0 {
			for i, w := range widths {
				if i == 0 {
					fmt.Fprint(out, "| ", strings.Repeat("-", w))
				} else {
					fmt.Fprint(out, " | ", strings.Repeat("-", w-1), ":")
				}
			}
			fmt.Fprintln(out, " |")
		}
	}
}

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
