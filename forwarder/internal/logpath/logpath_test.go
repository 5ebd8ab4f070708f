package logpath

import (
	"slices"
	"strings"
	"testing"

	"kad/forwarder/internal/logmsg"
	"kad/pkg/syslog"
)

var origin = &logmsg.Origin{Source: []byte("s1")}

// A record has what all destinations got: "d1:text", with flow control "d1!:text".
type record struct{ lines []string }

type sink struct {
	name string
	into *record
}

func (s *sink) NewBatch() Batch { return s }
func (s *sink) Add(m *logmsg.Message, wait bool) {
	s.into.lines = append(s.into.lines, s.name+map[bool]string{true: "!"}[wait]+":"+string(m.Msg))
}
func (s *sink) Flush(*logmsg.Receipt) { s.into.lines = append(s.into.lines, "flush "+s.name) }

// A lab makes graphs whose destinations write to its record.
type lab struct {
	record
	sinks map[string]*sink
}

func (l *lab) send(name string) Element {
	if l.sinks == nil {
		l.sinks = map[string]*sink{}
	}
	if l.sinks[name] == nil {
		l.sinks[name] = &sink{name, &l.record}
	}
	return &Send{Name: name, Sink: l.sinks[name]}
}

// route sends text from a driver of a source and returns what the destinations got.
func (l *lab) route(r *Router, p *Program, source string, driver int, text string) []string {
	l.lines = nil
	m := &logmsg.Message{}
	m.Reset(origin, syslog.Time{})
	m.Msg = []byte(text)
	r.Route(p.Entry(source, driver), m)
	if string(m.Msg) != text {
		return append(l.lines, "the message of the source is now "+string(m.Msg))
	}
	return l.lines
}

func keep(letter string) Element   { return &Work{Kind: "filter", Step: filter(letter)} }
func add(letter string) Element    { return &Work{Kind: "rewrite", Step: rewrite(letter)} }
func parse(letters string) Element { return &Work{Kind: "parser", Step: parser(letters)} }

func log(flags Flags, elements ...Element) *Statement {
	return &Statement{Sources: []string{"s1"}, Flags: flags, Elements: elements}
}

func embed(statements ...*Statement) Element { return &Junction{Embedded: true, Branches: statements} }
func junct(channels ...*Statement) Element   { return &Junction{Branches: channels} }

func when(cond string, then, otherwise []Element) Element {
	return &If{Cond: filter(cond), Then: then, Else: otherwise}
}

func list(elements ...Element) []Element { return elements }

