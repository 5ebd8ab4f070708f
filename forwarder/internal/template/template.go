// Package template writes text from a message: syslog-ng's macros, name-value pairs and template functions.
//
//	"$ISODATE $HOST $MSGHDR$MSG\n"   macros; text directly after a name needs ${HOST}
//	"${user:-nobody}"                a default for what is unset or empty
//	"$(uppercase $PROGRAM)"          a function; its arguments are templates, quoted or not
//	"$$"                             a dollar
//
// An unknown name is an empty value.
package template

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/pkg/syslog"
)

// A Template is a parsed template. It is ready for use after Resolve, by any number of goroutines.
type Template struct {
	text  string
	parts []part
	// pending are what Resolve has to do.
	pending []func(*Env) error
	uses    []string // templates that it uses
	escape  bool     // its own, where it is used by its name
	formats Formats  // without a context
}

// A part appends its text.
type part interface {
	append(dst []byte, m *logmsg.Message, c *Context) []byte
}

// Env is what the names in templates stand for.
type Env struct {
	Templates map[string]*Template
	// Formats are those of templates that are written without a context.
	Formats Formats
	// Condition compiles a filter expression, for $(if).
	Condition func(expr string) (func(m *logmsg.Message) bool, error)
}

// TimeFormat is how $DATE, $STAMP and the like are written.
type TimeFormat uint8

// The time formats.
const (
	RFC3164 TimeFormat = iota // Oct 11 22:14:15
	RFC3339                   // 2023-10-11T22:14:15+02:00
	Full                      // 2023 Oct 11 22:14:15
	Unix                      // 1697062455
)

var timeFormats = map[string]TimeFormat{
	"rfc3164": RFC3164, "bsd": RFC3164, "rfc3339": RFC3339, "iso": RFC3339, "full": Full, "unix": Unix, "utc": Unix,
}

// String is the name of the format.
func (f TimeFormat) String() string { return [...]string{"rfc3164", "rfc3339", "full", "unix"}[f] }

// UnmarshalText reads the name of a time format.
func (f *TimeFormat) UnmarshalText(text []byte) error {
	v, ok := timeFormats[string(text)]
	if !ok {
		return fmt.Errorf("time format %q is not known, want rfc3164, rfc3339, full or unix", text)
	}
	*f = v
	return nil
}

// Formats are how times are written.
type Formats struct {
	TimeFormat TimeFormat
	FracDigits int            // of a second, 0 to 6
	Zone       *time.Location // nil: that of each stamp
}

// A Context is how one user of templates wants them written. One goroutine uses it at a time.
type Context struct {
	syslog.Formatter
	TimeFormat TimeFormat
	Zone       *time.Location // nil: that of each stamp
	Escape     bool           // quotes and backslashes in values get a backslash, but not in what functions make of them
	Sequence   uint64         // the number of a message of this host; 0: none
}

// Set makes c write times by f.
func (c *Context) Set(f Formats) {
	c.TimeFormat, c.FracDigits, c.Zone = f.TimeFormat, f.FracDigits, f.Zone
}

var contexts = sync.Pool{New: func() any { return new(Context) }}

// Append appends the text for m. Without a context the formats are those of the Env.
func (t *Template) Append(dst []byte, m *logmsg.Message, c *Context) []byte {
	if c != nil {
		return t.append(dst, m, c)
	}
	c = contexts.Get().(*Context)
	c.Set(t.formats)
	dst = t.append(dst, m, c)
	contexts.Put(c)
	return dst
}

// SetEscape makes the template escape values where it is used by its name, whatever the context says.
func (t *Template) SetEscape(escape bool) { t.escape = escape }

func (t *Template) append(dst []byte, m *logmsg.Message, c *Context) []byte {
	for _, p := range t.parts {
		dst = p.append(dst, m, c)
	}
	return dst
}

