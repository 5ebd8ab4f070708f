// Package chaos breaks a chain of forwarders at random while messages go through it, and counts what came of them.
package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kad/integration/lab"
)

var bin string // directory of forwarder, built from the tree as it is

func TestMain(m *testing.M) {
	os.Exit(lab.Main(func() int {
		dir, err := os.MkdirTemp("", "kad-chaos-")
		defer os.RemoveAll(dir)
		if err == nil {
			err = build(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		bin = dir
		return m.Run()
	}))
}

func build(dir string) error {
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", dir+"/", "../../forwarder")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.New(string(out))
	}
	return nil
}

// What `make test` does; `make chaos CHAOS=10m` takes longer, by the environment.
const (
	usual    = time.Minute
	rate     = 2000 // messages a second
	size     = 250
	clients  = 8
	maxRSS   = 160 << 20
	settling = 60 * time.Second // that clients wait for servers, and messages for their way
)

// A node is a forwarder on a host.
type node struct {
	host    *lab.Host
	program lab.Program
	text    func(change int) string
	changes int
}

// A chain is all nodes.
type chain struct {
	*lab.Lab
	t      *testing.T
	client *lab.Host
	nodes  map[string]*node
	rss    map[string][]int
	began  time.Time
}

func newChain(t *testing.T) *chain {
	l := lab.New(t, lab.Options{Bin: bin})
	c := &chain{Lab: l, t: t, nodes: map[string]*node{}, rss: map[string][]int{}}
	c.client = l.AddHost("client", fmt.Sprintf(network, 20))
	for i, name := range []string{"s1", "s2"} {
		ip := fmt.Sprintf("192.168.245.%d", 21+i)
		if r := c.client.Run("ip", "address", "add", ip+"/24", "dev", "eth0"); r.Code != 0 {
			t.Fatal(r.Stderr)
		}
		for _, relay := range []string{"a", "b"} {
			c.client.WriteFile(storeFile(name, relay), nil, 0o600)
		}
		c.add(name, c.client, func(change int) string { return storeText(name, ip, change) })
	}
	for i, name := range []string{"a", "b"} {
		h := l.AddHost(name, fmt.Sprintf(network, 11+i))
		c.add(name, h, func(change int) string {
			return relayText(name, relp, tcp, "192.168.245.21", "192.168.245.22", 6000+i, change)
		})
	}
	h := l.AddHost("front", fmt.Sprintf(network, 10))
	c.add("front", h, frontText)
	h.AwaitListener("tcp", frontAddr+":601")
	return c
}

func (c *chain) add(name string, h *lab.Host, text func(change int) string) {
	config := "/etc/forwarder/" + name + ".toml"
	n := &node{host: h, text: text, program: lab.Program{Name: name, Argv: []string{"forwarder", "run", "--config", config}}}
	c.nodes[name] = n
	h.WriteFile(config, []byte(text(0)), 0o600)
	h.Start(n.program)
}

// do makes a step happen.
func (c *chain) do(s step) {
	n := c.nodes[s.node]
	switch s.what {
	case "kill":
		n.host.Kill(n.program)
	case "stop":
		n.host.Stop(n.program)
	case "start":
		n.host.Start(n.program)
	case "hang":
		n.host.Hang(n.program)
	case "continue":
		n.host.Continue(n.program)
	case "cut":
		n.host.Cut()
	case "heal":
		n.host.Heal()
	case "change":
		n.changes++
		n.host.WriteFile("/etc/forwarder/"+s.node+".toml", []byte(n.text(n.changes%2)), 0o600)
		fallthrough
	case "reload":
		c.Eventually(settling, func() error { // until Go's runtime is there, SIGHUP ends a process
			if r := n.host.Run("forwarder", "health", "--socket", "/run/"+s.node+".sock"); r.Code != 0 {
				return errors.New(r.Stderr)
			}
			return nil
		})
		n.host.Signal(n.program, unix.SIGHUP)
	}
}

// look notes how much memory the nodes have.
func (c *chain) look() {
	for name, n := range c.nodes {
		if rss := residentBytes(n); rss > 0 {
			c.rss[name] = append(c.rss[name], rss)
		}
	}
}

// residentBytes is 0 if the node does not run.
func residentBytes(n *node) int {
	pid, ok := n.host.Running(n.program)
	if !ok {
		return 0
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(data))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return pages * os.Getpagesize()
}

// A report is what `forwarder send -o json` tells.
type report struct {
	Sent, Unsent, Resent, Reconnects      int
	Received, Lost, Duplicated, Reordered int
	Foreign                               int
	Latency                               struct{ P50, P99, Max float64 } `json:"latency_ms"`
	Faults                                []fault
}

// A fault is what went wrong with the messages of a client.
type fault struct {
	Connection, Lost, Duplicated, Reordered int
	Missing                                 [][2]int
	Overtaken                               []overtaken
}

// Overtaken are messages that came by a way behind a later one, before they came by another way.
type overtaken struct {
	Numbers    [2]int
	Sink       int
	After      int
	Sent, Came time.Time
}

// A way leads over a relay to a store, where it has a file.
type way struct{ store, relay string }

// ways are in the order of the sinks.
var ways = []way{{"s1", "a"}, {"s1", "b"}, {"s2", "a"}, {"s2", "b"}}

func (w way) String() string { return "by " + w.relay + " to " + w.store }

func TestChaos(t *testing.T) {
	duration, seed := usual, rand.Uint64()
	var err error
	if text := os.Getenv("CHAOS"); text != "" {
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CHAOS: %v", err)
		}
	}
	if text := os.Getenv("SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SEED: %v", err)
		}
	}
	steps := plan(seed, duration)
	c := newChain(t)
	defer func() {
		if t.Failed() {
			t.Logf("SEED=%d CHAOS=%v does the same again:\n%s", seed, duration, describe(steps))
			c.saveLogs()
		}
	}()
	sent := make(chan lab.Result, 1)
	go func() { sent <- c.client.Run(sendCommand(duration)...) }()
	c.run(steps, duration)
	result := <-sent
	var r report
	if err := json.Unmarshal([]byte(result.Stdout), &r); err != nil {
		t.Fatalf("%v: exit %d, %s%s", err, result.Code, result.Stdout, result.Stderr)
	}
	t.Logf("SEED=%d, %d steps, %s%s", seed, len(steps), result.Stdout, c.memory())
	c.judge(r, maxAgain(steps))
}