func TestRoute(t *testing.T) {
	var l lab
	d1, d2, d3, d4 := l.send("d1"), l.send("d2"), l.send("d3"), l.send("d4")
	for _, test := range []struct {
		name  string
		paths []*Statement
		want  string // for the message "ab"
	}{
		{"no path", nil, ""},
		{"every path that matches gets it", []*Statement{log(0, d1), log(0, keep("x"), d2), log(0, keep("a"), d3)}, "d1:ab d3:ab"},
		{"a destination twice gets two copies", []*Statement{log(0, d1, d1), log(0, d1)}, "d1:ab d1:ab d1:ab"},
		{"steps in their order", []*Statement{log(0, d1, add("1"), d2, keep("1"), parse("a2"), d3, keep("x"), d4)}, "d1:ab d2:ab1 d3:ab12"},
		{"changes stay in their path", []*Statement{log(0, add("1"), d1), log(0, d2)}, "d1:ab1 d2:ab"},
		{"a source twice doubles all", []*Statement{{Sources: []string{"s1", "s1"}, Elements: list(d1)}}, "d1:ab d1:ab"},

		{"final", []*Statement{log(Final, d1), log(0, d2)}, "d1:ab"},
		{"final does not take back", []*Statement{log(0, d1), log(Final, d2), log(0, d3)}, "d1:ab d2:ab"},
		{"final refused", []*Statement{log(Final, keep("x"), d1), log(0, d2)}, "d2:ab"},
		{"final refused behind its destination", []*Statement{log(Final, d1, keep("x")), log(0, d2)}, "d1:ab d2:ab"},
		{"final refused by its parser", []*Statement{log(Final, parse("x1"), d1), log(0, d2)}, "d2:ab"},
		{"final without destination drops", []*Statement{log(Final, keep("a")), log(0, d2)}, ""},
		{"final of another source", []*Statement{{Sources: []string{"s2"}, Flags: Final}, log(0, d2)}, "d2:ab"},

		{"fallback unused", []*Statement{log(Fallback, d1), log(0, d2)}, "d2:ab"},
		{"fallback used", []*Statement{log(Fallback, d1), log(0, keep("x"), d2)}, "d1:ab"},
		{"several fallbacks", []*Statement{log(Fallback, d1), log(Fallback, d2), log(0, keep("x"))}, "d1:ab d2:ab"},
		{"fallback and final", []*Statement{log(Fallback|Final, d1), log(Fallback, d2)}, "d1:ab"},
		{"fallback after a delivery that counts not", []*Statement{log(0, d1, keep("x")), log(Fallback, d2)}, "d1:ab d2:ab"},

		{"catchall", []*Statement{{Flags: Catchall, Elements: list(d1)}, log(0, d2)}, "d1:ab d2:ab"},
		{"catchall after final", []*Statement{log(Final, d1), {Flags: Catchall, Elements: list(d2)}}, "d1:ab"},
		{"catchall with the source too", []*Statement{log(Catchall, d1)}, "d1:ab d1:ab"},
		{"catchall and fallback", []*Statement{{Flags: Catchall | Fallback, Elements: list(d1)}, log(0, keep("x"), d2)}, "d1:ab"},
		{"catchall, fallback, final", []*Statement{{Flags: Catchall | Fallback | Final, Elements: list(d1)}, log(Fallback, d2)}, "d1:ab"},

		{"drop-unmatched", []*Statement{log(DropUnmatched, keep("x"), d1), log(0, d2)}, "d2:ab"},
		{"drop-unmatched keeps it from fallback", []*Statement{log(DropUnmatched, keep("x"), d1), log(Fallback, d2)}, ""},
		{"drop-unmatched and final", []*Statement{log(DropUnmatched|Final, keep("x"), d1), log(0, d2)}, ""},
		{"drop-unmatched and fallback", []*Statement{log(DropUnmatched|Fallback, keep("x"), d1), log(Fallback, d2)}, "d2:ab"},

		{"flow-control", []*Statement{log(FlowControl, d1), log(0, d2)}, "d1!:ab d2:ab"},
		{"flow-control of an embedded statement", []*Statement{log(0, d1, embed(log(FlowControl, d2), log(0, d3)))}, "d1:ab d2!:ab d3:ab"},
		{"flow-control goes down", []*Statement{log(FlowControl, d1, embed(log(0, d2)))}, "d1!:ab d2!:ab"},

		{"embedded siblings have the same", []*Statement{log(0, add("1"), embed(log(0, add("2"), d1), log(0, d2)))}, "d1:ab12 d2:ab1"},
		{"an outer filter refuses", []*Statement{log(0, keep("x"), embed(log(0, d1)))}, ""},
		{"embedded final", []*Statement{log(0, embed(log(Final, d1), log(0, d2))), log(0, d3)}, "d1:ab d3:ab"},
		{"embedded fallback", []*Statement{log(0, embed(log(Fallback, d1), log(0, keep("x"), d2))), log(0, d3)}, "d1:ab d3:ab"},
		{"embedded drop-unmatched", []*Statement{log(0, embed(log(DropUnmatched, keep("x"), d1), log(Fallback, d2)))}, ""},
		{"three levels", []*Statement{log(0, d1, embed(log(0, keep("a"), d2, embed(log(0, keep("b"), d3), log(0, keep("x"), d4)))))}, "d1:ab d2:ab d3:ab"},
		{"outer final, inner refuses", []*Statement{log(Final, d1, embed(log(0, keep("x"), d2))), log(0, d3)}, "d1:ab"},

		{"junction merges", []*Statement{log(0, junct(log(0, keep("a"), add("1")), log(0, keep("b"), add("2"))), d1)}, "d1:ab1 d1:ab2"},
		{"junction: what no channel takes ends", []*Statement{log(0, junct(log(0, keep("x")), log(0, keep("y"))), d1), log(Fallback, d2)}, "d2:ab"},
		{"junction final", []*Statement{log(0, junct(log(Final, keep("a"), add("1")), log(0, add("2"))), d1)}, "d1:ab1"},
		{"junction fallback", []*Statement{log(0, junct(log(Fallback, add("1")), log(0, keep("x"))), d1)}, "d1:ab1"},
		{"a filter after it is the statement's", []*Statement{log(0, junct(log(Final, add("1")), log(0, add("2"))), keep("2"), d1), log(Fallback, d2)}, "d2:ab"},
		{"junction drop-unmatched", []*Statement{log(0, junct(log(DropUnmatched, keep("x"))), d1), log(Fallback, d2)}, ""},
		{"junction in a junction", []*Statement{log(0, junct(log(0, junct(log(0, add("1")), log(0, add("2"))), add("3")), log(0, add("4"))), d1)}, "d1:ab13 d1:ab23 d1:ab4"},
		{"the inner of two refuses behind it", []*Statement{log(0, junct(log(Final, junct(log(0)), keep("x")), log(0, add("2"))), d1)}, "d1:ab2"},

		{"if", []*Statement{log(0, when("a", list(add("1")), list(add("2"))), d1)}, "d1:ab1"},
		{"else", []*Statement{log(0, when("x", list(add("1")), list(add("2"))), d1)}, "d1:ab2"},
		{"elif", []*Statement{log(0, when("x", list(add("1")), list(when("b", list(add("2")), list(add("3"))))), d1)}, "d1:ab2"},
		{"no else", []*Statement{log(0, when("x", list(add("1")), nil), d1)}, "d1:ab"},
		{"a refusal in if is the statement's", []*Statement{log(Final, when("a", list(keep("x")), nil), d1), log(0, d2)}, "d2:ab"},
		{"a refusal after if does not run else", []*Statement{log(0, when("a", list(add("1")), list(add("2"))), keep("2"), d1), log(Fallback, d2)}, "d2:ab"},
		{"else has the message from before the condition", []*Statement{log(0, &If{Cond: parser("x1")}, d1)}, "d1:ab"},
		{"then has what the condition made", []*Statement{log(0, &If{Cond: parser("a1")}, d1), log(0, d2)}, "d1:ab1 d2:ab"},

		{"tee", []*Statement{log(Final, &Tee{Elements: list(add("1"), d1)}, d2)}, "d1:ab1 d2:ab"},
		{"a refusal in a tee counts nowhere", []*Statement{log(Final, &Tee{Elements: list(keep("x"), d1)}, d2), log(0, d3)}, "d2:ab"},
		{"a junction in a tee", []*Statement{log(Final, &Tee{Elements: list(junct(log(0, keep("x"))), d1)}, d2), log(0, d3)}, "d2:ab"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := &Graph{Sources: []Source{{Name: "s1", Channels: [][]Element{nil}}, {Name: "s2"}}, Paths: test.paths}
			p := Compile(g)
			got := strings.Join(l.route(p.NewRouter(), p, "s1", 0, "ab"), " ")
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			walked := strings.Join((&walker{graph: g}).route(0, 0, "ab"), " ")
			if walked != test.want {
				t.Errorf("the naive walk: %s, want %s", walked, test.want)
			}
		})
	}
}