// AppendParts is Append where edit changes what follows start: what each macro or function has appended.
func (t *Template) AppendParts(dst []byte, m *logmsg.Message, c *Context, edit func(dst []byte, start int) []byte) []byte {
	for _, p := range t.parts {
		start := len(dst)
		dst = p.append(dst, m, c)
		if _, ok := p.(literal); !ok {
			dst = edit(dst, start)
		}
	}
	return dst
}

// SetZone makes times be written in a zone, without a context; nil: that of each stamp.
func (t *Template) SetZone(zone *time.Location) { t.formats.Zone = zone }

// String is the template as written.
func (t *Template) String() string { return t.text }

// Literal returns the text of a template without macros.
func (t *Template) Literal() (string, bool) {
	switch len(t.parts) {
	case 0:
		return "", true
	case 1:
		l, ok := t.parts[0].(literal)
		return string(l), ok
	}
	return "", false
}

// UnmarshalText is Parse.
func (t *Template) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*t = *parsed
	return nil
}

// Must is Parse for templates of our own.
func Must(text string) *Template {
	t, err := Parse(text)
	if err != nil {
		panic(err)
	}
	if err := t.Resolve(&Env{}); err != nil {
		panic(err)
	}
	return t
}

// Uses are the templates that the template names.
func (t *Template) Uses() []string { return t.uses }

// Resolve finds what the template names.
func (t *Template) Resolve(env *Env) error {
	for _, resolve := range t.pending {
		if err := resolve(env); err != nil {
			return err
		}
	}
	t.formats = env.Formats
	return t.checkUses(env, nil, map[string]bool{})
}

// checkUses looks for the templates that t uses, in any depth. path is how t was come by, done has those that are all right.
func (t *Template) checkUses(env *Env, path []string, done map[string]bool) error {
	for _, name := range t.uses {
		used := env.Templates[name]
		switch {
		case used == nil:
			return fmt.Errorf("no template %q", name)
		case slices.Contains(path, name):
			return fmt.Errorf("template %q uses itself: %s", name, strings.Join(append(path, name), " -> "))
		case !done[name]:
			if err := used.checkUses(env, append(path, name), done); err != nil {
				return err
			}
			done[name] = true
		}
	}
	return nil
}

// Parse reads a template. The error says where it is wrong.
func Parse(text string) (*Template, error) {
	p := parser{text: text, t: &Template{text: text}}
	if err := p.parse(); err != nil {
		return nil, fmt.Errorf("template %q: at %d: %w", text, p.pos+1, err)
	}
	return p.t, nil
}

type parser struct {
	text string
	pos  int
	t    *Template
	lit  []byte
}

func (p *parser) flush() {
	if len(p.lit) > 0 {
		p.t.parts = append(p.t.parts, literal(p.lit))
		p.lit = nil
	}
}

func (p *parser) parse() error {
	for p.pos < len(p.text) {
		rest := p.text[p.pos:]
		if rest[0] != '$' {
			n := strings.IndexByte(rest, '$')
			if n < 0 {
				n = len(rest)
			}
			p.lit = append(p.lit, rest[:n]...)
			p.pos += n
			continue
		}
		if err := p.dollar(rest[1:]); err != nil {
			return err
		}
	}
	p.flush()
	return nil
}

