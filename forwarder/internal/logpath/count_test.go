package logpath

import (
	"maps"
	"sync/atomic"
	"testing"

	"kad/forwarder/internal/logmsg"
	"kad/pkg/syslog"
)

// Statements count what they have processed, and one that is given a counter goes on with it.
func TestMatched(t *testing.T) {
	var l lab
	top := log(0, keep("a"), embed(&Statement{Name: "b", Elements: list(keep("b"), l.send("d"))}, &Statement{Name: "c", Elements: list(keep("c"))}))
	top.Name = "top"
	rest := log(Fallback, l.send("d"))
	rest.Name, rest.Matched = "rest", new(atomic.Uint64)
	rest.Matched.Add(10)
	g := &Graph{Sources: []Source{{Name: "s1", Channels: [][]Element{nil}}}, Paths: []*Statement{top, rest}}
	p := Compile(g)
	r := p.NewRouter()
	counts := func() map[string]uint64 {
		got := map[string]uint64{}
		g.Each(func(name string, s *Statement) { got[name] = s.Matched.Load() })
		return got
	}
	for _, text := range []string{"ab", "a", "x", "abc"} {
		m := &logmsg.Message{}
		m.Reset(origin, syslog.Time{})
		m.Msg = []byte(text)
		r.Route(p.Entry("s1", 0), m)
	}
	if got := counts(); got["top"] != 0 {
		t.Errorf("counted before the flush: %v", got)
	}
	for range 2 {
		r.Flush(nil)
		if got, want := counts(), map[string]uint64{"top": 3, "top.b": 2, "top.c": 1, "rest": 11}; !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// A slow sink has no room until it is told.
type slow struct{ flushing, room chan struct{} }

func (s *slow) NewBatch() Batch           { return s }
func (s *slow) Add(*logmsg.Message, bool) {}
func (s *slow) Flush(*logmsg.Receipt)     { close(s.flushing); <-s.room }

func TestWaits(t *testing.T) {
	s := &slow{make(chan struct{}), make(chan struct{})}
	path := log(FlowControl, &Send{Name: "d", Sink: s})
	p := Compile(&Graph{Sources: []Source{{Name: "s1", Channels: [][]Element{nil}}}, Paths: []*Statement{path}})
	r := p.NewRouter()
	m := &logmsg.Message{}
	m.Reset(origin, syslog.Time{})
	r.Route(p.Entry("s1", 0), m)
	done := make(chan struct{})
	go func() { r.Flush(nil); close(done) }()
	<-s.flushing
	if r.Waits() != s {
		t.Errorf("got %v, want the sink", r.Waits())
	}
	close(s.room)
	<-done
	if r.Waits() != nil {
		t.Errorf("got %v, want none", r.Waits())
	}
}
