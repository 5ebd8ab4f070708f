// Package logpath routes messages: log statements with their steps, embedded statements, junctions and flags, as
// syslog-ng has them.
//
// [Compile] makes a [Program] of the statements: a flat array of nodes that follow each other by index. A [Router] runs it,
// one for each goroutine that reads messages.
//
// One rule is behind all flags. Every source, every junction and every group of embedded statements offers the message to
// its branches in written order, those with fallback in a second round that takes place only if no branch matched in the
// first. A branch has matched unless a filter or a parser along it refused the message, or a junction or a group in it had
// no matching branch at all. A branch that matched and is final ends the round. What follows a junction belongs to the
// statement around it: a refusal there counts for that one, not for the branch by which the message came.
//
// A branch that changes a message changes a copy of its own; its siblings and later paths have it as it was.
package logpath

import (
	"sync/atomic"

	"kad/forwarder/internal/logmsg"
)

// A Step works on a message: a filter, a parser or a rewrite.
type Step interface {
	// Process tells whether the message matches: whether it may go on.
	Process(m *logmsg.Message) bool
	// Modifies tells whether Process may change the message.
	Modifies() bool
}

// A Sink is a destination.
type Sink interface {
	// NewBatch gives a goroutine what it hands messages over with.
	NewBatch() Batch
}

// A LineSink may send lines of RFC 3164 as they are.
type LineSink interface {
	Sink
	// SendsLines tells whether its batches take messages that stand for lines.
	SendsLines() bool
}

// A Batch collects what one goroutine sends to one destination.
type Batch interface {
	// Add formats m into the batch. wait asks for flow control: see Flush.
	Add(m *logmsg.Message, wait bool)
	// Flush hands the batch over. If the destination is full it waits when a message of the batch was added with wait,
	// else it drops the newest messages. The batch holds the receipt until its messages are safe.
	Flush(receipt *logmsg.Receipt)
}

// Flags are those of a log statement or a channel.
type Flags uint8

// The flags.
const (
	Catchall Flags = 1 << iota
	DropUnmatched
	Fallback
	Final
	FlowControl
)

// A Statement is a log statement, an embedded one, or a channel of a junction.
type Statement struct {
	Name     string
	Sources  []string // of a top-level statement, as often as they are written
	Elements []Element
	Flags    Flags
	// Matched counts the messages that it processed. Compile makes one where there is none.
	Matched *atomic.Uint64
}

// An Element is a part of a statement: *Work, *Send, *If, *Junction or *Tee.
type Element interface{ element() }

// Work is a step.
type Work struct {
	Kind string // "filter", "parser", "rewrite"
	Name string // as the configuration calls it, or its text
	Step Step
}

// Send hands the message to a destination.
type Send struct {
	Name string
	Sink Sink
}

// If goes on with Then, or with Else, which has the message as it was before Cond. Either goes on with what follows the If;
// a refusal in them is one of the statement.
type If struct {
	Name       string // the text of Cond
	Cond       Step
	Then, Else []Element
}

// A Junction offers the message to each branch, and each branch that lets it through goes on with what follows.
type Junction struct {
	Branches []*Statement
	// Embedded says that the branches are embedded log statements.
	Embedded bool
}

// A Tee has elements of its own, to which a copy goes: the steps of a destination. A refusal in it counts nowhere.
type Tee struct {
	Name     string
	Elements []Element
}

func (*Work) element()     {}
func (*Send) element()     {}
func (*If) element()       {}
func (*Junction) element() {}
func (*Tee) element()      {}

// A Source is where messages enter.
type Source struct {
	Name string
	// Inline says that it stands in a log statement: catchall does not include it.
	Inline bool
	// Channels are the steps of each of its drivers, which come before all paths.
	Channels [][]Element
}

// A Graph is all that Compile needs.
type Graph struct {
	Sources []Source
	Paths   []*Statement // in the order of the file
	// UnmatchedEmbeddedRefuses makes a statement unprocessed when its filters match and none of its embedded statements
	// does, as the program syslog-ng does it since 3.10; else it is processed, as the manual has it.
	UnmatchedEmbeddedRefuses bool
	// Kept has the sinks in whose place others are used: those that ran before, when their configuration is the same.
	Kept map[Sink]Sink
}

// Each calls f for each statement, in the order of the file, with its name behind those of the statements that it is
// embedded in: "mail", "mail.never".
func (g *Graph) Each(f func(name string, s *Statement)) { each("", g.Paths, f) }

func each(prefix string, list []*Statement, f func(name string, s *Statement)) {
	for _, s := range list {
		f(prefix+s.Name, s)
		for _, e := range s.Elements {
			if j, ok := e.(*Junction); ok && j.Embedded {
				each(prefix+s.Name+".", j.Branches, f)
			}
		}
	}
}
