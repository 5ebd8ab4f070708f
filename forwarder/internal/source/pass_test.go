package source

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/rewrite"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

// A bsd is a destination that writes RFC 3164.
type bsd struct {
	syslog.Formatter
	text     []byte
	messages int
}

func (b *bsd) NewBatch() logpath.Batch { return b }
func (b *bsd) SendsLines() bool        { return true }
func (b *bsd) Flush(*logmsg.Receipt)   {}
func (b *bsd) Add(m *logmsg.Message, _ bool) {
	b.messages += max(1, len(m.Lines()))
	if line := m.Line(); line != nil {
		b.text = append(b.text, line...)
		return
	}
	b.text = append(b.AppendRFC3164(b.text, &m.Message), '\n')
}

func passing(t *testing.T, sink logpath.Sink, elements []logpath.Element, set func(c *Common)) *reader {
	t.Helper()
	globals := option.Defaults()
	globals.KeepHostname = true
	d := Drivers["network"](&globals)
	set(d.Settings())
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	program := logpath.Compile(&logpath.Graph{
		Sources: []logpath.Source{{Name: "s", Channels: [][]logpath.Element{nil}}},
		Paths:   []*logpath.Statement{{Name: "all", Sources: []string{"s"}, Elements: append(elements, &logpath.Send{Name: "d", Sink: sink})}},
	})
	r := NewInput("s", d, program, program.Entry("s", 0), slog.New(slog.DiscardHandler)).newReader()
	r.parser.KeepLine = true
	return r
}

// TestPass: a stream leaves the same whether its plain lines are parsed or not.
func TestPass(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 1))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	var stream strings.Builder
	for range 2000 {
		if random.IntN(2) == 0 {
			stream.WriteString(pick("<13>", "<191>") + "Nov  1 10:00:00 h app: " + pick("one", "two words") + pick("\n", "\n\n", "\n\r\n\n"))
			continue
		}
		stream.WriteString(pick("<13>", "<0>", "<191>", "<013>", "", "<13", "<13>1 ") + pick("Nov  1 10:00:00", "Nov  1 10:00:01", "Nov 01 10:00:00", "nov  1 10:00:00",
			"Feb 31 10:00:00", "Nov  1 10:00:00.5", "2023-11-01T10:00:00Z", "Nov  1 10:00:00 2023", "") + pick(" ", " ", "  ", ": ", "") +
			pick("h", "192.0.2.1", "a.host.of.some.length", "2001:db8::1", "h[1]", "Message forwarded from h", "last message repeated 2 times", strings.Repeat("h", 254+random.IntN(4)), "") +
			pick(" ", " ", "  ", "") + pick("app[7]: ", "app: ", "app ", "[7]", ":", "") + pick("text", "more text: of it", "\x00", "\xff", "") +
			pick("\n", "\n", "\r\n", "\n\n", "\x00\n", "\x00"))
	}
	sent, messages := map[bool]string{}, map[bool]int{}
	for _, parsed := range []bool{false, true} {
		sink := &bsd{}
		r := passing(t, sink, nil, func(*Common) {})
		r.keepsLines = r.keepsLines && !parsed
		plain := 0
		f, rest := syslog.Framer{KeepEnd: true}, []byte(stream.String())
		for len(rest) > 0 {
			r.begin()
			r.now = syslog.TimeOf(time.Date(2023, 11, 1, 10, 0, 0, 0, time.Local))
			n, err := r.frames(&f, rest[:min(len(rest), 5000)])
			if err != nil || r.passes == parsed {
				t.Fatalf("%v, passes: %v", err, r.passes)
			}
			r.flush()
			if rest = rest[n:]; n == 0 {
				break
			}
		}
		for line := range strings.Lines(string(sink.text)) {
			if r.parser.IsPlain([]byte(line), r.now) {
				plain++
			}
		}
		if plain < 50 {
			t.Errorf("%d of the messages are plain: too few to try it", plain)
		}
		sent[parsed], messages[parsed] = string(sink.text), sink.messages
		if received := r.readers.counts().Received; received != uint64(sink.messages) {
			t.Errorf("%d messages were received, the destination got %d", received, sink.messages)
		}
	}
	if messages[true] != messages[false] {
		t.Errorf("%d messages, parsed %d", messages[false], messages[true])
	}
	if sent[true] != sent[false] {
		parsed, passed := strings.SplitAfter(sent[true], "\n"), strings.SplitAfter(sent[false], "\n")
		for i, line := range parsed {
			if i >= len(passed) || passed[i] != line {
				t.Fatalf("%d of %d lines, %d: the first that differs is %q, parsed %q", len(passed), len(parsed), i, passed[min(i, len(passed)-1)], line)
			}
		}
	}
}

// TestPassNot: where something looks at messages, or changes them, they are parsed.
func TestPassNot(t *testing.T) {
	nothing := func(*Common) {}
	work := []logpath.Element{&logpath.Work{Kind: "rewrite", Step: &rewrite.Set{Value: "PROGRAM", Template: template.Must("p")}}}
	for name, test := range map[string]struct {
		sink     logpath.Sink
		elements []logpath.Element
		set      func(c *Common)
	}{
		"a rewrite":                     {&bsd{}, work, nothing},
		"a destination that formats":    {&nowhere{}, nil, nothing},
		"one of two":                    {&bsd{}, []logpath.Element{&logpath.Send{Name: "e", Sink: &nowhere{}}}, nothing},
		"an embedded statement":         {&bsd{}, []logpath.Element{&logpath.Junction{Embedded: true, Branches: []*logpath.Statement{{Name: "i"}}}}, nothing},
		"keep_hostname = false":         {&bsd{}, nil, func(c *Common) { c.KeepHostname = false }},
		"keep_timestamp = false":        {&bsd{}, nil, func(c *Common) { c.KeepTimestamp = false }},
		"host_override":                 {&bsd{}, nil, func(c *Common) { c.HostOverride = "h" }},
		"program_override":              {&bsd{}, nil, func(c *Common) { c.ProgramOverride = "p" }},
		`flags = ["no_multi_line"]`:     {&bsd{}, nil, func(c *Common) { c.Flags = []string{"no_multi_line"} }},
		`flags = ["sanitize_utf8"]`:     {&bsd{}, nil, func(c *Common) { c.Flags = []string{"sanitize_utf8"} }},
		`flags = ["store_raw_message"]`: {&bsd{}, nil, func(c *Common) { c.Flags = []string{"store_raw_message"} }},
	} {
		r := passing(t, test.sink, test.elements, test.set)
		if r.begin(); r.passes {
			t.Errorf("%s: lines are not parsed", name)
		}
		r.flush()
	}
	r := passing(t, &bsd{}, nil, nothing)
	if r.begin(); !r.passes {
		t.Error("lines are parsed")
	}
	r.flush()
	var tap logpath.Tap
	var seen []string
	see := func(e logpath.Event) { seen = append(seen, string(e.Message.Msg)) }
	tap.Store(&see)
	r.Tap = &tap
	r.begin()
	if _, err := r.frames(&syslog.Framer{KeepEnd: true}, []byte("<13>Nov  1 10:00:00 h app: text\n")); err != nil || r.passes || !slices.Contains(seen, "text") {
		t.Errorf("%v, passes: %v, the tap has seen %q", err, r.passes, seen)
	}
	r.flush()
}
