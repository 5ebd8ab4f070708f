package main

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestReplaceSection(t *testing.T) {
	for _, test := range []struct{ name, page, want, err string }{
		{"new", "a\n<!-- x -->\n<!-- end of x -->\nb\n", "a\n<!-- x -->\nnew\n<!-- end of x -->\nb\n", ""},
		{"old", "<!-- x -->\nold\n\nold\n<!-- end of x -->\n", "<!-- x -->\nnew\n<!-- end of x -->\n", ""},
		{"another's", "<!-- y -->\n<!-- end of y -->\n", "", "no lines <!-- x --> and <!-- end of x -->"},
		{"open", "<!-- x -->\nold\n", "", "no lines <!-- x --> and <!-- end of x -->"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := replaceSection([]byte(test.page), "x", []byte("\nnew\n\n"))
			if string(got) != test.want || test.err != "" && (err == nil || err.Error() != test.err) {
				t.Errorf("got %q, %v, want %q, %s", got, err, test.want, test.err)
			}
		})
	}
}

// Charts are XML, and all their coordinates numbers.
func TestCharts(t *testing.T) {
	bars := barChart([]group{{"W1: one", []bar{{"forwarder", 0.4, blue}, {"syslog-ng", 43, blue}}}, {"W2", nil}}, "µs", 0.1, 100)
	lines := curveChart([]panel{{"flat", []float64{1, 10}, []float64{1, 1}}, {"steep", []float64{1, 100, 1000}, []float64{1, 200, 5000}}})
	for _, svg := range [][]byte{bars, lines} {
		if strings.Contains(string(svg), "NaN") || strings.Contains(string(svg), "Inf") {
			t.Errorf("no number in %s", svg)
		}
		d := xml.NewDecoder(strings.NewReader(string(svg)))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
	}
}

// Each target is of a workload and of a peer that there are, and asks for one thing.
func TestTargets(t *testing.T) {
	for _, target := range targets {
		workloadNamed(t, target.workload)
		if target.peer != "" && colours[target.peer] == "" || (target.atLeast > 0) == (target.atMost > 0) {
			t.Errorf("%+v", target)
		}
	}
	peers := []peer{{name: "syslog-ng"}, {name: "forwarder"}}
	got := targetsOf(peers, map[string][][]result{"W1": {{{cpu: 4}, {cpu: 5}, {cpu: 6}}, {{cpu: 0.5}, {cpu: 0.5}, {cpu: 0.5}}}})
	want := table{{"", "figure", "target", "measured", "reached"}, {"W1", "CPU µs/msg, syslog-ng's : forwarder's", "at least 9.00", "10.00", "yes"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Lines of a curve's workloads have the size they are to have.
func TestSizes(t *testing.T) {
	for _, size := range []int{64, 1024, 64 << 10} {
		for _, m := range newModels(workload{conns: 1, destinations: 1, size: size})[:50] {
			if len(m.frame) != size {
				t.Fatalf("%d bytes, want %d: %.200q", len(m.frame), size, m.frame)
			}
		}
	}
}