func TestUnmatchedEmbedded(t *testing.T) {
	var l lab
	d1, d2, d3 := l.send("d1"), l.send("d2"), l.send("d3")
	final := []*Statement{log(Final, d1, embed(log(0, keep("x"), d2))), log(0, d3)}
	fallback := []*Statement{log(0, embed(log(0, embed(log(0, keep("x"), d1))))), log(Fallback, d2)}
	junction := []*Statement{log(0, junct(log(0, keep("x"))), d1), log(Fallback, d2)}
	for _, test := range []struct {
		name     string
		paths    []*Statement
		refuses  bool
		want     string
		wantText string // for "x", which the embedded statement takes
	}{
		{"processed: final holds it", final, false, "d1:a", "d1:x d2:x"},
		{"unprocessed: final lets it go", final, true, "d1:a d3:a", "d1:x d2:x"},
		{"processed: no fallback", fallback, false, "", "d1:x"},
		{"unprocessed, two levels: fallback", fallback, true, "d2:a", "d1:x"},
		{"no matter of junctions", junction, false, "d2:a", "d1:x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := Compile(&Graph{Sources: []Source{{Name: "s1", Channels: [][]Element{nil}}}, Paths: test.paths, UnmatchedEmbeddedRefuses: test.refuses})
			r := p.NewRouter()
			if got := strings.Join(l.route(r, p, "s1", 0, "a"), " "); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if got := strings.Join(l.route(r, p, "s1", 0, "x"), " "); got != test.wantText {
				t.Errorf("%s, want %s", got, test.wantText)
			}
		})
	}
}

