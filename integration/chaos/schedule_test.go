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
	what string // of harms
}

// A harm is what happens to a node, step by step, until it is well.
var harms = map[string][]string{
	"kill":          {"kill", "start"},
	"hang":          {"hang", "continue"},
	"hang and kill": {"hang", "kill", "start"}, // what the kernel has taken meanwhile is never read
	"restart":       {"stop", "start"},
	"cut":           {"cut", "heal"},
	"cut and kill":  {"cut", "kill", "start", "heal"},
	"reload":        {"reload"},
	"change":        {"change"},
}

// dangers are the harms that can befall a node. The front relay has its messages over TCP alone, from clients that do not send
// again what its kernel has acknowledged: so it is not killed.
var dangers = map[string][]string{
	"front": {"restart", "hang", "cut", "reload", "change"},
	"a":     {"kill", "hang and kill", "cut and kill", "restart", "hang", "cut", "reload", "change"},
	"b":     {"kill", "hang and kill", "cut and kill", "restart", "hang", "cut", "reload", "change"},
	"s1":    {"kill", "hang and kill", "restart", "hang", "reload", "change"},
	"s2":    {"kill", "hang and kill", "restart", "hang", "reload", "change"},
}

// tiers are those who send by TCP, and those whom they send to. What a kernel has acknowledged and its process has not read is then
// elsewhere only in the memory of who sent it: so nodes of both do not die together, nor within respite. The front relay, in tier 0,
// sends by RELP: it may stop at any time.
var tiers = map[string]int{"a": 1, "b": 1, "s1": 2, "s2": 2}

// respite is how long it takes until what is sent again has arrived: stall_timeout, and a little.
const respite = 4 * time.Second

// isDeadly tells whether a process ends in a harm.
func isDeadly(harm string) bool {
	return slices.Contains(harms[harm], "kill") || slices.Contains(harms[harm], "stop")
}

// longest is twice the longest time between two steps of a harm, most of which are much shorter.
const longest = 10 * time.Second

// plan makes the steps of a run from a seed: each 700 ms a harm, to a node that is well, unless it is deadly and too near to another one.
func plan(seed uint64, duration time.Duration) (steps []step) {
	random := rand.New(rand.NewPCG(seed, 0))
	nodes := []string{"front", "a", "b", "s1", "s2"}
	well := map[string]time.Duration{} // from when a node is
	deadly := map[int]time.Duration{}  // until when one of a tier dies or has
	for at := time.Second; at < duration-longest/2; at += 200*time.Millisecond + upTo(random, time.Second) {
		node := nodes[random.IntN(len(nodes))]
		tier := tiers[node]
		harm := dangers[node][random.IntN(len(dangers[node]))]
		isNear := isDeadly(harm) && at < deadly[3-tier]+respite
		if at < well[node] || isNear {
			continue
		}
		end := at
		for i, what := range harms[harm] {
			if i > 0 {
				end += 50*time.Millisecond + upTo(random, longest)/time.Duration(2+random.IntN(8))
			}
			steps = append(steps, step{end, node, what})
		}
		well[node] = end + 100*time.Millisecond
		if isDeadly(harm) {
			deadly[tier] = max(deadly[tier], end)
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return steps
}

func upTo(random *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(limit)))
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
		if slices.Contains([]string{"kill", "stop", "hang", "cut", "change"}, s.what) {
			n++
		}
	}
	return n
}
