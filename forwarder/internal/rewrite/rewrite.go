// Package rewrite changes messages: it sets, substitutes, renames and unsets values, sets tags, the priority and the zone.
// A rewrite is decoded from the configuration, then readied by Init; after that any number of goroutines may use it. It
// never refuses a message.
package rewrite

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/match"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

// A Rewrite is one driver with its options.
type Rewrite interface {
	// Init checks the options, which have been decoded, and readies the rewrite. Its error is an *option.Error.
	Init() error
	// Process changes m; it is true.
	Process(m *logmsg.Message) bool
	// Modifies is true.
	Modifies() bool
}

// Drivers makes a rewrite of each driver, with its defaults.
var Drivers = map[string]func() Rewrite{
	"set":           func() Rewrite { return &Set{} },
	"subst":         func() Rewrite { return &Subst{} },
	"unset":         func() Rewrite { return &Unset{} },
	"rename":        func() Rewrite { return &Rename{} },
	"groupset":      func() Rewrite { return &Group{} },
	"groupunset":    func() Rewrite { return &Group{unset: true} },
	"set_tag":       func() Rewrite { return &Tag{} },
	"clear_tag":     func() Rewrite { return &Tag{clear: true} },
	"set_pri":       func() Rewrite { return &Priority{parse: parsePri} },
	"set_severity":  func() Rewrite { return &Priority{parse: parseSeverity} },
	"set_facility":  func() Rewrite { return &Priority{parse: parseFacility} },
	"set_time_zone": func() Rewrite { return &TimeZone{TimeStamp: "stamp"} },
	"fix_time_zone": func() Rewrite { return &TimeZone{TimeStamp: "stamp", fix: true} },
	"mask":          func() Rewrite { return &Mask{Mask: "*"} },
	"set_matches":   func() Rewrite { return &Matches{} },
	"unset_matches": func() Rewrite { return &Matches{unset: true} },
}

// A Common has the options of all rewrites.
type Common struct {
	Condition *filter.Expr `toml:"condition"` // nil: always
}

// Modifies is true.
func (c *Common) Modifies() bool { return true }

func (c *Common) applies(m *logmsg.Message) bool { return c.Condition == nil || c.Condition.Match(m) }

// settable resolves the name of a value that can be set.
func settable(key, name string) (logmsg.Name, error) {
	switch {
	case name == "":
		return logmsg.Name{}, option.Errorf(key, "the name of a value is required")
	case template.IsMacro(name):
		return logmsg.Name{}, option.Errorf(key, "%s is a macro, it cannot be set", name)
	}
	return logmsg.NameOf(name), nil
}

func required(key string, t *template.Template) error {
	if t == nil {
		return option.Errorf(key, "a template is required")
	}
	return nil
}

// Set gives a value.
type Set struct {
	Common
	Value    string             `toml:"value"`    // the name
	Template *template.Template `toml:"template"` // the value

	name logmsg.Name
}

// Init readies the rewrite.
func (s *Set) Init() (err error) {
	if s.name, err = settable("value", s.Value); err != nil {
		return err
	}
	return required("template", s.Template)
}

// Process changes m.
func (s *Set) Process(m *logmsg.Message) bool {
	if s.applies(m) {
		m.SetArena(s.name, s.Template.Append(m.Arena(), m, nil))
	}
	return true
}

// Subst replaces what a pattern matches in a value.
type Subst struct {
	Common
	Value       string             `toml:"value"`
	Pattern     string             `toml:"pattern"`
	Replacement *template.Template `toml:"replacement"` // $1 is the first group
	Type        string             `toml:"type"`        // pcre, string, glob
	Flags       []string           `toml:"flags"`

	name    logmsg.Name
	matcher *match.Matcher
	most    int // replacements
}

// Init readies the rewrite.
func (s *Subst) Init() (err error) {
	if s.name, err = settable("value", s.Value); err != nil {
		return err
	}
	o := match.Options{Type: s.Type, Flags: s.Flags}
	if s.matcher, err = match.Compile(s.Pattern, o); err != nil {
		return option.Errorf("pattern", "%w", err)
	}
	if s.most = 1; o.Has("global") {
		s.most = -1
	}
	return required("replacement", s.Replacement)
}