func TestSources(t *testing.T) {
	var l lab
	d1, d2, d3 := l.send("d1"), l.send("d2"), l.send("d3")
	p := Compile(&Graph{
		Sources: []Source{
			{Name: "s1", Channels: [][]Element{{add("1")}, {keep("x"), add("2")}}},
			{Name: "inline", Inline: true, Channels: [][]Element{nil}},
			{Name: "declared", Channels: [][]Element{nil}},
		},
		Paths: []*Statement{
			{Sources: []string{"s1", "inline"}, Elements: list(d1)},
			{Flags: Catchall, Elements: list(d2)},
			{Sources: []string{"inline"}, Flags: Fallback, Elements: list(d3)},
		},
	})
	for _, test := range []struct {
		name, source string
		driver       int
		text, want   string
	}{
		{"the steps of a driver", "s1", 0, "a", "d1:a1 d2:a1"},
		{"a driver that refuses", "s1", 1, "a", ""},
		{"its other steps", "s1", 1, "x", "d1:x2 d2:x2"},
		{"catchall has no inline source", "inline", 0, "a", "d1:a"},
		{"catchall has a source that no path names", "declared", 0, "a", "d2:a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.Join(l.route(p.NewRouter(), p, test.source, test.driver, test.text), " "); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// TestFlush looks at the order: what waits for one destination must not keep others from theirs.
func TestFlush(t *testing.T) {
	var l lab
	p := Compile(&Graph{
		Sources: []Source{{Name: "s1", Channels: [][]Element{nil}}},
		Paths: []*Statement{
			log(FlowControl, l.send("d1")), log(0, keep("a"), l.send("d2")), log(0, l.send("d1")), log(FlowControl, keep("a"), l.send("d3")),
			log(0, keep("x"), l.send("d4")),
		},
	})
	r := p.NewRouter()
	for _, test := range []struct{ text, want string }{
		{"a", "flush d2 flush d1 flush d3"},
		{"b", "flush d1"},
		{"", ""},
	} {
		if test.text != "" {
			l.route(r, p, "s1", 0, test.text)
			l.route(r, p, "s1", 0, test.text)
		}
		l.lines = nil
		r.Flush(nil)
		if got := strings.Join(l.lines, " "); got != test.want {
			t.Errorf("after %q: %s, want %s", test.text, got, test.want)
		}
	}
}

func TestTrace(t *testing.T) {
	var l lab
	inner := log(Final, keep("x"))
	inner.Name = "inner"
	outer := log(DropUnmatched, add("1"), when("x", nil, nil), &Tee{Elements: list(l.send("d1"))}, junct(inner))
	outer.Name = "outer"
	p := Compile(&Graph{Sources: []Source{{Name: "s1", Channels: [][]Element{nil}}}, Paths: []*Statement{outer}})
	r := p.NewRouter()
	var got []string
	r.Trace = func(e Event) {
		what := map[EventKind]string{Enter: "enter ", Exit: "exit "}[e.Kind]
		switch e := e.Element.(type) {
		case *Work:
			what = e.Kind
		case *Send:
			what = "send"
		case *If:
			what = "if"
		case *Junction:
			what = "junction"
		case nil:
			what += "source"
		}
		if e.Statement != nil {
			what = strings.TrimSuffix(what, "source") + e.Statement.Name
		}
		if e.Kind != Enter {
			what += map[bool]string{true: " yes", false: " no"}[e.Matched]
		}
		got = append(got, what+" "+string(e.Message.Msg))
	}
	l.route(r, p, "s1", 0, "a")
	want := []string{
		"enter outer a", "rewrite yes a1", "if no a1", "send yes a1", "enter inner a1", "filter no a1", "exit inner no a1",
		"junction no a1", "exit outer yes a", "source yes a",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// A grower makes a random graph of bytes; there is an end to them.
type grower struct {
	lab
	bytes     []byte
	junctions int // each may double what follows
}

func (g *grower) take(n int) int {
	if len(g.bytes) == 0 {
		return 0
	}
	b := g.bytes[0]
	g.bytes = g.bytes[1:]
	return int(b) % n
}

func (g *grower) letter() string { return "abcd"[g.take(4):][:1] }

func (g *grower) elements(depth int) (list []Element) {
	for len(g.bytes) > 0 {
		switch g.take(10) {
		case 0, 1:
			return list
		case 2:
			list = append(list, keep(g.letter()))
		case 3:
			list = append(list, add(g.letter()))
		case 4:
			list = append(list, parse(g.letter()+g.letter()))
		case 5:
			list = append(list, g.send("d"+g.letter()))
		case 6:
			if depth > 0 {
				cond := []Step{filter(g.letter()), parser(g.letter() + g.letter())}[g.take(2)]
				list = append(list, &If{Cond: cond, Then: g.elements(depth - 1), Else: g.elements(depth - 1)})
			}
		case 7:
			if depth > 0 {
				list = append(list, &Tee{Elements: g.elements(depth - 1)})
			}
		default:
			if g.junctions++; depth > 0 && g.junctions < 8 {
				list = append(list, &Junction{Embedded: g.take(2) == 0, Branches: g.statements(depth - 1)})
			}
		}
	}
	return list
}

func (g *grower) statements(depth int) (list []*Statement) {
	for range 1 + g.take(3) {
		list = append(list, &Statement{Flags: Flags(g.take(32)) &^ Catchall, Elements: g.elements(depth)})
	}
	return list
}

func (g *grower) graph() *Graph {
	graph := &Graph{
		Sources: []Source{
			{Name: "s1", Channels: [][]Element{g.elements(1), g.elements(1)}},
			{Name: "s2", Inline: true, Channels: [][]Element{nil}},
		},
		Paths:                    g.statements(3),
		UnmatchedEmbeddedRefuses: g.take(2) == 1,
	}
	for _, path := range graph.Paths {
		path.Sources = [][]string{{"s1"}, {"s2"}, {"s2", "s1"}, {"s1", "s1"}}[g.take(4)]
		path.Flags |= Flags(g.take(2)) * Catchall
	}
	return graph
}

// FuzzRoute compares the compiled program with the naive walk of its tree, for random trees and messages.
func FuzzRoute(f *testing.F) {
	f.Add([]byte("\x00\x00\x02\x03\x05\x01\x08\x01\x02\x05\x00"), "ab", "c")
	f.Add([]byte("\x03\x00\x00\x02\x0c\x08\x00\x01\x04\x02\x01\x05\x01\x00\x08\x03\x01\x05\x02"), "", "abcd")
	f.Fuzz(func(t *testing.T, tree []byte, first, second string) {
		if len(tree) > 200 || len(first)+len(second) > 100 {
			return
		}
		l := &grower{bytes: tree}
		g := l.graph()
		p := Compile(g)
		r := p.NewRouter()
		for _, text := range []string{first, second} {
			for source, drivers := range []int{2, 1} {
				for driver := range drivers {
					got := l.route(r, p, g.Sources[source].Name, driver, text)
					want := (&walker{graph: g}).route(source, driver, text)
					if !slices.Equal(got, want) {
						t.Fatalf("source %d.%d, %q: %q, want %q", source, driver, text, got, want)
					}
				}
			}
		}
	})
}

// nowhere takes messages and forgets them.
type nowhere struct{}

func (nowhere) NewBatch() Batch           { return nowhere{} }
func (nowhere) Add(*logmsg.Message, bool) {}
func (nowhere) Flush(*logmsg.Receipt)     {}

// graphs are small and large ones, for measurements.
func graphs() map[string][]*Statement {
	to := func(name string) Element { return &Send{Name: name, Sink: nowhere{}} }
	return map[string][]*Statement{
		"one path": {log(0, to("d1"))},
		"five paths": {
			log(Final, keep("x"), to("d1")), log(0, keep("y"), to("d2")), log(0, keep("a"), to("d3")), log(0, keep("b"), to("d4")),
			log(Fallback, to("d1")),
		},
		"changed and embedded": {
			log(0, add("1"), embed(log(Final, parse("x2"), to("d1")), log(0, add("3"), to("d2")), log(FlowControl, to("d3")))),
			log(0, junct(log(0, keep("a"), add("4")), log(Fallback, add("5"))), when("4", list(to("d1")), list(to("d2")))),
		},
	}
}

func TestAllocs(t *testing.T) {
	for name, paths := range graphs() {
		p := Compile(&Graph{Sources: []Source{{Name: "s1", Channels: [][]Element{nil}}}, Paths: paths})
		r, m, text := p.NewRouter(), &logmsg.Message{}, []byte("ab")
		got := testing.AllocsPerRun(100, func() {
			m.Reset(origin, syslog.Time{})
			m.Msg = text
			r.Route(p.Entry("s1", 0), m)
			r.Flush(nil)
		})
		if got != 0 {
			t.Errorf("%s: %v allocations a message, want none", name, got)
		}
	}
}

func BenchmarkRoute(b *testing.B) {
	for _, name := range []string{"one path", "five paths", "changed and embedded"} {
		b.Run(name, func(b *testing.B) {
			p := Compile(&Graph{Sources: []Source{{Name: "s1", Channels: [][]Element{nil}}}, Paths: graphs()[name]})
			r, m, text, entry := p.NewRouter(), &logmsg.Message{}, []byte("ab"), p.Entry("s1", 0)
			b.ReportAllocs()
			for b.Loop() {
				m.Reset(origin, syslog.Time{})
				m.Msg = text
				r.Route(entry, m)
				r.Flush(nil)
			}
		})
	}
}
