package daemon

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"kad/forwarder/internal/config"
	"kad/forwarder/internal/control"
	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/template"
)

// A tap gives those who look what passes a point. It never waits for them.
type tap struct {
	at       func(e logpath.Event) bool
	filter   *filter.Expr // nil: all messages
	template *template.Template
	rate     int64 // messages a second

	second, taken atomic.Int64 // the second that is now, and how many messages it had
	lines         chan string
	dropped       atomic.Uint64 // that passed and are not in lines
}

const (
	maxTaps  = 16
	tapLines = 256 // that wait for who looks
)

// tapFormat is how a message is shown that no destination has formatted.
var tapFormat = sync.OnceValue(func() *template.Template { return template.Must("$ISODATE $HOST $MSGHDR$MSG") })

// Tap begins to look at a point.
func (e engine) Tap(o control.TapOptions) (t *control.Tap, err error) {
	if !e.do(func() { t, err = e.openTap(o) }) {
		err = fmt.Errorf("forwarder stops")
	}
	return t, err
}

func (e engine) openTap(o control.TapOptions) (*control.Tap, error) {
	if len(e.taps) == maxTaps {
		return nil, fmt.Errorf("there are %d taps already", maxTaps)
	}
	at, err := findPoint(e.config, o.Point)
	if err != nil {
		return nil, err
	}
	t := &tap{at: at, rate: int64(o.Rate), lines: make(chan string, tapLines)}
	if t.filter, err = e.config.Filter(o.Filter); err != nil {
		return nil, control.BadRequest(fmt.Errorf("filter: %w", err))
	}
	if t.filter != nil && t.filter.Modifies() {
		return nil, control.BadRequest(fmt.Errorf("filter: %s stores what it matches, which would change the messages", t.filter))
	}
	if t.template, err = e.config.Template(o.Template); err != nil {
		return nil, control.BadRequest(fmt.Errorf("template: %w", err))
	}
	e.setTaps(append(slices.Clone(e.taps), t))
	return &control.Tap{Lines: t.lines, Dropped: t.dropped.Load, Close: func() {
		e.do(func() {
			e.setTaps(slices.DeleteFunc(slices.Clone(e.taps), func(other *tap) bool { return other == t }))
		})
	}}, nil
}

// setTaps changes who looks. Readers take notice at their next read.
func (d *Daemon) setTaps(taps []*tap) {
	d.taps = taps
	if len(taps) == 0 {
		d.tapped.Store(nil)
		return
	}
	see := func(e logpath.Event) {
		for _, t := range taps {
			t.see(e)
		}
	}
	d.tapped.Store(&see)
}

// see is called by the goroutines that read messages.
func (t *tap) see(e logpath.Event) {
	if !t.at(e) || t.filter != nil && !t.filter.Match(e.Message) {
		return
	}
	if now := e.Message.Received.Sec; t.second.Swap(now) != now {
		t.taken.Store(0)
	}
	if t.taken.Add(1) > t.rate || len(t.lines) == cap(t.lines) {
		t.dropped.Add(1)
		return
	}
	select {
	case t.lines <- t.text(e):
	default:
		t.dropped.Add(1)
	}
}

// text is the message as the template has it, else as the destination would send it.
func (t *tap) text(e logpath.Event) string {
	if t.template != nil {
		return string(t.template.Append(nil, e.Message, nil))
	}
	if send, ok := e.Element.(*logpath.Send); ok {
		if d, ok := send.Sink.(*destination.Destination); ok {
			text, _ := d.Render(e.Message)
			return strings.TrimRight(string(text), "\n")
		}
	}
	return string(tapFormat().Append(nil, e.Message, nil))
}

// findPoint finds a point by its name, "source.s_net", "log.auth" or "destination.d", or by what follows the dot if there is one of
// that name only. It returns what tells whether a message passes there.
func findPoint(c *config.Config, name string) (at func(e logpath.Event) bool, err error) {
	points := map[string]func(e logpath.Event) bool{}
	for _, s := range c.Sources {
		points["source."+s.Name] = func(e logpath.Event) bool {
			return e.Kind == logpath.Node && e.Element == nil && string(e.Message.Value(sourceName)) == s.Name
		}
	}
	c.Graph.Each(func(name string, s *logpath.Statement) {
		// a statement that comes in its place at a reload goes on with its counter
		points["log."+name] = func(e logpath.Event) bool {
			return e.Kind == logpath.Exit && e.Matched && e.Statement.Matched == s.Matched
		}
	})
	for _, d := range c.Destinations {
		points["destination."+d.Name] = func(e logpath.Event) bool {
			send, ok := e.Element.(*logpath.Send)
			return e.Kind == logpath.Node && ok && send.Name == d.Name
		}
	}
	var known, matching []string
	for point := range points {
		known = append(known, point)
		if _, rest, _ := strings.Cut(point, "."); rest == name {
			matching = append(matching, point)
		}
	}
	slices.Sort(known)
	slices.Sort(matching)
	switch at, ok := points[name]; {
	case ok:
		return at, nil
	case len(matching) == 1:
		return points[matching[0]], nil
	case len(matching) > 1:
		return nil, control.BadRequest(fmt.Errorf("%q is not one point, want one of %s", name, strings.Join(matching, ", ")))
	}
	return nil, control.NotFound("no point", name, known)
}

var sourceName = logmsg.NameOf("SOURCE")
