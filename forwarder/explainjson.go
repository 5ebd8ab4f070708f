package main

import (
	"net/netip"
	"unicode/utf8"

	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/source"
)

// An explanation is what explain -o json writes of one message.
type explanation struct {
	Schema     int        `json:"schema"` // 1
	Source     string     `json:"source"`
	Paths      []*walk    `json:"paths"`      // log statements that the message came to, in their order
	Deliveries []delivery `json:"deliveries"` // in the order in which they are handed over
}

// A walk is what happened in a log statement or a channel.
type walk struct {
	Name      string   `json:"name"`
	Flags     []string `json:"flags,omitempty"`
	Processed bool     `json:"processed"`
	Steps     []*turn  `json:"steps"`
}

// A turn is that of one element of a log path.
type turn struct {
	Kind     string `json:"kind"` // filter, parser, rewrite, if, junction, destination, log
	Name     string `json:"name,omitempty"`
	Accepted bool   `json:"accepted"` // the message goes on; of an if: its condition is true
	Log      *walk  `json:"log,omitempty"`
}

// A delivery is what a destination gets.
type delivery struct {
	Destination string `json:"destination"`
	To          string `json:"to,omitempty"`    // the path of a file, an address, a command
	Text        string `json:"text,omitempty"`  // if it is UTF-8
	Bytes       []byte `json:"bytes,omitempty"` // else, by base64
}

func (d *delivery) data() []byte {
	if d.Bytes != nil {
		return d.Bytes
	}
	return []byte(d.Text)
}

// explainJSON takes a frame through the log paths.
func explainJSON(in *source.Input, frame []byte, peer netip.Addr) *explanation {
	e := &explanation{Schema: 1, Paths: []*walk{}, Deliveries: []delivery{}}
	var open []*walk
	in.Inject(frame, peer, func(ev logpath.Event) {
		e.Source = string(ev.Message.Origin.Source)
		switch ev.Kind {
		case logpath.Enter:
			w := &walk{Name: ev.Statement.Name, Flags: flagWords(ev.Statement.Flags), Steps: []*turn{}}
			if len(open) == 0 {
				e.Paths = append(e.Paths, w)
			} else {
				last := open[len(open)-1]
				last.Steps = append(last.Steps, &turn{Kind: "log", Name: w.Name, Log: w})
			}
			open = append(open, w)
		case logpath.Exit:
			w := open[len(open)-1]
			w.Processed = ev.Matched
			if open = open[:len(open)-1]; len(open) > 0 {
				steps := open[len(open)-1].Steps
				steps[len(steps)-1].Accepted = ev.Matched
			}
		case logpath.Node:
			if t := e.turn(ev); t != nil && len(open) > 0 {
				last := open[len(open)-1]
				last.Steps = append(last.Steps, t)
			}
		}
	})
	return e
}

// turn describes the turn of an element; one that sends is noted as a delivery too.
func (e *explanation) turn(ev logpath.Event) *turn {
	t := &turn{Accepted: ev.Matched}
	switch el := ev.Element.(type) {
	case *logpath.Work:
		t.Kind, t.Name = el.Kind, el.Name
	case *logpath.If:
		t.Kind, t.Name = "if", el.Name
	case *logpath.Junction:
		t.Kind = "junction"
	case *logpath.Send:
		t.Kind, t.Name = "destination", el.Name
		if d, ok := el.Sink.(*destination.Destination); ok {
			e.deliver(d, ev)
		}
	default:
		return nil
	}
	return t
}

func (e *explanation) deliver(d *destination.Destination, ev logpath.Event) {
	text, to := d.Render(ev.Message)
	out := delivery{Destination: d.Name, To: to}
	if utf8.Valid(text) {
		out.Text = string(text)
	} else {
		out.Bytes = text
	}
	e.Deliveries = append(e.Deliveries, out)
}