// Process changes m.
func (s *Subst) Process(m *logmsg.Message) bool {
	if !s.applies(m) {
		return true
	}
	value := m.Value(s.name)
	if !s.matcher.Match(value) {
		return true
	}
	var out []byte
	at := 0
	for _, loc := range s.matcher.FindAll(value, s.most) {
		if s.Type == "" || s.Type == "pcre" {
			filter.StoreGroups(s.matcher, m, value, loc, "")
			filter.StoreNumbers(m, value, loc)
		}
		out = append(out, value[at:loc[0]]...)
		out = s.Replacement.Append(out, m, nil)
		at = loc[1]
	}
	m.Set(s.name, append(out, value[at:]...))
	return true
}

// Unset takes a value away.
type Unset struct {
	Common
	Value string `toml:"value"`

	name logmsg.Name
}

// Init readies the rewrite.
func (u *Unset) Init() (err error) {
	u.name, err = settable("value", u.Value)
	return err
}

// Process changes m.
func (u *Unset) Process(m *logmsg.Message) bool {
	if u.applies(m) {
		m.Unset(u.name)
	}
	return true
}

// Rename gives a value another name, if it is set.
type Rename struct {
	Common
	From string `toml:"from"`
	To   string `toml:"to"`

	from, to logmsg.Name
}

// Init readies the rewrite.
func (r *Rename) Init() (err error) {
	if r.from, err = settable("from", r.From); err != nil {
		return err
	}
	r.to, err = settable("to", r.To)
	return err
}

// Process changes m.
func (r *Rename) Process(m *logmsg.Message) bool {
	if !r.applies(m) || r.From == r.To {
		return true
	}
	if value := m.Value(r.from); value != nil {
		m.Set(r.to, value)
		m.Unset(r.from)
	}
	return true
}

// Group sets or unsets all values whose names match one of the globs.
type Group struct {
	Common
	Values   []string           `toml:"values"`
	Template *template.Template `toml:"template"` // of groupset; $_ is the old value

	unset bool
	globs []*match.Matcher
}

// Init readies the rewrite.
func (g *Group) Init() error {
	if len(g.Values) == 0 {
		return option.Errorf("values", "a list of globs is required")
	}
	for i, glob := range g.Values {
		m, err := match.Compile(glob, match.Options{Type: "glob"})
		if err != nil {
			return option.Errorf(fmt.Sprintf("values[%d]", i), "%w", err)
		}
		g.globs = append(g.globs, m)
	}
	switch {
	case g.unset && g.Template != nil:
		return option.Errorf("template", "groupunset has none")
	case !g.unset:
		return required("template", g.Template)
	}
	return nil
}

// Process changes m.
func (g *Group) Process(m *logmsg.Message) bool {
	if !g.applies(m) {
		return true
	}
	m.Names(func(n logmsg.Name) {
		name := []byte(n.String())
		if !slices.ContainsFunc(g.globs, func(glob *match.Matcher) bool { return glob.Match(name) }) {
			return
		}
		if g.unset {
			m.Unset(n)
			return
		}
		m.Item = m.Macro(n)
		m.Set(n, g.Template.Append(nil, m, nil))
		m.Item = nil
	})
	return true
}

// Tag sets or clears a tag.
type Tag struct {
	Common
	Tag *template.Template `toml:"tag"`

	clear bool
}

// Init readies the rewrite.
func (t *Tag) Init() error {
	if t.Tag != nil {
		if tag, ok := t.Tag.Literal(); ok {
			logmsg.KnowTag(tag)
		}
	}
	return required("tag", t.Tag)
}

// Process changes m.
func (t *Tag) Process(m *logmsg.Message) bool {
	if !t.applies(m) {
		return true
	}
	tag := string(t.Tag.Append(nil, m, nil))
	if t.clear {
		m.ClearTag(tag)
	} else {
		m.SetTag(tag)
	}
	return true
}

// Priority sets the priority, the severity or the facility. A text that is none leaves the message as it is.
type Priority struct {
	Common
	Template *template.Template `toml:"template"`

	parse     func(text string, old syslog.Priority) (syslog.Priority, error)
	literal   string // the text, if it is the same for all messages
	isLiteral bool
}

