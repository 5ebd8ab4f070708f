package filter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/match"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
)

// field makes a function that looks for a pattern in a field.
func field(name, kind string) function {
	return func(p *parser, n *node) error {
		return p.pattern(n, subject{name: logmsg.NameOf(name)}, kind, "type", "flags")
	}
}

// anyField is match(): in a value, in a template, or in MSGHDR and MESSAGE.
func anyField(p *parser, n *node) error {
	return p.pattern(n, subject{template: headerAndText()}, "", "type", "flags", "value", "template")
}

// headerAndText is where match() looks unless told otherwise.
var headerAndText = sync.OnceValue(func() *template.Template { return template.Must("$MSGHDR$MESSAGE") })

// A subject is what a pattern is looked for in: a template, or the value of a name.
type subject struct {
	template *template.Template
	name     logmsg.Name
}

// ask asks f about the text.
func (s *subject) ask(m *logmsg.Message, f func(m *logmsg.Message, text []byte) bool) bool {
	if s.template == nil {
		return f(m, m.Value(s.name))
	}
	b := buffers.Get().(*buffer)
	b.left = s.template.Append(b.left[:0], m, nil)
	answer := f(m, b.left)
	buffers.Put(b)
	return answer
}

// text is a copy of the text, in quotes.
func (s *subject) text(m *logmsg.Message) (text string) {
	s.ask(m, func(_ *logmsg.Message, b []byte) bool {
		text = strconv.Quote(string(b))
		return true
	})
	return text
}

// pattern reads a pattern of a kind, and those of its options that are allowed.
func (p *parser) pattern(n *node, in subject, kind string, allowed ...string) error {
	at := p.tok
	if err := p.one("a pattern", ignore); err != nil {
		return err
	}
	o := patternOptions{Options: match.Options{Type: kind}, in: in}
	if err := p.patternOptions(&o, allowed...); err != nil {
		return err
	}
	matcher, err := match.Compile(at.text, o.Options)
	if err != nil {
		p.tok = at
		return err
	}
	n.why = o.in.text
	test := func(_ *logmsg.Message, text []byte) bool { return matcher.Match(text) }
	switch name := o.in.name; {
	case o.Has("store_matches"):
		p.expr.modifies = true
		test = func(m *logmsg.Message, text []byte) bool { return storeMatches(matcher, m, text) }
	case o.in.template == nil: // the usual one: with fewer calls
		n.test = func(m *logmsg.Message) bool { return matcher.Match(m.Value(name)) }
		return nil
	}
	n.test = func(m *logmsg.Message) bool { return o.in.ask(m, test) }
	return nil
}

// ignore reads what is known from the token.
func ignore(string) error { return nil }

type patternOptions struct {
	match.Options
	in subject
}

// patternOptions reads those of type(), flags(), value() and template() that are allowed.
func (p *parser) patternOptions(o *patternOptions, allowed ...string) error {
	for {
		if p.is(tokenSign, ",") {
			if err := p.advance(); err != nil {
				return err
			}
		}
		if p.tok.kind != tokenWord {
			return nil
		}
		name := option.Flag(p.tok.text)
		if !slices.Contains(allowed, name) {
			return p.unexpected(strings.Join(allowed, ", "))
		}
		if err := p.advance(); err != nil {
			return err
		}
		if err := p.expect("("); err != nil {
			return err
		}
		if err := p.list("a value", func(text string) error { return p.patternOption(o, name, text) }); err != nil {
			return err
		}
		if err := p.expect(")"); err != nil {
			return err
		}
	}
}

func (p *parser) patternOption(o *patternOptions, name, text string) (err error) {
	switch name {
	case "type":
		o.Type = text
	case "flags":
		o.Flags = append(o.Flags, text)
	case "value":
		text = strings.TrimPrefix(text, "$") // a name, not a template
		o.in = subject{name: logmsg.NameOf(text)}
		if template.IsMacro(text) {
			o.in.template, err = p.template("${" + text + "}")
		}
	case "template":
		o.in.template, err = p.template(text)
	}
	return err
}

func netmask(p *parser, n *node) error  { return p.netmask(n, false) }
func netmask6(p *parser, n *node) error { return p.netmask(n, true) }

// loopback is the sender of messages of this host.
var loopback = map[bool]netip.Addr{false: netip.AddrFrom4([4]byte{127, 0, 0, 1}), true: netip.IPv6Loopback()}

