package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"kad/forwarder/internal/config"
	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/source"
	"kad/pkg/cli"
	"kad/pkg/spelling"
)

// explain prints what happens to messages: the one given, or each line of standard input.
func explain(c *cli.Context) error {
	cfg, err := load(c)
	if err != nil {
		return err
	}
	in, err := input(cfg, c.String("source"))
	if err != nil {
		return err
	}
	peer, err := netip.ParseAddr(c.String("peer"))
	if err != nil {
		return cli.Usagef("--peer: %q is not an address", c.String("peer"))
	}
	one := func(frame []byte) error {
		if c.String("output") == "json" {
			return json.NewEncoder(c.App.Writer).Encode(explainJSON(in, frame, peer))
		}
		explainMessage(c.App.Writer, cfg, in, frame, peer)
		return nil
	}
	if text := strings.Join(c.Args().Slice(), " "); text != "" {
		return one([]byte(text))
	}
	lines := bufio.NewScanner(c.App.Reader)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := one(lines.Bytes()); err != nil {
			return err
		}
		if c.String("output") == "text" {
			fmt.Fprintln(c.App.Writer)
		}
	}
	return lines.Err()
}

// input is where messages of a source enter; "" is the first one.
func input(cfg *config.Config, name string) (*source.Input, error) {
	var known []string
	for _, s := range cfg.Sources {
		if (s.Name == name || name == "") && len(s.Drivers) > 0 {
			return driverInput(cfg, s, 0), nil
		}
		known = append(known, s.Name)
	}
	if name == "" {
		return nil, fmt.Errorf("the configuration has no source")
	}
	err := fmt.Errorf("no source %q", name)
	if near := spelling.Nearest(name, known...); near != "" {
		return nil, cli.Hint(err, fmt.Sprintf("did you mean %q?", near))
	}
	return nil, err
}

// driverInput is where messages of one driver of a source enter.
func driverInput(cfg *config.Config, s *config.Source, driver int) *source.Input {
	program := logpath.Compile(cfg.Graph)
	return source.NewInput(s.Name, s.Drivers[driver], program, program.Entry(s.Name, driver), slog.New(slog.DiscardHandler))
}

func explainMessage(w io.Writer, cfg *config.Config, in *source.Input, frame []byte, peer netip.Addr) {
	e := &explainer{w: w, lenient: !cfg.Graph.UnmatchedEmbeddedRefuses}
	in.Inject(frame, peer, e.event)
	if e.sent == 0 {
		fmt.Fprintln(w, "no destination gets it")
	}
}

// An explainer writes down what a router tells.
type explainer struct {
	w       io.Writer
	depth   int
	values  []map[string]string // of the message, for each statement that is open
	lenient bool
	begun   bool
	sent    int
}

func (e *explainer) printf(format string, args ...any) {
	fmt.Fprintf(e.w, strings.Repeat("  ", e.depth)+format+"\n", args...)
}

func (e *explainer) event(ev logpath.Event) {
	switch ev.Kind {
	case logpath.Enter:
		if m := ev.Message; !e.begun {
			e.begun = true
			e.printf("source %s: %s.%s host %q program %q message %q", m.Origin.Source, m.Priority.Facility(), m.Priority.Severity(), m.Hostname, m.AppName, m.Msg)
		}
		e.printf("log %s%s", ev.Statement.Name, flagText(ev.Statement.Flags))
		e.depth++
		e.values = append(e.values, snapshot(ev.Message))
	case logpath.Exit:
		e.exit(ev)
	case logpath.Node:
		e.element(ev)
	}
}

func (e *explainer) exit(ev logpath.Event) {
	verdict := "processed"
	if !ev.Matched {
		verdict = "not processed"
	}
	if ev.Matched && ev.Statement.Flags&logpath.Final != 0 {
		verdict += ", final: the statements after it do not get the message"
	}
	e.printf("= %s", verdict)
	e.depth--
	e.values = e.values[:len(e.values)-1]
}