// Greater numbers are a mistake for set_pri and set_facility.
const (
	maxPriority = 1023
	maxFacility = 127
)

func parsePri(text string, old syslog.Priority) (p syslog.Priority, err error) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return old, fmt.Errorf("%q is not a number", text)
		}
		if p = p*10 + syslog.Priority(c-'0'); p > maxPriority {
			return old, fmt.Errorf("%s is more than %d", text, maxPriority)
		}
	}
	if text == "" {
		return old, fmt.Errorf("the priority is empty")
	}
	return p, nil
}

func parseSeverity(text string, old syslog.Priority) (syslog.Priority, error) {
	s, err := syslog.ParseSeverity(text)
	return syslog.NewPriority(old.Facility(), s), err
}

func parseFacility(text string, old syslog.Priority) (syslog.Priority, error) {
	f, err := syslog.ParseFacility(text)
	if err == nil && f > maxFacility {
		err = fmt.Errorf("%s is more than %d", text, maxFacility)
	}
	return syslog.NewPriority(f, old.Severity()), err
}

// Init readies the rewrite.
func (p *Priority) Init() error {
	if p.Template != nil {
		p.literal, p.isLiteral = p.Template.Literal()
	}
	return required("template", p.Template)
}

// Process changes m.
func (p *Priority) Process(m *logmsg.Message) bool {
	if !p.applies(m) {
		return true
	}
	text := p.literal
	if !p.isLiteral {
		text = string(p.Template.Append(nil, m, nil))
	}
	if v, err := p.parse(strings.TrimSpace(text), m.Priority); err == nil {
		m.Priority = v
	}
	return true
}

// TimeZone writes a time of the message in another zone; fix_time_zone keeps the wall clock and changes the moment.
type TimeZone struct {
	Common
	Zone      option.Zone `toml:"zone"`
	TimeStamp string      `toml:"time_stamp"` // stamp or recvd

	fix bool
}

// Init readies the rewrite.
func (z *TimeZone) Init() error {
	if z.Zone.Location == nil {
		return option.Errorf("zone", "a time zone is required")
	}
	if z.TimeStamp != "stamp" && z.TimeStamp != "recvd" {
		return option.Errorf("time_stamp", "%q is neither stamp nor recvd", z.TimeStamp)
	}
	return nil
}

// Process changes m.
func (z *TimeZone) Process(m *logmsg.Message) bool {
	if !z.applies(m) {
		return true
	}
	at := &m.Timestamp
	if z.TimeStamp == "recvd" {
		at = &m.Received
	}
	t := at.Time()
	if z.fix {
		t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), z.Zone.Location)
	}
	*at = syslog.TimeOf(t.In(z.Zone.Location))
	return true
}

// Mask hides what a pattern matches in a value, one character for each.
type Mask struct {
	Common
	Value   string   `toml:"value"`
	Pattern string   `toml:"pattern"`
	Flags   []string `toml:"flags"`
	Mask    string   `toml:"mask"`

	name    logmsg.Name
	matcher *match.Matcher
}

// Init readies the rewrite.
func (k *Mask) Init() (err error) {
	if k.name, err = settable("value", k.Value); err != nil {
		return err
	}
	if k.Pattern == "" {
		return option.Errorf("pattern", "a regular expression is required")
	}
	if k.matcher, err = match.Compile(k.Pattern, match.Options{Flags: k.Flags}); err != nil {
		return option.Errorf("pattern", "%w", err)
	}
	return nil
}

// Process changes m.
func (k *Mask) Process(m *logmsg.Message) bool {
	if !k.applies(m) {
		return true
	}
	value := m.Value(k.name)
	if !k.matcher.Match(value) {
		return true
	}
	var out []byte
	at := 0
	for _, loc := range k.matcher.FindAll(value, -1) {
		out = append(out, value[at:loc[0]]...)
		out = append(out, strings.Repeat(k.Mask, utf8.RuneCount(value[loc[0]:loc[1]]))...)
		at = loc[1]
	}
	m.Set(k.name, append(out, value[at:]...))
	return true
}