func (p *parser) netmask(n *node, six bool) error {
	sender := func(m *logmsg.Message) netip.Addr {
		if peer := m.Origin.Peer.Unmap(); peer.IsValid() {
			return peer
		}
		return loopback[six]
	}
	return p.one("an address with a mask", func(text string) error {
		prefix, err := parseNetmask(text)
		if err != nil {
			return err
		}
		if prefix.Addr().Is6() != six {
			return fmt.Errorf("%q is not for this function: netmask is for IPv4, netmask6 for IPv6", text)
		}
		n.why = func(m *logmsg.Message) string { return sender(m).String() }
		n.test = func(m *logmsg.Message) bool { return prefix.Contains(sender(m)) }
		return nil
	})
}

// parseNetmask reads an address, with the number of its bits or a mask behind a slash.
func parseNetmask(text string) (netip.Prefix, error) {
	host, mask, masked := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is not an address", host)
	}
	length := addr.BitLen()
	if masked {
		if length, err = strconv.Atoi(mask); err != nil {
			length = -1
			if m, err := netip.ParseAddr(mask); err == nil && m.Is4() && addr.Is4() {
				length = maskBits(m.As4())
			}
		}
	}
	prefix := netip.PrefixFrom(addr, length).Masked()
	if !prefix.IsValid() {
		return netip.Prefix{}, fmt.Errorf("%q is not a mask of an address", mask)
	}
	return prefix, nil
}

// maskBits counts the ones of a mask, -1 if they are not all in front.
func maskBits(mask [4]byte) int {
	n := binary.BigEndian.Uint32(mask[:])
	ones := bits.LeadingZeros32(^n)
	if n<<ones != 0 {
		return -1
	}
	return ones
}

func tags(p *parser, n *node) error {
	var list []string
	n.test = func(m *logmsg.Message) bool { return slices.ContainsFunc(list, m.HasTag) }
	n.why = func(m *logmsg.Message) string { return strings.Join(m.Tags(), ", ") }
	return p.list("a tag", func(text string) error {
		list = append(list, text)
		return nil
	})
}

func inList(p *parser, n *node) error {
	file := p.tok.text
	if err := p.one("the name of a file", ignore); err != nil {
		return err
	}
	var o patternOptions
	if err := p.valueInPlace(&o); err != nil {
		return err
	}
	if err := p.patternOptions(&o, "value"); err != nil {
		return err
	}
	if o.in == (subject{}) {
		return fmt.Errorf("in_list(%q) has no value(): whose value should be in the list?", file)
	}
	known := map[string]bool{}
	p.expr.pending = append(p.expr.pending, func(env *Env) error {
		read := env.ReadFile
		if read == nil {
			read = os.ReadFile
		}
		data, err := read(file)
		if err != nil {
			return fmt.Errorf("in_list(%q): %w", file, err)
		}
		for line := range bytes.Lines(data) {
			if text := bytes.TrimRight(line, "\r\n"); len(text) > 0 {
				known[string(text)] = true
			}
		}
		return nil
	})
	isKnown := func(_ *logmsg.Message, text []byte) bool { return known[string(text)] }
	n.why = o.in.text
	n.test = func(m *logmsg.Message) bool { return o.in.ask(m, isKnown) }
	return nil
}

// valueInPlace reads the second argument of in_list("file", "name"), a name without value().
func (p *parser) valueInPlace(o *patternOptions) error {
	if p.is(tokenSign, ",") {
		if err := p.advance(); err != nil {
			return err
		}
	}
	if p.tok.kind != tokenString {
		return nil
	}
	return p.one("a name", func(text string) error { return p.patternOption(o, "value", text) })
}

// reference is filter(name).
func reference(p *parser, n *node) error {
	n.op = opFilter
	p.expr.uses = append(p.expr.uses, use{p.tok.text, n})
	return p.one("the name of a filter", ignore)
}

func unknown(name string, env *Env) error {
	return &UnknownError{Name: name, Known: slices.Sorted(maps.Keys(env.Filters))}
}

// An UnknownError is about a filter that is not defined.
type UnknownError struct {
	Name  string
	Known []string // those that are, sorted
}

func (e *UnknownError) Error() string { return fmt.Sprintf("no filter %q", e.Name) }

func cycle(path []string) error {
	return fmt.Errorf("filter %q uses itself: %s", path[len(path)-1], strings.Join(path, " -> "))
}

// vipHeld is vip_held(address): true while this host holds it.
func vipHeld(p *parser, n *node) error {
	held := func() bool { return false }
	n.test = func(*logmsg.Message) bool { return held() }
	return p.one("an address", func(text string) error {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("%q is not an address", text)
		}
		p.expr.pending = append(p.expr.pending, func(env *Env) error {
			h, err := env.VIPHeld(addr)
			if err != nil {
				return fmt.Errorf("vip_held(%q): %w", text, err)
			}
			held = h
			return nil
		})
		return nil
	})
}
