package logpath

import (
	"slices"
	"sync/atomic"
)

// A Program is a compiled Graph. It does not change and is for all goroutines.
type Program struct {
	nodes   []node
	sinks   []Sink
	matched []*atomic.Uint64 // by the counters of branches
	entries map[string][]int32
}

type opcode uint8

const (
	opWork     opcode = iota
	opSend            // to sinks[arg]
	opIf              // next, or alt if the step refuses
	opJunction        // branches; what follows is run by each of them
	opLeave           // the branch of a junction ends, what follows belongs to the statement around it
	opTee             // arg, then next
)

// end is where a path ends.
const end int32 = -1

type node struct {
	op       opcode
	modifies bool
	wait     bool // opSend: flow control
	lenient  bool // opJunction: no matching branch is no refusal
	next     int32
	alt      int32
	arg      int32
	step     Step
	branches []branch
	fallback bool // opJunction: a branch has the flag
	straight bool // opJunction: all branches are of sends, none is a fallback
	element  Element
}

type branch struct {
	first     int32
	sends     bool // there is nothing but opSend
	flags     Flags
	statement *Statement
	counter   int32
}

type compiler struct {
	Program
	graph *Graph
	sinks map[Sink]int32
}

// Compile makes a program of g.
func Compile(g *Graph) *Program {
	c := &compiler{graph: g, sinks: map[Sink]int32{}}
	c.entries = map[string][]int32{}
	bySource := map[string][]branch{}
	for _, path := range g.Paths {
		b := c.branch(path, end, false)
		sources := path.Sources
		if path.Flags&Catchall != 0 {
			sources = append(g.named(), sources...)
		}
		for _, source := range sources {
			bySource[source] = append(bySource[source], b)
		}
	}
	for _, source := range g.Sources {
		first := c.junction(bySource[source.Name], &node{next: end})
		for _, elements := range source.Channels {
			c.entries[source.Name] = append(c.entries[source.Name], c.chain(elements, first, false))
		}
	}
	return &c.Program
}

// named are the sources that catchall includes.
func (g *Graph) named() (names []string) {
	for _, s := range g.Sources {
		if !s.Inline {
			names = append(names, s.Name)
		}
	}
	return names
}

// Entry is where messages of a source's driver enter the program.
func (p *Program) Entry(source string, driver int) int32 { return p.entries[source][driver] }

// PassesLines tells whether messages that enter at entry go to destinations alone that send lines, and nothing looks at them before.
func (p *Program) PassesLines(entry int32) bool {
	sinks, straight := p.straight(entry)
	return straight && !slices.ContainsFunc(sinks, func(s Sink) bool {
		lines, ok := s.(LineSink)
		return !ok || !lines.SendsLines()
	})
}

// Copies is how many destinations get each message that enters at entry, 0 if that depends on the message.
func (p *Program) Copies(entry int32) int {
	sinks, _ := p.straight(entry)
	return len(sinks)
}

// straight gives the sinks of all messages that enter at entry, if nothing is asked of a message before.
func (p *Program) straight(entry int32) (sinks []Sink, ok bool) {
	n := &p.nodes[entry]
	if !n.straight {
		return nil, false
	}
	for _, b := range n.branches {
		for i := b.first; i != end; i = p.nodes[i].next {
			sinks = append(sinks, p.sinks[p.nodes[i].arg])
		}
	}
	return sinks, true
}

func (c *compiler) add(n node) int32 {
	c.nodes = append(c.nodes, n)
	return int32(len(c.nodes) - 1)
}

func (c *compiler) branch(s *Statement, next int32, wait bool) branch {
	wait = wait || s.Flags&FlowControl != 0
	if s.Matched == nil {
		s.Matched = new(atomic.Uint64)
	}
	c.matched = append(c.matched, s.Matched)
	counter := int32(len(c.matched) - 1)
	first := c.chain(s.Elements, next, wait)
	return branch{first: first, sends: c.sendsFrom(first), flags: s.Flags, statement: s, counter: counter}
}

// sendsFrom tells whether all from the node at i on is opSend.
func (c *compiler) sendsFrom(i int32) bool {
	for i != end && c.nodes[i].op == opSend {
		i = c.nodes[i].next
	}
	return i == end
}

// chain compiles elements that next follows, from the last to the first, and returns where the first is.
func (c *compiler) chain(elements []Element, next int32, wait bool) int32 {
	for i := len(elements) - 1; i >= 0; i-- {
		next = c.element(elements[i], next, wait)
	}
	return next
}

func (c *compiler) element(e Element, next int32, wait bool) int32 {
	switch e := e.(type) {
	case *Work:
		return c.add(node{op: opWork, step: e.Step, modifies: e.Step.Modifies(), next: next, element: e})
	case *Send:
		return c.add(node{op: opSend, arg: c.sink(e.Sink), wait: wait, next: next, element: e})
	case *If:
		then, alt := c.chain(e.Then, next, wait), c.chain(e.Else, next, wait)
		return c.add(node{op: opIf, step: e.Cond, modifies: e.Cond.Modifies(), next: then, alt: alt, element: e})
	case *Tee:
		return c.add(node{op: opTee, arg: c.chain(e.Elements, end, wait), next: next, element: e})
	case *Junction:
		if next != end {
			next = c.add(node{op: opLeave, next: next})
		}
		branches := make([]branch, len(e.Branches))
		for i, s := range e.Branches {
			branches[i] = c.branch(s, next, wait)
		}
		return c.junction(branches, &node{lenient: e.Embedded && !c.graph.UnmatchedEmbeddedRefuses, element: e})
	}
	panic("logpath: unknown element")
}

func (c *compiler) junction(branches []branch, n *node) int32 {
	n.op, n.branches, n.straight = opJunction, branches, true
	for _, b := range branches {
		n.fallback = n.fallback || b.flags&Fallback != 0
		n.straight = n.straight && b.sends && !n.fallback
	}
	return c.add(*n)
}

func (c *compiler) sink(s Sink) int32 {
	if kept, ok := c.graph.Kept[s]; ok {
		s = kept
	}
	i, ok := c.sinks[s]
	if !ok {
		i = int32(len(c.Program.sinks))
		c.sinks[s] = i
		c.Program.sinks = append(c.Program.sinks, s)
	}
	return i
}
