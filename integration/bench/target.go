package main

import (
	"fmt"
	"slices"
)

// A target is what the forwarder is held to in a workload.
type target struct {
	workload string
	column   column
	peer     string // with whom it is compared; empty: a figure of its own
	atLeast  float64
	atMost   float64
}

// targets: a ratio of CPU that is to be at least so much is the peer's to the forwarder's, all others are the forwarder's to
// the peer's.
var targets = []target{
	{"W1", cpu, "syslog-ng", 9, 0}, {"W1", cpu, "rsyslog", 5, 0}, {"W1", cpu, "relay", 0, 2.2}, {"W1", rate, "rsyslog", 4, 0},
	{"W2", cpu, "syslog-ng", 10, 0}, {"W2", cpu, "rsyslog", 5, 0}, {"W2", cpu, "relay", 0, 2.2}, {"W2", rate, "rsyslog", 4, 0},
	{"W3", cpu, "syslog-ng", 7, 0}, {"W3", cpu, "rsyslog", 5.5, 0},
	{"W4", cpu, "syslog-ng", 15, 0}, {"W4", cpu, "rsyslog", 4.5, 0},
	{"W5", cpu, "syslog-ng", 8, 0}, {"W5", cpu, "rsyslog", 4, 0},
	{"W6", cpu, "relay", 0, 1.15}, {"W6", p50, "relay", 0, 1.1}, {"W6", p99, "relay", 0, 1.5},
	{"W7", cpu, "syslog-ng", 10, 0}, {"W7", cpu, "rsyslog", 12, 0}, {"W7", in, "", 1e6, 0}, {"W7", out, "", 1e6, 0}, {"W7", disk, "", 0, 1.05},
	{"W8", rss, "", 0, 16}, {"W8", cpu, "relay", 0, 1.15},
	{"W9", cpu, "relay", 0, 1.2},
}

// row tells what the target is, what was measured, and whether that reaches it.
func (t target) row(of func(peer string) []result) []string {
	own, other := of("forwarder"), of(t.peer)
	text, found := t.column.title, 0.0
	switch {
	case t.peer == "":
		found = median(own, t.column.of)
	case t.atLeast > 0 && t.column.title == cpu.title:
		text, found = fmt.Sprintf("%s, %s's : forwarder's", text, t.peer), ratio(other, own, t.column.of)
	default:
		text, found = fmt.Sprintf("%s, forwarder's : %s's", text, t.peer), ratio(own, other, t.column.of)
	}
	format := digitsAfter(2)
	if t.peer == "" {
		format = t.column.format
	}
	if t.atLeast > 0 {
		return []string{t.workload, text, "at least " + format(t.atLeast), format(found), reached(found >= t.atLeast)}
	}
	return []string{t.workload, text, "at most " + format(t.atMost), format(found), reached(found <= t.atMost)}
}

func reached(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// targetsOf has those whose workload and peer were measured.
func targetsOf(peers []peer, results map[string][][]result) table {
	t := table{{"", "figure", "target", "measured", "reached"}}
	for _, target := range targets {
		of := func(name string) []result {
			i := slices.IndexFunc(peers, func(p peer) bool { return p.name == name })
			if i < 0 || results[target.workload] == nil {
				return nil
			}
			return results[target.workload][i]
		}
		if of("forwarder") != nil && (target.peer == "" || of(target.peer) != nil) {
			t = append(t, target.row(of))
		}
	}
	return t
}
