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

// dangers are the harms that can befall a node.
var dangers = map[string][]string{
	"front": {"kill", "hang and kill", "cut and kill", "restart", "hang", "cut", "reload", "change"},
	"a":     {"kill", "hang and kill", "cut and kill", "restart", "hang", "cut", "reload", "change"},
	"b":     {"kill", "hang and kill", "cut and kill", "restart", "hang", "cut", "reload", "change"},
	"s1":    {"kill", "hang and kill", "restart", "hang", "reload", "change"},
	"s2":    {"kill", "hang and kill", "restart", "hang", "reload", "change"},
}

// longest is twice the longest time between two steps of a harm, most of which are much shorter.
const longest = 10 * time.Second

// plan makes the steps of a run from a seed: each 700 ms a harm, to a node that is well.
func plan(seed uint64, duration time.Duration) (steps []step) {
	random := rand.New(rand.NewPCG(seed, 0))
	nodes := []string{"front", "a", "b", "s1", "s2"}
	well := map[string]time.Duration{} // from when a node is
	for at := time.Second; at < duration-longest/2; at += 200*time.Millisecond + upTo(random, time.Second) {
		node := nodes[random.IntN(len(nodes))]
		harm := dangers[node][random.IntN(len(dangers[node]))]
		if at < well[node] {
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

// What may come twice after a disturbance, in messages: those that a connection by RELP has no answer to, those that a TCP receiver
// may not have read (twice its window, which is half of its buffer, and a packet), and those that a disk buffer has sent and not noted.
const (
	unanswered = 1000
	unread     = (2*receiveBuffer + 64<<10) / size
	unnoted    = 1 << 20 / size
)

// again bounds what a disturbance of a node has come twice, by the connections to it and from it.
var again = map[string]int{
	"front": clients*unanswered + unanswered + unnoted,
	"a":     unanswered + unread + unnoted,
	"b":     unanswered + unread + unnoted,
	"s1":    2 * (unread + unnoted),
	"s2":    2 * (unread + unnoted),
}

// maxAgain bounds what all steps together have come twice.
func maxAgain(steps []step) (n int) {
	for _, s := range steps {
		if slices.Contains([]string{"kill", "stop", "hang", "cut", "change"}, s.what) {
			n += again[s.node]
		}
	}
	return n
}
