package source

import (
	"log/slog"
	"testing"

	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/parser"
	"kad/forwarder/internal/rewrite"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

// A formatter is a destination that writes a template and forgets.
type formatter struct {
	nowhere
	template *template.Template
	context  template.Context
}

func (f *formatter) NewBatch() logpath.Batch { return f }
func (f *formatter) Add(m *logmsg.Message, _ bool) {
	f.text = f.template.Append(f.text, m, &f.context)
}

// raceDetector tells that the race detector is on, which allocates for itself.
var raceDetector bool

// TestAllocations: a message goes from its frame through parsers, filters and rewrites into the batch of a destination
// without an allocation.
func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates for itself")
	}
	globals := option.Defaults()
	globals.KeepHostname = true
	d := Drivers["network"](&globals)
	csv := parser.Drivers["csv"]().(*parser.CSV)
	csv.Columns, csv.Delimiters, csv.Prefix = []string{"how", "what"}, " ", "c."
	severity := rewrite.Drivers["set_severity"]().(*rewrite.Priority)
	severity.Template = template.Must("crit")
	steps := []interface {
		Init() error
		logpath.Step
	}{csv, &rewrite.Set{Value: "PROGRAM", Template: template.Must("p-$PROGRAM")}, &rewrite.Unset{Value: "PID"}, severity}
	var elements []logpath.Element
	for _, text := range []string{`facility(auth, authpriv) and level(info..emerg)`, `host("^host[0-9]+\\.") and not program("cron" type(string))`, `message("Accepted (publickey|password)")`, `"$LEVEL_NUM" >= "3" and netmask("127.0.0.0/8")`} {
		e, err := filter.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Resolve(&filter.Env{Template: func(t *template.Template) error { return t.Resolve(&template.Env{}) }}); err != nil {
			t.Fatal(err)
		}
		elements = append(elements, &logpath.Work{Kind: "filter", Step: e})
	}
	for _, s := range steps {
		if err := s.Init(); err != nil {
			t.Fatal(err)
		}
		elements = append(elements, &logpath.Work{Kind: "rewrite", Step: s})
	}
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	sink := &formatter{template: template.Must("<$PRI>$ISODATE $HOST $MSGHDR$MSG ${c.how} ${none:-x}\n")}
	program := logpath.Compile(&logpath.Graph{
		Sources: []logpath.Source{{Name: "s", Channels: [][]logpath.Element{nil}}},
		Paths: []*logpath.Statement{
			{Name: "a", Sources: []string{"s"}, Elements: append(elements, &logpath.Send{Name: "d", Sink: sink})},
			{Name: "b", Sources: []string{"s"}, Elements: []logpath.Element{&logpath.Send{Name: "d", Sink: sink}}, Flags: logpath.Final},
		},
	})
	r := NewInput("s", d, program, program.Entry("s", 0), slog.New(slog.DiscardHandler)).newReader()
	line := []byte("<86>Nov 22 01:14:15 host17.example.com sshd[4242]: Accepted publickey for root\n")
	var f syslog.Framer
	sent := 0
	n := testing.AllocsPerRun(100, func() {
		r.begin()
		if _, err := r.frames(&f, line); err != nil {
			t.Fatal(err)
		}
		sent = len(sink.text)
		r.flush()
	})
	if want := 150; n != 0 || sent < want {
		t.Errorf("%v allocations, %d bytes sent, want 0 and %d", n, sent, want)
	}
}
