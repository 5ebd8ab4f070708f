package main

import (
	"fmt"
	"math"
	"slices"
)

// A curve is what a message costs the forwarder as one thing grows.
type curve struct {
	what     string
	points   []int
	workload func(n int) workload
	messages func(n int) int
}

var curves = []curve{
	{"connections", []int{1, 10, 100, 1000, 10000}, func(n int) workload { return workload{conns: n, destinations: 1} },
		func(int) int { return 1_000_000 }},
	{"filters", []int{1, 10, 100, 1000}, func(n int) workload { return workload{conns: 1, destinations: 1, before: n} },
		func(n int) int { return max(1_000_000/(1+n/20), 50_000) }},
	{"destinations", []int{1, 3, 10, 30, 100}, func(n int) workload { return workload{conns: 1, destinations: n, fanout: true} },
		func(n int) int { return 4_000_000 / n }},
	{"bytes", []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10}, func(n int) workload { return workload{conns: 1, destinations: 1, size: n} },
		func(n int) int { return min(1_000_000, 1<<29/n) }},
	{"embedded statements", []int{1, 2, 5, 10}, func(n int) workload { return workload{conns: 1, destinations: 1, depth: n} },
		func(int) int { return 1_000_000 }},
}

// curves measures all points of a round before the next round, so that a busy minute of the machine does not bend a curve.
func (b *bench) curves() error {
	p, err := b.forwarder()
	if err != nil {
		return err
	}
	p.rounds = 1
	b.report.environment([]peer{p}, b.rounds)
	curves := slices.DeleteFunc(slices.Clone(curves), func(c curve) bool { return !b.chosen(c.what) })
	results := make([][][]result, len(curves))
	for round := range b.rounds {
		for i, c := range curves {
			if round == 0 {
				results[i] = make([][]result, len(c.points))
			}
			for j, n := range c.points {
				w := c.workload(n)
				r, err := run(p, w, newModels(w), c.messages(n))
				if err != nil {
					return fmt.Errorf("%d %s: %w", n, c.what, err)
				}
				b.log(fmt.Sprint(n, " ", c.what), p, r)
				results[i][j] = append(results[i][j], r)
			}
		}
	}
	var panels []panel
	for i, c := range curves {
		panels = append(panels, c.panel(results[i]))
	}
	if err := b.report.chart("performance-curves.svg", "CPU µs of a message as connections, filters, destinations, bytes and embedded statements grow", curveChart(panels)); err != nil {
		return err
	}
	for i, c := range curves {
		heading(b.report, "By %s", c.what)
		c.table(results[i]).write(b.report)
		for j, all := range results[i] {
			b.check(p, c.workload(c.points[j]), all)
		}
	}
	return b.report.save("curves")
}

func (c curve) panel(results [][]result) panel {
	p := panel{title: "CPU µs/msg by " + c.what}
	for i, n := range c.points {
		p.x, p.y = append(p.x, float64(n)), append(p.y, median(results[i], cpu.of))
	}
	return p
}

// table tells with each point how the cost grew from the point before: as n^growth.
func (c curve) table(results [][]result) table {
	t := table{{c.what, cpu.title, "growth", rate.title, rss.title, "faults"}}
	last := 0.0
	for i, n := range c.points {
		all := results[i]
		cost, growth := median(all, cpu.of), ""
		if i > 0 {
			growth = "n^" + digitsAfter(2)(math.Log(cost/last)/math.Log(float64(n)/float64(c.points[i-1])))
		}
		last = cost
		t = append(t, []string{fmt.Sprint(n), cpu.format(cost), growth, rate.format(median(all, rate.of)), rss.format(median(all, rss.of)), sum(all).String()})
	}
	return t
}