func sendCommand(duration time.Duration) []string {
	argv := []string{
		"forwarder", "send", "-o", "json", "--rate", strconv.Itoa(rate), "--size", strconv.Itoa(size), "--connections", strconv.Itoa(clients),
		"--duration", duration.String(), "--timeout", "20s", "--wait", settling.String(), "relp://" + frontAddr + ":601",
	}
	for _, w := range ways {
		argv = append(argv, "--sink", "file://"+storeFile(w.store, w.relay))
	}
	return argv
}

// run does all steps, each at its time, and looks each second.
func (c *chain) run(steps []step, duration time.Duration) {
	c.began = time.Now()
	looked := time.Duration(0)
	for _, s := range append(steps, step{at: duration}) {
		for now := time.Since(c.began); now < s.at; now = time.Since(c.began) {
			if now-looked > time.Second {
				looked = now
				c.look()
			}
			time.Sleep(min(s.at-now, 100*time.Millisecond))
		}
		if s.node != "" {
			c.do(s)
		}
	}
}

// judge holds the result against what is promised: nothing lost, the order kept, and duplicates within their bound.
func (c *chain) judge(r report, maxAgain int) {
	if r.Lost != 0 || r.Unsent != 0 || r.Received == 0 {
		c.t.Errorf("%d of %d messages are lost, %d were not sent: %+v", r.Lost, r.Received+r.Lost, r.Unsent, r.Faults)
	}
	if r.Duplicated > maxAgain {
		c.t.Errorf("%d messages came twice, the bound is %d", r.Duplicated, maxAgain)
	}
	c.judgeOrder(r)
	for name, all := range c.rss {
		if most := slices.Max(all); most > maxRSS {
			c.t.Errorf("%s has had %d MiB", name, most>>20)
		}
		if early, late := middle(all[:len(all)/2]), middle(all[len(all)/2:]); len(all) >= 60 && late > early*3/2+8<<20 {
			c.t.Errorf("the memory of %s grows: in the middle %d MiB in the first half of the run, %d MiB in the second", name, early>>20, late>>20)
		}
	}
}

// judgeOrder tells what came late, by which way and when, and whether it should not have.
func (c *chain) judgeOrder(r report) {
	for _, f := range r.Faults {
		for _, o := range f.Overtaken {
			c.t.Logf("client %d: %d to %d, sent after %.2fs, came after %.2fs %s, behind %d", f.Connection, o.Numbers[0], o.Numbers[1],
				o.Sent.Sub(c.began).Seconds(), o.Came.Sub(c.began).Seconds(), ways[o.Sink], o.After)
		}
	}
	var files [][]arrival
	for _, w := range ways {
		data, err := c.client.ReadFile(storeFile(w.store, w.relay))
		if err != nil {
			c.t.Fatal(err)
		}
		files = append(files, arrivals(data))
	}
	list, messages := disorder(files)
	if messages != r.Received {
		c.t.Errorf("%d messages are in the files, %d were received", messages, r.Received)
	}
	for i, l := range list[:min(len(list), 20)] {
		if i == 0 {
			c.t.Errorf("%d messages are out of order, and came by one way alone", len(list))
		}
		c.t.Logf("client %d: %d came %s behind %d, in line %d", l.client, l.number, ways[l.file], l.after, l.line+1)
	}
}

// middle is the median.
func middle(list []int) int {
	if len(list) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(list))[len(list)/2]
}

func (c *chain) memory() string {
	var b strings.Builder
	for _, name := range []string{"front", "a", "b", "s1", "s2"} {
		if all := c.rss[name]; len(all) > 0 {
			fmt.Fprintf(&b, "%s: median %d MiB, most %d MiB\n", name, middle(all)>>20, slices.Max(all)>>20)
		}
	}
	return b.String()
}

// saveLogs keeps what the nodes have said, with `go test -artifacts`.
func (c *chain) saveLogs() {
	dir := c.t.ArtifactDir()
	for name, n := range c.nodes {
		if err := os.WriteFile(filepath.Join(dir, name+".log"), []byte(n.host.Log(n.program)), 0o600); err != nil {
			c.t.Error(err)
		}
	}
	c.t.Logf("logs in %s", dir)
}
