package filter

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/match"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
)

// field makes a function that looks for a pattern in a field.
func field(name string) function {
	return func(p *parser, n *node) error { return p.pattern(n, logmsg.NameOf(name), false) }
}

// anyField is match(): in a value, in a template, or in MSGHDR and MESSAGE.
func anyField(p *parser, n *node) error { return p.pattern(n, logmsg.Name{}, true) }

// headerAndText is where match() looks unless told otherwise.
var headerAndText = template.Must("$MSGHDR$MESSAGE")

func (p *parser) pattern(n *node, name logmsg.Name, choose bool) error {
	if p.tok.kind != tokenString && p.tok.kind != tokenWord {
		return p.unexpected("a pattern")
	}
	pattern, at := p.tok.text, p.tok
	if err := p.advance(); err != nil {
		return err
	}
	o, err := p.patternOptions(choose)
	if err != nil {
		return err
	}
	m, err := match.Compile(pattern, o.Options)
	if err != nil {
		p.tok = at
		return err
	}
	in := o.in
	if choose && in == nil {
		in = headerAndText
	}
	get := func(m *logmsg.Message) []byte {
		if in != nil {
			return in.Append(nil, m, nil)
		}
		return m.Value(name)
	}
	if o.value != "" {
		name, in = logmsg.NameOf(o.value), nil
		if template.IsMacro(o.value) {
			if in, err = p.template("${" + o.value + "}"); err != nil {
				return err
			}
		}
	}
	n.why = func(m *logmsg.Message) string { return fmt.Sprintf("%q", get(m)) }
	switch {
	case o.Has("store_matches"):
		p.expr.modifies = true
		n.test = func(msg *logmsg.Message) bool { return storeMatches(m, msg, get(msg)) }
	case in == nil && name.Field() == logmsg.Text:
		n.test = func(msg *logmsg.Message) bool { return m.Match(msg.Msg) }
	case in == nil && name.Field() == logmsg.Program:
		n.test = func(msg *logmsg.Message) bool { return m.Match(msg.AppName) }
	default:
		n.test = func(msg *logmsg.Message) bool { return m.Match(get(msg)) }
	}
	return nil
}

type patternOptions struct {
	match.Options
	value string
	in    *template.Template
}

// patternOptions reads type(), flags(), value() and template().
func (p *parser) patternOptions(choose bool) (o patternOptions, err error) {
	for {
		if p.is(tokenSign, ",") {
			if err := p.advance(); err != nil {
				return o, err
			}
		}
		if p.tok.kind != tokenWord {
			return o, nil
		}
		name := option.Flag(p.tok.text)
		if !slices.Contains([]string{"type", "flags"}, name) && !(choose && (name == "value" || name == "template")) {
			return o, p.unexpected("type, flags" + map[bool]string{true: ", value, template"}[choose])
		}
		if err := p.advance(); err != nil {
			return o, err
		}
		if err := p.expect("("); err != nil {
			return o, err
		}
		err := p.list("a value", func(text string) (err error) {
			switch name {
			case "type":
				o.Type = text
			case "flags":
				o.Flags = append(o.Flags, text)
			case "value":
				o.value = text
			case "template":
				o.in, err = p.template(text)
			}
			return err
		})
		if err != nil {
			return o, err
		}
		if err := p.expect(")"); err != nil {
			return o, err
		}
	}
}

func netmask(p *parser, n *node) error  { return p.netmask(n, false) }
func netmask6(p *parser, n *node) error { return p.netmask(n, true) }

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func (p *parser) netmask(n *node, six bool) error {
	return p.list("an address with a mask", func(text string) error {
		prefix, err := parseNetmask(text)
		if err != nil {
			return err
		}
		if prefix.Addr().Is6() != six {
			return fmt.Errorf("%q is not for this function: netmask is for IPv4, netmask6 for IPv6", text)
		}
		n.why = func(m *logmsg.Message) string { return m.Origin.Peer.String() }
		n.test = func(m *logmsg.Message) bool {
			peer := m.Origin.Peer.Unmap()
			if !peer.IsValid() {
				peer = loopback
			}
			return prefix.Contains(peer)
		}
		return nil
	})
}

