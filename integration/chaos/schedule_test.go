package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A step is something that happens to a node.
type step struct {
	at   time.Duration
	node string
	what string // kill, start, stop, hang, continue, cut, heal, reload, change
}

// harms are what can happen to each node, and what ends it. A front relay takes messages over TCP alone: its clients do not know
// what it has on its disk, so it is not killed.
var harms = map[string][]string{
	"front": {"restart", "hang", "cut", "reload", "change"},
	"a":     {"kill", "kill", "restart", "hang", "cut", "reload", "change"},
	"b":     {"kill", "kill", "restart", "hang", "cut", "reload", "change"},
	"s1":    {"kill", "restart", "hang", "reload", "change"},
	"s2":    {"kill", "restart", "hang", "reload", "change"},
}

var mends = map[string]string{"kill": "start", "restart": "start", "hang": "continue", "cut": "heal"}

// longest is how long a harm lasts at most.
const longest = 5 * time.Second

// plan makes the steps of a run from a seed: a harm about each 700 ms, to nodes that are well, each mended after a while. The
// last ones are mended well before the end.
func plan(seed uint64, duration time.Duration) (steps []step) {
	random := rand.New(rand.NewPCG(seed, 0))
	nodes := []string{"front", "a", "b", "s1", "s2"}
	well := map[string]time.Duration{} // from when
	at := time.Second
	for ; at < duration-longest; at += 200*time.Millisecond + time.Duration(random.Int64N(int64(time.Second))) {
		node := nodes[random.IntN(len(nodes))]
		if well[node] > at {
			continue
		}
		what := harms[node][random.IntN(len(harms[node]))]
		steps = append(steps, step{at, node, what})
		if mend := mends[what]; mend != "" {
			length := 100*time.Millisecond + time.Duration(random.Int64N(int64(longest)))/time.Duration(1+random.IntN(5))
			steps = append(steps, step{at + length, node, mend})
			well[node] = at + length + 100*time.Millisecond
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return steps
}

func describe(steps []step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%8.2fs %-8s %s\n", s.at.Seconds(), s.what, s.node)
	}
	return b.String()
}

// disturbed counts the steps after which messages may come twice.
func disturbed(steps []step) (n int) {
	for _, s := range steps {
		if s.what == "kill" || s.what == "restart" || s.what == "hang" || s.what == "cut" || s.what == "change" {
			n++
		}
	}
	return n
}
