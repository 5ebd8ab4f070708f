package template

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/match"
)

// A call is a function with its arguments.
type call struct {
	args []*Template
	run  writer
}

func (f *call) append(dst []byte, m *logmsg.Message, c *Context) []byte {
	return f.run(dst, f.args, m, c)
}

// unescaped is a function: Escape is about the macros outside of functions, as in syslog-ng.
type unescaped struct{ part }

func (u unescaped) append(dst []byte, m *logmsg.Message, c *Context) []byte {
	escape := c.Escape
	c.Escape = false
	dst = u.part.append(dst, m, c)
	c.Escape = escape
	return dst
}

// A writer appends what a function makes of its arguments.
type writer func(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte

// A function is what follows $( and how many arguments it takes.
type function struct {
	min, max int // max -1: any number
	run      writer
}

var functions = map[string]function{
	"echo":              {0, -1, echo},
	"length":            {0, -1, length},
	"substr":            {2, 3, substr},
	"strip":             {0, -1, strip},
	"uppercase":         {0, -1, transform(mapRunes(unicode.ToUpper))},
	"lowercase":         {0, -1, transform(mapRunes(unicode.ToLower))},
	"url-encode":        {0, -1, transform(func(b []byte) []byte { return []byte(strings.ReplaceAll(url.QueryEscape(string(b)), "+", "%20")) })},
	"url-decode":        {0, -1, transform(urlDecode)},
	"base64-encode":     {0, -1, base64Encode},
	"basename":          {1, 1, transform(func(b []byte) []byte { return []byte(path.Base(string(b))) })},
	"dirname":           {1, 1, transform(func(b []byte) []byte { return []byte(path.Dir(string(b))) })},
	"indent-multi-line": {1, 1, transform(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\n\t")) })},
	"replace-delimiter": {3, 3, replaceDelimiter},
	"replace":           {3, 3, replace},
	"padding":           {2, 3, padding},
	"context-length":    {0, 0, func(dst []byte, _ []*Template, _ *logmsg.Message, _ *Context) []byte { return append(dst, '1') }},
	"env":               {1, 1, environment},
	"ipv4-to-int":       {1, 1, transform(ipv4ToInt)},
	"round":             {1, 2, rounding(math.Round)},
	"ceil":              {1, 1, rounding(math.Ceil)},
	"floor":             {1, 1, rounding(math.Floor)},
	"uuid":              {0, 0, func(dst []byte, _ []*Template, _ *logmsg.Message, _ *Context) []byte { return appendUUID(dst) }},
	"+":                 {0, -1, arithmetic(add, func(a, b float64) float64 { return a + b })},
	"-":                 {0, -1, arithmetic(subtract, func(a, b float64) float64 { return a - b })},
	"*":                 {0, -1, arithmetic(multiply, func(a, b float64) float64 { return a * b })},
	"/":                 {0, -1, arithmetic(divide, func(a, b float64) float64 { return a / b })},
	"min":               {1, 1, wholeNumber},
	"max":               {1, 1, wholeNumber},
	"sum":               {1, 1, wholeNumber},
	"average":           {1, 1, wholeNumber},
	"%":                 {0, -1, arithmetic(remainder, math.Mod)},
}

// forms are the functions whose arguments are not all templates.
var forms map[string]func(t *Template, words []string) (part, error)

func init() { // they call the parser
	forms = map[string]func(t *Template, words []string) (part, error){
		"if": parseIf, "or": parseOr, "grep": parseGrep, "template": parseTemplate, "sanitize": parseSanitize,
		"format-json": parseJSON, "format-flat-json": parseFlatJSON, "format-welf": parseWELF, "map": parseMap, "filter": parseFilter,
		"names": parseNames, "values": parseValues, "list-search": parseSearch,
	}
	for name := range hashes {
		forms[name] = parseHash(name)
	}
	maps.Copy(functions, listFunctions)
}

// FunctionNames are the names of all functions, sorted.
func FunctionNames() []string {
	return slices.Sorted(func(yield func(string) bool) {
		maps.Keys(functions)(yield)
		maps.Keys(forms)(yield)
	})
}

// parseCall reads "name arg arg" for t.
func parseCall(t *Template, text string) (part, error) {
	words, err := splitWords(text)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("$() has no function")
	}
	name, words := strings.ReplaceAll(words[0], "_", "-"), words[1:]
	if form := forms[name]; form != nil {
		return form(t, words)
	}
	f, ok := functions[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("no function $(%s), want one of %s", name, strings.Join(FunctionNames(), " "))
	case len(words) < f.min:
		return nil, fmt.Errorf("$(%s) has %d arguments, want at least %d", name, len(words), f.min)
	case f.max >= 0 && len(words) > f.max:
		return nil, fmt.Errorf("$(%s) has %d arguments, want at most %d", name, len(words), f.max)
	}
	args, err := parseArgs(t, words)
	return &call{args, f.run}, err
}

func parseArgs(t *Template, words []string) (args []*Template, err error) {
	for _, w := range words {
		arg, err := t.sub(w)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	return args, nil
}

// sub parses a template within t, which resolves it.
func (t *Template) sub(text string) (*Template, error) {
	p := parser{text: text, t: &Template{text: text}}
	if err := p.parse(); err != nil {
		return nil, err
	}
	t.pending = append(t.pending, p.t.pending...)
	t.uses = append(t.uses, p.t.uses...)
	return p.t, nil
}

// splitWords parts arguments at blanks. Quotes keep them together and go away, as do backslashes outside of them; within
// parentheses they stay.
func splitWords(text string) (words []string, err error) {
	for i := 0; ; {
		for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n') {
			i++
		}
		if i == len(text) {
			return words, nil
		}
		var word []byte
		for i < len(text) && text[i] != ' ' && text[i] != '\t' && text[i] != '\n' {
			switch c := text[i]; {
			case c == '(':
				end := closing(text[i:])
				if end < 0 {
					return nil, fmt.Errorf(") is missing")
				}
				word = append(word, text[i:i+end+1]...)
				i += end + 1
			case c == '"' || c == '\'':
				end := i + 1
				for end < len(text) && text[end] != c {
					word = append(word, text[end])
					end++
				}
				if end == len(text) {
					return nil, fmt.Errorf("%c is missing", c)
				}
				i = end + 1
			case c == '\\' && i+1 < len(text):
				word = append(word, text[i+1])
				i += 2
			default:
				word = append(word, c)
				i++
			}
		}
		words = append(words, string(word))
	}
}

func parseIf(t *Template, words []string) (part, error) {
	if len(words) != 3 {
		return nil, fmt.Errorf("$(if) has %d arguments, want a condition and two templates", len(words))
	}
	args, err := parseArgs(t, words[1:])
	cond := t.condition("if", words[0])
	return macro(func(dst []byte, m *logmsg.Message, c *Context) []byte {
		if (*cond)(m) {
			return args[0].append(dst, m, c)
		}
		return args[1].append(dst, m, c)
	}), err
}

// parseGrep takes the arguments behind the condition, with commas between them, if the message matches.
func parseGrep(t *Template, words []string) (part, error) {
	if len(words) < 2 {
		return nil, fmt.Errorf("$(grep) has %d arguments, want a condition and templates", len(words))
	}
	args, err := parseArgs(t, words[1:])
	cond := t.condition("grep", words[0])
	return macro(func(dst []byte, m *logmsg.Message, c *Context) []byte {
		if !(*cond)(m) {
			return dst
		}
		return join(dst, ',', args, m, c)
	}), err
}

// condition is what the filter expression of a function will be when t is resolved.
func (t *Template) condition(function, expr string) *func(*logmsg.Message) bool {
	var cond func(*logmsg.Message) bool
	t.pending = append(t.pending, func(env *Env) (err error) {
		if env.Condition == nil {
			return fmt.Errorf("$(%s) is not possible here", function)
		}
		cond, err = env.Condition(expr)
		return err
	})
	return &cond
}

// parseOr takes the first argument that is not empty.
func parseOr(t *Template, words []string) (part, error) {
	args, err := parseArgs(t, words)
	return macro(func(dst []byte, m *logmsg.Message, c *Context) []byte {
		start := len(dst)
		for _, a := range args {
			if dst = a.append(dst, m, c); len(dst) > start {
				break
			}
		}
		return dst
	}), err
}

func parseTemplate(t *Template, words []string) (part, error) {
	if len(words) != 1 {
		return nil, fmt.Errorf("$(template) has %d arguments, want a name", len(words))
	}
	name := words[0]
	var used *Template
	t.uses = append(t.uses, name)
	t.pending = append(t.pending, func(env *Env) error {
		if used = env.Templates[name]; used == nil {
			return fmt.Errorf("no template %q", name)
		}
		return nil
	})
	return macro(func(dst []byte, m *logmsg.Message, c *Context) []byte {
		escape := c.Escape
		c.Escape = used.escape
		dst = used.append(dst, m, c)
		c.Escape = escape
		return dst
	}), nil
}

func echo(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	return join(dst, ' ', args, m, c)
}

func join(dst []byte, between byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	for i, a := range args {
		if i > 0 {
			dst = append(dst, between)
		}
		dst = a.append(dst, m, c)
	}
	return dst
}

// base64Encode takes the arguments for one text.
func base64Encode(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	var all []byte
	for _, a := range args {
		all = a.append(all, m, c)
	}
	return base64.StdEncoding.AppendEncode(dst, all)
}

// ipv4ToInt is the number of an address, nothing of what is none.
func ipv4ToInt(b []byte) []byte {
	addr, err := netip.ParseAddr(string(b))
	if err != nil || !addr.Is4() {
		return nil
	}
	four := addr.As4()
	return strconv.AppendUint(nil, uint64(binary.BigEndian.Uint32(four[:])), 10)
}

// mapRunes changes each character; bytes that are not UTF-8 stay.
func mapRunes(f func(rune) rune) func([]byte) []byte {
	return func(b []byte) []byte {
		out := make([]byte, 0, len(b))
		for len(b) > 0 {
			r, n := utf8.DecodeRune(b)
			if r == utf8.RuneError && n == 1 {
				out = append(out, b[0])
			} else {
				out = utf8.AppendRune(out, f(r))
			}
			b = b[n:]
		}
		return out
	}
}

// transform makes a function that changes the text of its arguments, one after the other with a blank between.
func transform(f func([]byte) []byte) writer {
	return func(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
		for i, a := range args {
			if i > 0 {
				dst = append(dst, ' ')
			}
			start := len(dst)
			dst = a.append(dst, m, c)
			changed := f(dst[start:])
			dst = append(dst[:start], changed...)
		}
		return dst
	}
}

// strip takes the blanks around each argument away, and what is empty then.
func strip(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	start := len(dst)
	for _, a := range args {
		text := bytes.TrimSpace(a.append(nil, m, c))
		if len(text) > 0 && len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, text...)
	}
	return dst
}

func urlDecode(b []byte) []byte {
	s, err := url.PathUnescape(string(b))
	if err != nil {
		return nil
	}
	return []byte(s)
}

func length(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	for i, a := range args {
		if i > 0 {
			dst = append(dst, ' ')
		}
		start := len(dst)
		n := len(a.append(dst, m, c)) - start
		dst = strconv.AppendInt(dst[:start], int64(n), 10)
	}
	return dst
}

func text(t *Template, m *logmsg.Message, c *Context) string { return string(t.append(nil, m, c)) }

func substr(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	start := len(dst)
	dst = args[0].append(dst, m, c)
	s := dst[start:]
	from, ok := parseInt([]byte(text(args[1], m, c)))
	if !ok {
		return dst[:start]
	}
	size := int64(len(s))
	if from < 0 {
		from += size
	}
	if from < 0 || from > size {
		return dst[:start]
	}
	end := size
	if len(args) == 3 {
		n, ok := parseInt([]byte(text(args[2], m, c)))
		if !ok {
			return dst[:start]
		}
		if n < 0 {
			end = max(from, size+n)
		} else {
			end = min(size, from+min(n, size))
		}
	}
	return append(dst[:start], s[from:end]...)
}

// replaceDelimiter replaces each of some characters by one other, of a longer text the first.
func replaceDelimiter(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	delimiters, with := text(args[0], m, c), text(args[1], m, c)
	for _, b := range args[2].append(nil, m, c) {
		if strings.IndexByte(delimiters, b) >= 0 {
			dst = append(dst, with[:min(1, len(with))]...)
		} else {
			dst = append(dst, b)
		}
	}
	return dst
}

func replace(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	return append(dst, strings.ReplaceAll(text(args[0], m, c), text(args[1], m, c), text(args[2], m, c))...)
}

func padding(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	with := " "
	if len(args) == 3 {
		with = cmp.Or(text(args[2], m, c), with)
	}
	value := text(args[0], m, c)
	width, _ := parseInt([]byte(text(args[1], m, c)))
	const most = 1 << 16 // no value is longer
	for n := int(min(width, most)) - len(value); n > 0; n -= len(with) {
		dst = append(dst, with[:min(n, len(with))]...)
	}
	return append(dst, value...)
}

func environment(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	return append(dst, os.Getenv(text(args[0], m, c))...)
}

// A sanitizer makes values fit for file names.
type sanitizer struct {
	invalid string // characters that are replaced
	with    byte
	control bool // control characters are replaced too
}

func parseSanitize(t *Template, words []string) (part, error) {
	s := sanitizer{invalid: "/", with: '_', control: true}
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		option := words[0]
		words = words[1:]
		switch {
		case option == "-C" || option == "--no-ctrl-chars":
			s.control = false
			continue
		case option == "-c" || option == "--ctrl-chars":
			continue
		case len(words) == 0:
			return nil, fmt.Errorf("$(sanitize %s) has no value", option)
		case option == "-i" || option == "--invalid-chars":
			s.invalid = words[0]
		case (option == "-r" || option == "--replacement") && words[0] != "":
			s.with = words[0][0]
		default:
			return nil, fmt.Errorf("$(sanitize) has no option %q", option)
		}
		words = words[1:]
	}
	args, err := parseArgs(t, words)
	return macro(func(dst []byte, m *logmsg.Message, c *Context) []byte { return sanitizeWith(dst, args, m, c, s) }), err
}

