// Package filter decides about messages: syslog-ng's filter expressions.
//
//	facility(auth, authpriv) and level(warning..emerg) and not program("sudo")
//	"$LEVEL_NUM" < "4" or match('user=(?<user>\w+)' value("MESSAGE") flags(store-matches))
//
// not binds closer than and, and closer than or; a semicolon is an and that binds least of all. An [Expr] is read first
// and resolved later, when the filters and templates that it names are known.
package filter

import (
	"bytes"
	"net/netip"
	"slices"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/match"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

// An Expr is a filter expression. After Resolve any number of goroutines may use it.
type Expr struct {
	text     string
	root     *node
	pending  []func(*Env) error
	uses     []use
	modifies bool
	varies   bool // it depends on messages before
}

// A use is a filter that an expression names.
type use struct {
	name string
	node *node
}

// Env is what the names in expressions stand for.
type Env struct {
	Filters map[string]*Expr
	// Template resolves a template.
	Template func(t *template.Template) error
	// StringComparison makes == and the like compare texts, as they do since version 4; else numbers.
	StringComparison bool
	// VIPHeld returns a function that tells whether this host holds an address.
	VIPHeld func(addr netip.Addr) (held func() bool, err error)
	// ReadFile reads the file of in_list.
	ReadFile func(name string) ([]byte, error)
}

type operation uint8

const (
	opTest operation = iota
	opAnd
	opOr
	opNot
	opFacility
	opSeverity
	opFilter
)

// A node is a part of an expression.
type node struct {
	op         operation
	text       string // as written
	kids       []*node
	facilities syslog.FacilitySet
	numbers    []syslog.Facility // facilities that are in no set
	severities syslog.SeveritySet
	test       func(m *logmsg.Message) bool
	why        func(m *logmsg.Message) string // what the test looked at
}

// Match tells whether the expression is true for m.
func (e *Expr) Match(m *logmsg.Message) bool { return e.root.match(m) }

// Process is Match, for log paths.
func (e *Expr) Process(m *logmsg.Message) bool { return e.root.match(m) }

// Modifies tells whether the expression stores what it matched in the message.
func (e *Expr) Modifies() bool { return e.modifies }

// Varies tells whether the expression may answer otherwise when it is asked again about the same message.
func (e *Expr) Varies() bool { return e.varies }

// String is the expression as written.
func (e *Expr) String() string { return e.text }

func (n *node) match(m *logmsg.Message) bool {
	switch n.op {
	case opFacility:
		return n.hasFacility(m.Priority.Facility())
	case opSeverity:
		return n.severities.Has(m.Priority.Severity())
	case opAnd:
		for _, k := range n.kids {
			if !k.match(m) {
				return false
			}
		}
		return true
	case opOr:
		for _, k := range n.kids {
			if k.match(m) {
				return true
			}
		}
		return false
	case opNot:
		return !n.kids[0].match(m)
	case opFilter:
		return n.kids[0].match(m)
	}
	return n.test(m)
}

func (n *node) hasFacility(f syslog.Facility) bool {
	return n.facilities.Has(f) || slices.Contains(n.numbers, f)
}

// UnmarshalText is Parse.
func (e *Expr) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*e = *parsed
	return nil
}

// Uses are the filters that the expression names.
func (e *Expr) Uses() (names []string) {
	for _, u := range e.uses {
		names = append(names, u.name)
	}
	return names
}

// Resolve finds what the expression names.
func (e *Expr) Resolve(env *Env) error {
	for _, resolve := range e.pending {
		if err := resolve(env); err != nil {
			return err
		}
	}
	e.pending = nil
	return e.resolveUses(env, nil, map[string]bool{})
}

