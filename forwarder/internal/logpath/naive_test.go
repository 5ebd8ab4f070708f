package logpath

import (
	"strings"

	"kad/forwarder/internal/logmsg"
)

// The steps of the tests work on MESSAGE alone: they ask whether it has a letter, append one, or both.

type filter string

func (f filter) Process(m *logmsg.Message) bool { return strings.Contains(string(m.Msg), string(f)) }
func (f filter) Modifies() bool                 { return false }

type rewrite string

func (r rewrite) Process(m *logmsg.Message) bool { return appendText(m, string(r)) }
func (r rewrite) Modifies() bool                 { return true }

// A parser appends its second letter, also if it then refuses the message for the first.
type parser string

func (p parser) Process(m *logmsg.Message) bool {
	fits := strings.Contains(string(m.Msg), string(p[0]))
	return appendText(m, string(p[1])) && fits
}
func (p parser) Modifies() bool { return true }

var message = logmsg.NameOf("MESSAGE")

func appendText(m *logmsg.Message, text string) bool {
	m.SetArena(message, append(append(m.Arena(), m.Msg...), text...))
	return true
}

// A walker does what a graph says in the plainest way: by walking its tree, with a text for a message.
type walker struct {
	graph *Graph
	out   []string
}

// route returns what the destinations get, in order: "d1:text", with flow control "d1!:text".
func (w *walker) route(source, driver int, text string) []string {
	s := w.graph.Sources[source]
	top := &Junction{}
	for _, path := range w.graph.Paths {
		times := 0
		if path.Flags&Catchall != 0 && !s.Inline {
			times = 1
		}
		for _, name := range path.Sources {
			if name == s.Name {
				times++
			}
		}
		for range times {
			top.Branches = append(top.Branches, path)
		}
	}
	w.walk(append(s.Channels[driver][:len(s.Channels[driver]):len(s.Channels[driver])], top), text, false, done)
	return w.out
}

func done(string) bool { return true }

// walk takes a text through the elements and hands it to then. It tells whether nothing refused it.
func (w *walker) walk(elements []Element, text string, wait bool, then func(string) bool) bool {
	if len(elements) == 0 {
		return then(text)
	}
	rest := func(text string) bool { return w.walk(elements[1:], text, wait, then) }
	switch e := elements[0].(type) {
	case *Work:
		after, ok := process(e.Step, text)
		return ok && rest(after)
	case *Send:
		mark := map[bool]string{true: "!"}[wait]
		w.out = append(w.out, e.Name+mark+":"+text)
		return rest(text)
	case *If:
		if after, ok := process(e.Cond, text); ok {
			return w.walk(e.Then, after, wait, rest)
		}
		return w.walk(e.Else, text, wait, rest)
	case *Tee:
		w.walk(e.Elements, text, wait, done)
		return rest(text)
	case *Junction:
		return w.junction(e, text, wait, rest)
	}
	panic("unknown element")
}

func process(s Step, text string) (after string, ok bool) {
	switch s := s.(type) {
	case filter:
		return text, strings.Contains(text, string(s))
	case rewrite:
		return text + string(s), true
	case parser:
		return text + string(s[1]), strings.Contains(text, string(s[0]))
	}
	panic("unknown step")
}

func (w *walker) junction(j *Junction, text string, wait bool, rest func(string) bool) bool {
	ok := true // of what follows
	round := func(fallback Flags) (matched bool) {
		for _, b := range j.Branches {
			if b.Flags&Fallback != fallback {
				continue
			}
			through := w.walk(b.Elements, text, wait || b.Flags&FlowControl != 0, func(text string) bool {
				ok = rest(text) && ok
				return true
			})
			if through || b.Flags&DropUnmatched != 0 {
				matched = true
				if b.Flags&Final != 0 {
					return true
				}
			}
		}
		return matched
	}
	if !round(0) && !round(Fallback) {
		return j.Embedded && !w.graph.UnmatchedEmbeddedRefuses
	}
	return ok
}
