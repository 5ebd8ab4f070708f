package logpath

import (
	"testing"

	"kad/forwarder/internal/logmsg"
	"kad/pkg/syslog"
)

// A liner takes lines.
type liner struct{ messages int }

func (l *liner) NewBatch() Batch               { return l }
func (l *liner) SendsLines() bool              { return true }
func (l *liner) Flush(*logmsg.Receipt)         {}
func (l *liner) Add(m *logmsg.Message, _ bool) { l.messages += max(1, len(m.Lines())) }

func TestStraight(t *testing.T) {
	var l lab
	one, two := &liner{}, &liner{}
	send := func(s Sink) Element { return &Send{Sink: s} }
	for name, test := range map[string]struct {
		paths  []*Statement
		copies int
		lines  bool
	}{
		"one destination":         {[]*Statement{{Elements: []Element{send(one)}}}, 1, true},
		"two on two paths":        {[]*Statement{{Elements: []Element{send(one)}}, {Elements: []Element{send(two)}}}, 2, true},
		"two on one path":         {[]*Statement{{Elements: []Element{send(one), send(two)}}}, 2, true},
		"no destination":          {[]*Statement{{}}, 0, true},
		"one that takes no lines": {[]*Statement{{Elements: []Element{send(one), l.send("d")}}}, 2, false},
		"a filter":                {[]*Statement{{Elements: []Element{keep("a"), send(one)}}}, 0, false},
		"a fallback":              {[]*Statement{{Elements: []Element{send(one)}}, {Elements: []Element{send(two)}, Flags: Fallback}}, 0, false},
		"an embedded statement":   {[]*Statement{{Elements: []Element{&Junction{Embedded: true, Branches: []*Statement{{Elements: []Element{send(one)}}}}}}}, 0, false},
	} {
		for i, p := range test.paths {
			p.Name, p.Sources = string(rune('a'+i)), []string{"s"}
		}
		p := Compile(&Graph{Sources: []Source{{Name: "s", Channels: [][]Element{nil}}}, Paths: test.paths})
		if entry := p.Entry("s", 0); p.Copies(entry) != test.copies || p.PassesLines(entry) != test.lines {
			t.Errorf("%s: %d copies, lines pass: %v; want %d, %v", name, p.Copies(entry), p.PassesLines(entry), test.copies, test.lines)
		}
	}
}

// A path counts all messages that a message stands for, and ends at final.
func TestStraightLines(t *testing.T) {
	first, second := &liner{}, &liner{}
	paths := []*Statement{
		{Name: "a", Sources: []string{"s"}, Elements: []Element{&Send{Sink: first}}, Flags: Final},
		{Name: "b", Sources: []string{"s"}, Elements: []Element{&Send{Sink: second}}},
	}
	p := Compile(&Graph{Sources: []Source{{Name: "s", Channels: [][]Element{nil}}}, Paths: paths})
	r, m := p.NewRouter(), &logmsg.Message{}
	m.Reset(origin, syslog.Time{})
	m.SetLines([]byte("a\nb\nc\n"), []int{2, 4, 6})
	r.Route(p.Entry("s", 0), m)
	r.Flush(nil)
	if a, b := paths[0].Matched.Load(), paths[1].Matched.Load(); a != 3 || b != 0 || first.messages != 3 || second.messages != 0 {
		t.Errorf("the paths counted %d and %d, the destinations %d and %d; want 3, 0, 3, 0", a, b, first.messages, second.messages)
	}
}