// resolveUses ties the filters in that e names, whether or not they are resolved themselves yet. path is how e was come by,
// done has the filters that are tied in.
func (e *Expr) resolveUses(env *Env, path []string, done map[string]bool) error {
	for _, u := range e.uses {
		used := env.Filters[u.name]
		switch {
		case used == nil:
			return unknown(u.name, env)
		case slices.Contains(path, u.name):
			return cycle(append(path, u.name))
		case !done[u.name]:
			if err := used.resolveUses(env, append(path, u.name), done); err != nil {
				return err
			}
			done[u.name] = true
		}
		u.node.kids = []*node{used.root}
		e.modifies, e.varies = e.modifies || used.modifies, e.varies || used.varies
	}
	return nil
}

// A Verdict is what one part of an expression said of a message.
type Verdict struct {
	Text    string // the part as written
	Matched bool
	Why     string // what it looked at, if that tells more
	Depth   int
	Skipped bool // it did not matter any more
}

// Explain evaluates the expression and tells what each part said. It changes m only as Match does.
func (e *Expr) Explain(m *logmsg.Message) (verdicts []Verdict, matched bool) {
	matched = e.root.explain(m, 0, &verdicts)
	return verdicts, matched
}

func (n *node) explain(m *logmsg.Message, depth int, out *[]Verdict) bool {
	at := len(*out)
	*out = append(*out, Verdict{Text: n.text, Depth: depth})
	result := n.op == opAnd
	switch n.op {
	case opAnd, opOr:
		for i, k := range n.kids {
			if i > 0 && result == (n.op == opOr) {
				*out = append(*out, Verdict{Text: k.text, Depth: depth + 1, Skipped: true})
				continue
			}
			result = k.explain(m, depth+1, out)
		}
	case opNot:
		result = !n.kids[0].explain(m, depth+1, out)
	case opFilter:
		result = n.kids[0].explain(m, depth+1, out)
	default:
		result = n.match(m)
	}
	(*out)[at].Matched = result
	if n.why != nil {
		(*out)[at].Why = n.why(m)
	}
	return result
}

// storeMatches keeps what the groups of a regular expression matched: $0, $1, and the names.
func storeMatches(p *match.Matcher, m *logmsg.Message, value []byte) bool {
	if !p.HasGroups() {
		return p.Match(value)
	}
	loc := p.Find(value)
	if loc == nil {
		return false
	}
	StoreGroups(p, m, value, loc, "")
	StoreNumbers(m, value, loc)
	return true
}

// StoreGroups keeps what the named groups of a pattern matched at loc in value.
func StoreGroups(p *match.Matcher, m *logmsg.Message, value []byte, loc []int, prefix string) {
	for i, name := range p.Groups() {
		if name != "" && loc[2*i] >= 0 {
			m.Set(logmsg.NameOf(prefix+name), value[loc[2*i]:loc[2*i+1]])
		}
	}
}

// StoreNumbers keeps what the numbered groups matched at loc in value, $0 is all of it. What an earlier match left goes, but
// for groups before the last one that matched now.
func StoreNumbers(m *logmsg.Message, value []byte, loc []int) {
	last := 0
	for i := 0; 2*i < len(loc) && i < len(logmsg.Matches); i++ {
		if loc[2*i] >= 0 {
			m.Set(logmsg.Matches[i], value[loc[2*i]:loc[2*i+1]])
			last = i
		}
	}
	forget(m, last+1)
}

// forget takes the values of the numbered groups from the one of number first on.
func forget(m *logmsg.Message, first int) {
	for _, name := range logmsg.Matches[first:] {
		m.Unset(name)
	}
}

// StoreItems keeps items as $1, $2, ...; there is no $0 then.
func StoreItems(m *logmsg.Message, items [][]byte) {
	m.Unset(logmsg.Matches[0])
	items = items[:min(len(items), len(logmsg.Matches)-1)]
	for i, item := range items {
		m.Set(logmsg.Matches[i+1], item)
	}
	forget(m, len(items)+1)
}

// atoi reads a number as C does: what comes before the first character that does not fit.
func atoi(text []byte) (n int64) {
	text = bytes.TrimLeft(text, " \t\n\v\f\r")
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative, text = text[0] == '-', text[1:]
	}
	for _, c := range text {
		if c < '0' || c > '9' || n > 1<<59 {
			break
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		return -n
	}
	return n
}