func sanitizeWith(dst []byte, args []*Template, m *logmsg.Message, c *Context, s sanitizer) []byte {
	for i, a := range args {
		if i > 0 {
			dst = append(dst, '/')
		}
		start := len(dst)
		dst = a.append(dst, m, c)
		for j, b := range dst[start:] {
			if s.control && b < ' ' || strings.IndexByte(s.invalid, b) >= 0 {
				dst[start+j] = s.with
			}
		}
	}
	return dst
}

func add(a, b int64) (int64, bool)      { return a + b, true }
func subtract(a, b int64) (int64, bool) { return a - b, true }
func multiply(a, b int64) (int64, bool) { return a * b, true }

func divide(a, b int64) (int64, bool) {
	if b == 0 {
		return 0, false
	}
	return a / b, true
}

func remainder(a, b int64) (int64, bool) {
	if b == 0 {
		return 0, false
	}
	return a % b, true
}

// wholeNumber is the minimum, maximum, sum and average of the only message there is outside of correlations.
func wholeNumber(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	if n, ok := parseInt(args[0].append(nil, m, c)); ok {
		return strconv.AppendInt(dst, n, 10)
	}
	return dst
}

const notANumber = "NaN"

// arithmetic makes a function of two numbers: of whole ones, else of others with 20 digits behind the point, as syslog-ng
// writes them.
func arithmetic(whole func(a, b int64) (int64, bool), other func(a, b float64) float64) writer {
	return func(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
		if len(args) != 2 {
			return append(dst, notANumber...)
		}
		a, b := text(args[0], m, c), text(args[1], m, c)
		i, isInt := parseInt([]byte(a))
		j, isInt2 := parseInt([]byte(b))
		if isInt && isInt2 {
			if n, ok := whole(i, j); ok {
				return strconv.AppendInt(dst, n, 10)
			}
			return append(dst, notANumber...)
		}
		x := other(parseFloat(a), parseFloat(b))
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return append(dst, notANumber...)
		}
		return strconv.AppendFloat(dst, x, 'f', 20, 64)
	}
}

// parseFloat reads a number as strtod(3) does, whole ones by 16 too; NaN is what is none.
func parseFloat(s string) float64 {
	s = strings.TrimLeft(s, " \t")
	if digits, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		if n, err := strconv.ParseUint(digits, 16, 64); err == nil {
			return float64(n)
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Contains(s, "_") {
		return math.NaN()
	}
	return f
}

// rounding makes a function of a number and how many digits it keeps behind the point.
func rounding(f func(float64) float64) writer {
	return func(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
		n, err := strconv.ParseFloat(strings.TrimLeft(text(args[0], m, c), " "), 64)
		digits := int64(0)
		ok := err == nil
		if len(args) == 2 && ok {
			digits, ok = parseInt([]byte(text(args[1], m, c)))
		}
		if !ok || digits < 0 || digits > 20 {
			return append(dst, notANumber...)
		}
		scale := math.Pow10(int(digits))
		return strconv.AppendFloat(dst, f(n*scale)/scale+0, 'f', int(digits), 64)
	}
}

// globMatcher compiles a glob of names.
func globMatcher(glob string) (*match.Matcher, error) {
	return match.Compile(glob, match.Options{Type: "glob"})
}