// parseNetmask reads an address, with the number of its bits or a mask behind a slash.
func parseNetmask(text string) (netip.Prefix, error) {
	host, mask, ok := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an address", host)
	}
	bits := addr.BitLen()
	if ok {
		if m, err := netip.ParseAddr(mask); err == nil && m.Is4() && addr.Is4() {
			bits = maskBits(m.As4())
		} else if _, err := fmt.Sscanf(mask, "%d", &bits); err != nil {
			bits = -1
		}
		if bits < 0 || bits > addr.BitLen() {
			return netip.Prefix{}, fmt.Errorf("%q is not a mask of an address", mask)
		}
	}
	return netip.PrefixFrom(addr, bits).Masked(), nil
}

// maskBits counts the ones of a mask, -1 if they are not all in front.
func maskBits(mask [4]byte) int {
	bits, open := 0, true
	for _, b := range mask {
		for i := 7; i >= 0; i-- {
			switch one := b>>i&1 == 1; {
			case one && !open:
				return -1
			case one:
				bits++
			default:
				open = false
			}
		}
	}
	return bits
}

func tags(p *parser, n *node) error {
	var list []string
	n.test = func(m *logmsg.Message) bool { return slices.ContainsFunc(list, m.HasTag) }
	n.why = func(m *logmsg.Message) string { return quoteList(m.Tags()) }
	return p.list("a tag", func(text string) error {
		list = append(list, text)
		return nil
	})
}

func inList(p *parser, n *node) error {
	if p.tok.kind != tokenString {
		return p.unexpected("the name of a file")
	}
	file := p.tok.text
	if err := p.advance(); err != nil {
		return err
	}
	o, err := p.patternOptions(true)
	if err != nil {
		return err
	}
	if o.value == "" {
		return fmt.Errorf("in_list(%q) has no value(): whose value should be in the list?", file)
	}
	value, err := p.template("${" + o.value + "}")
	if err != nil {
		return err
	}
	known := map[string]bool{}
	p.expr.pending = append(p.expr.pending, func(env *Env) error {
		read := env.ReadFile
		if read == nil {
			read = os.ReadFile
		}
		data, err := read(file)
		for line := range bytes.Lines(data) {
			known[string(bytes.TrimRight(line, "\r\n"))] = true
		}
		return err
	})
	n.why = func(m *logmsg.Message) string { return fmt.Sprintf("%q", value.Append(nil, m, nil)) }
	n.test = func(m *logmsg.Message) bool { return known[string(value.Append(nil, m, nil))] }
	return nil
}

// reference is filter(name).
func reference(p *parser, n *node) error {
	n.op = opFilter
	if p.tok.kind != tokenWord && p.tok.kind != tokenString {
		return p.unexpected("the name of a filter")
	}
	p.expr.uses = append(p.expr.uses, use{p.tok.text, n})
	return p.advance()
}

func unknown(name string, env *Env) error {
	names := []string{}
	for n := range env.Filters {
		names = append(names, n)
	}
	return &UnknownError{Name: name, Known: names}
}

// An UnknownError is about a filter that is not defined.
type UnknownError struct {
	Name  string
	Known []string
}

func (e *UnknownError) Error() string { return fmt.Sprintf("no filter %q", e.Name) }

func cycle(path []string) error {
	return fmt.Errorf("filter %q uses itself: %s", path[len(path)-1], strings.Join(path, " -> "))
}

func vipHeld(p *parser, n *node) error {
	if p.tok.kind != tokenString && p.tok.kind != tokenWord {
		return p.unexpected("an address")
	}
	text := p.tok.text
	if _, err := netip.ParseAddr(text); err != nil {
		return fmt.Errorf("%q is not an address", text)
	}
	held := func() bool { return false }
	p.expr.pending = append(p.expr.pending, func(env *Env) (err error) {
		if env.VIPHeld == nil {
			return fmt.Errorf("vip_held(%q) is not possible here", text)
		}
		held, err = env.VIPHeld(text)
		return err
	})
	n.test = func(*logmsg.Message) bool { return held() }
	return p.advance()
}