func (e *explainer) element(ev logpath.Event) {
	switch el := ev.Element.(type) {
	case *logpath.Work:
		e.printf("%s %s: %s", el.Kind, el.Name, verdict(ev.Matched))
		if x, ok := el.Step.(*filter.Expr); ok {
			e.verdicts(x, ev.Message)
		}
		e.changes(ev.Message)
	case *logpath.If:
		e.printf("if %s: %s", el.Name, map[bool]string{true: "then", false: "else"}[ev.Matched])
		if x, ok := el.Cond.(*filter.Expr); ok {
			e.verdicts(x, ev.Message)
		}
	case *logpath.Send:
		e.sent++
		e.send(el, ev.Message)
	case *logpath.Junction:
		if !ev.Matched && el.Embedded && e.lenient {
			e.printf("no embedded statement matched; the statement is processed all the same (options.unmatched_embedded)")
		} else if !ev.Matched {
			e.printf("no branch matched, so this statement is not processed")
		}
	}
}

func (e *explainer) send(s *logpath.Send, m *logmsg.Message) {
	d, ok := s.Sink.(*destination.Destination)
	if !ok {
		return
	}
	text, to := d.Render(m)
	if to != "" {
		to = " " + to
	}
	e.printf("-> destination %s%s: %q", s.Name, to, text)
}

func (e *explainer) verdicts(x *filter.Expr, m *logmsg.Message) {
	list, _ := x.Explain(m)
	for _, v := range list {
		line := strings.Repeat("  ", v.Depth+1) + v.Text
		if v.Skipped {
			line += ": not asked"
		} else {
			line += ": " + strconv.FormatBool(v.Matched)
		}
		if v.Why != "" {
			line += ", it is " + v.Why
		}
		e.printf("%s", line)
	}
}

func verdict(matched bool) string {
	if matched {
		return "goes on"
	}
	return "refused"
}

// snapshot is all that a step may change.
func snapshot(m *logmsg.Message) map[string]string {
	values := map[string]string{
		"PRI": fmt.Sprintf("%s.%s", m.Priority.Facility(), m.Priority.Severity()), "TAGS": strings.Join(m.Tags(), ","),
		"STAMP": m.Timestamp.Time().Format("2006-01-02T15:04:05.999999-07:00"),
	}
	m.Names(func(n logmsg.Name) { values[n.String()] = string(m.Value(n)) })
	return values
}

// changes prints what a step has changed.
func (e *explainer) changes(m *logmsg.Message) {
	if len(e.values) == 0 {
		return
	}
	old, now := e.values[len(e.values)-1], snapshot(m)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if was, ok := old[name]; !ok {
			e.printf("  %s = %q", name, now[name])
		} else if was != now[name] {
			e.printf("  %s = %q, it was %q", name, now[name], was)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, ok := now[name]; !ok {
			e.printf("  %s is unset, it was %q", name, old[name])
		}
	}
	e.values[len(e.values)-1] = now
}

func flagText(flags logpath.Flags) string {
	names := flagWords(flags)
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

func flagWords(flags logpath.Flags) (names []string) {
	for _, f := range flagNames {
		if flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	return names
}

var flagNames = []struct {
	flag logpath.Flags
	name string
}{
	{logpath.Catchall, "catchall"}, {logpath.DropUnmatched, "drop_unmatched"}, {logpath.Fallback, "fallback"}, {logpath.Final, "final"},
	{logpath.FlowControl, "flow_control"},
}

// received are the texts that each destination would get of a message.
func received(in *source.Input, frame []byte, peer netip.Addr) map[string][]string {
	got := map[string][]string{}
	for _, d := range explainJSON(in, frame, peer).Deliveries {
		got[d.Destination] = append(got[d.Destination], string(bytes.TrimSuffix(d.data(), []byte("\n"))))
	}
	return got
}