// dollar reads what begins with a dollar; rest is behind it.
func (p *parser) dollar(rest string) error {
	switch {
	case strings.HasPrefix(rest, "$"):
		p.lit = append(p.lit, '$')
		p.pos += 2
		return nil
	case strings.HasPrefix(rest, "*"):
		p.flush()
		p.t.parts = append(p.t.parts, macro(appendMatches))
		p.pos += 2
		return nil
	case rest == "" || rest[0] != '{' && rest[0] != '(' && !isNameByte(rest[0]): // it stands for itself
		p.lit = append(p.lit, '$')
		p.pos++
		return nil
	case rest[0] == '{':
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return fmt.Errorf("} is missing")
		}
		p.flush()
		name, def, _ := strings.Cut(rest[1:end], ":-")
		p.t.parts = append(p.t.parts, macroPart(name, def))
		p.pos += end + 2
	case rest[0] == '(':
		end := closing(rest)
		if end < 0 {
			return fmt.Errorf(") is missing")
		}
		p.flush()
		f, err := parseCall(p.t, rest[1:end])
		if err != nil {
			return err
		}
		p.t.parts = append(p.t.parts, unescaped{f})
		p.pos += end + 2
	default:
		n := 0
		for n < len(rest) && isNameByte(rest[n]) {
			n++
		}
		p.flush()
		p.t.parts = append(p.t.parts, macroPart(rest[:n], ""))
		p.pos += n + 1
	}
	if rest[0] == '{' || rest[0] == '(' {
		p.reference()
	}
	return nil
}

// reference reads what follows } or ): @N asks for the Nth message before this one in a context of correlation. There is
// none, so that but for N = 0 the macro stands for nothing. @@ is an @.
func (p *parser) reference() {
	rest := p.text[p.pos:]
	if strings.HasPrefix(rest, "@@") {
		p.lit = append(p.lit, '@')
		p.pos += 2
		return
	}
	n := 0
	for n+1 < len(rest) && rest[0] == '@' && '0' <= rest[n+1] && rest[n+1] <= '9' {
		n++
	}
	if n == 0 {
		return
	}
	if strings.Trim(rest[1:n+1], "0") != "" {
		p.t.parts[len(p.t.parts)-1] = literal(nil)
	}
	p.pos += n + 1
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// closing is where the parenthesis that text begins with is closed, -1 if it is not.
func closing(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		case '"', '\'':
			for i++; i < len(text) && text[i] != c; i++ {
			}
		case '\\':
			i++
		}
	}
	return -1
}

// A literal is text as it stands.
type literal []byte

func (l literal) append(dst []byte, _ *logmsg.Message, _ *Context) []byte { return append(dst, l...) }

// A value is a name-value pair.
type value struct{ name logmsg.Name }

func (v value) append(dst []byte, m *logmsg.Message, c *Context) []byte {
	return c.appendValue(dst, m.Macro(v.name))
}

func (c *Context) appendValue(dst, text []byte) []byte {
	if !c.Escape {
		return append(dst, text...)
	}
	for _, b := range text {
		switch {
		case b == '"' || b == '\'' || b == '\\':
			dst = append(dst, '\\', b)
		case b < ' ':
			dst = append(dst, '\\', '0'+b>>6, '0'+b>>3&7, '0'+b&7)
		default:
			dst = append(dst, b)
		}
	}
	return dst
}

// A macro is computed from the message.
type macro func(dst []byte, m *logmsg.Message, c *Context) []byte

func (f macro) append(dst []byte, m *logmsg.Message, c *Context) []byte { return f(dst, m, c) }

// withDefault appends a text where its part appends nothing.
type withDefault struct {
	part
	text string
}

func (d withDefault) append(dst []byte, m *logmsg.Message, c *Context) []byte {
	start := len(dst)
	if dst = d.part.append(dst, m, c); len(dst) == start {
		dst = append(dst, d.text...)
	}
	return dst
}

func macroPart(name, def string) part {
	var p part
	switch f := macroOf(name); {
	case f != nil:
		p = f
	case name == "_":
		p = macro(func(dst []byte, m *logmsg.Message, _ *Context) []byte { return append(dst, m.Item...) })
	default:
		p = value{logmsg.NameOf(name)}
	}
	if def != "" {
		return withDefault{p, def}
	}
	return p
}

// IsMacro tells whether a name stands for something computed, which cannot be set.
func IsMacro(name string) bool { return macroOf(name) != nil }

// parseInt reads a whole number, blanks before it do not matter.
func parseInt(text []byte) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimLeft(string(text), " \t"), 10, 64)
	return n, err == nil
}
