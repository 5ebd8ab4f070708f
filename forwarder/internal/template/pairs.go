package template

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/match"
)

// pairs choose and name the values that $(format-json) and the like write (syslog-ng's value-pairs).
type pairs struct {
	scopes  []string
	globs   []pairGlob // the last one that matches counts
	aliases []string   // keys that are other names of values
	fixed   []fixedPair
	rekey   []*rekey
	omit    bool // empty values
	keepDot bool // of a name that begins with one
}

// A pairGlob chooses names, or leaves them out.
type pairGlob struct {
	*match.Matcher
	include bool
}

type fixedPair struct {
	name  string
	kind  string // "", "string", "int", "boolean", "list", ...
	value *Template
}

// A rekey changes the names that a glob matches.
type rekey struct {
	glob    *match.Matcher
	actions []func(string) string
}

// A pairValue is one chosen value.
type pairValue struct {
	name, kind, value string
}

// key is how the name of a value is written: a dot at its beginning is an underscore.
func (p *pairs) key(name string) string {
	if rest, dot := strings.CutPrefix(name, "."); dot && !p.keepDot {
		return "_" + rest
	}
	return name
}

// parseJSON reads the arguments of $(format-json).
func parseJSON(t *Template, words []string) (part, error) { return parseFormat(t, words, appendJSON) }

// parseWELF reads the arguments of $(format-welf).
func parseWELF(t *Template, words []string) (part, error) { return parseFormat(t, words, appendWELF) }

// parseFlatJSON reads those of $(format-flat-json): names with dots stay as they are.
func parseFlatJSON(t *Template, words []string) (part, error) {
	return parseFormat(t, words, appendFlatJSON)
}

func parseFormat(t *Template, words []string, write func(dst []byte, values []pairValue, p *pairs) []byte) (part, error) {
	p := &pairs{}
	if err := p.parse(t, words); err != nil {
		return nil, err
	}
	return macro(func(dst []byte, m *logmsg.Message, c *Context) []byte {
		values := p.values(m, c)
		if !slices.ContainsFunc(values, pairValue.isBad) {
			dst = write(dst, values, p)
		}
		return dst
	}), nil
}

func (p *pairs) parse(t *Template, words []string) error {
	for len(words) > 0 {
		option, arg, joined := strings.Cut(words[0], "=")
		words = words[1:]
		if !strings.HasPrefix(option, "-") {
			if !joined {
				if err := p.addKeys(option); err != nil {
					return err
				}
				continue
			}
			if err := p.addPair(t, option, arg); err != nil {
				return err
			}
			continue
		}
		switch option {
		case "--omit-empty-values":
			p.omit = true
			continue
		case "--leave-initial-dot":
			p.keepDot = true
			continue
		case "--auto-cast", "--no-cast", "--cast":
			continue
		}
		if !joined {
			if len(words) == 0 {
				return fmt.Errorf("%s has no value", option)
			}
			arg, words = words[0], words[1:]
		}
		if err := p.option(t, option, arg); err != nil {
			return err
		}
	}
	return nil
}

func (p *pairs) option(t *Template, option, arg string) (err error) {
	var glob *match.Matcher
	switch option {
	case "--scope", "-s":
		for _, scope := range listed(arg) {
			if !slices.Contains(scopeNames, dashed(scope)) {
				return fmt.Errorf("scope %q is not known, want one of %s", scope, strings.Join(scopeNames, " "))
			}
			p.scopes = append(p.scopes, dashed(scope))
		}
	case "--key", "-k":
		return p.addKeys(arg)
	case "--exclude", "-x":
		if glob, err = globMatcher(arg); err == nil {
			p.globs = append(p.globs, pairGlob{glob, false})
		}
	case "--pair", "-p":
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			name, value, ok = strings.Cut(arg, ":")
		}
		if !ok {
			return fmt.Errorf("pair %q is not NAME=TEMPLATE", arg)
		}
		return p.addPair(t, name, value)
	case "--rekey", "-r":
		if glob, err = globMatcher(arg); err == nil {
			p.rekey = append(p.rekey, &rekey{glob: glob})
		}
	case "--subkeys":
		if glob, err = globMatcher(arg + "*"); err == nil {
			p.globs = append(p.globs, pairGlob{glob, true})
			p.rekey = append(p.rekey, &rekey{glob, []func(string) string{func(s string) string { return strings.TrimPrefix(s, arg) }}})
		}
	case "--shift", "-S", "--shift-levels", "-L", "--add-prefix", "-A", "--replace-prefix", "--replace", "-R", "--upper", "-U":
		return p.addAction(option, arg)
	default:
		return fmt.Errorf("option %q is not known", option)
	}
	return err
}

// listed parts a list at commas and blanks.
func listed(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// addKeys chooses the names that the globs of a list match.
func (p *pairs) addKeys(list string) error {
	for _, key := range listed(list) {
		glob, err := globMatcher(key)
		if err != nil {
			return err
		}
		p.globs = append(p.globs, pairGlob{glob, true})
		if n := logmsg.NameOf(key); n.String() != key { // MSG is listed as MESSAGE
			p.aliases = append(p.aliases, key)
		}
	}
	return nil
}

func dashed(s string) string { return strings.ReplaceAll(s, "_", "-") }

func (p *pairs) addAction(option, arg string) error {
	if len(p.rekey) == 0 {
		return fmt.Errorf("%s stands without --rekey", option)
	}
	var f func(string) string
	switch option {
	case "--shift", "-S":
		n, err := strconv.ParseUint(arg, 10, 16)
		if err != nil {
			return fmt.Errorf("--shift %q is not a number", arg)
		}
		f = func(s string) string { return s[min(int(n), len(s)):] }
	case "--shift-levels", "-L":
		n, err := strconv.ParseUint(arg, 10, 16)
		if err != nil {
			return fmt.Errorf("--shift-levels %q is not a number", arg)
		}
		f = func(s string) string {
			for range n {
				i := strings.IndexByte(s[min(1, len(s)):], '.')
				if i < 0 {
					return s
				}
				s = s[i+2:]
			}
			return s
		}
	case "--add-prefix", "-A":
		f = func(s string) string { return arg + s }
	default:
		from, to, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%s %q is not OLD=NEW", option, arg)
		}
		f = func(s string) string {
			if rest, ok := strings.CutPrefix(s, from); ok {
				return to + rest
			}
			return s
		}
	}
	last := p.rekey[len(p.rekey)-1]
	last.actions = append(last.actions, f)
	return nil
}

var kinds = []string{"string", "int", "int32", "int64", "double", "float", "boolean", "datetime", "list", "literal", "null"}

func (p *pairs) addPair(t *Template, name, text string) error {
	kind := ""
	if i := strings.IndexByte(text, '('); i > 0 && strings.HasSuffix(text, ")") && text[0] != '$' {
		if kind = text[:i]; !slices.Contains(kinds, kind) {
			return fmt.Errorf("type %q is not known, want one of %s", kind, strings.Join(kinds, " "))
		}
		text = text[i+1 : len(text)-1]
	}
	value, err := t.sub(text)
	p.fixed = append(p.fixed, fixedPair{name, kind, value})
	return err
}

var scopeNames = []string{
	"core", "base", "rfc3164", "rfc5424", "selected-macros", "all-macros", "nv-pairs", "all-nv-pairs", "dot-nv-pairs", "sdata", "syslog-proto",
	"everything", "none",
}

// scopeMacros are the macros that the scopes include.
var scopeMacros = map[string][]string{
	"rfc3164":         {"FACILITY", "PRIORITY", "HOST", "PROGRAM", "PID", "MESSAGE", "DATE"},
	"core":            {"FACILITY", "PRIORITY", "HOST", "PROGRAM", "PID", "MESSAGE", "DATE"},
	"base":            {"FACILITY", "PRIORITY", "HOST", "PROGRAM", "PID", "MESSAGE", "DATE"},
	"rfc5424":         {"FACILITY", "PRIORITY", "HOST", "PROGRAM", "PID", "MESSAGE", "DATE", "MSGID"},
	"syslog-proto":    {"FACILITY", "PRIORITY", "HOST", "PROGRAM", "PID", "MESSAGE", "DATE", "MSGID"},
	"selected-macros": {"TAGS", "SOURCEIP", "SEQNUM", "FACILITY", "PRIORITY", "HOST", "PROGRAM", "PID", "MESSAGE", "DATE"},
}

// macroNames are the names of all macros.
var macroNames = func() (all []string) {
	for name := range macros {
		all = append(all, name)
	}
	for _, prefix := range []string{"", "S_", "R_", "P_", "C_"} {
		for name := range dateParts {
			all = append(all, prefix+name)
		}
		for _, name := range stampNames {
			all = append(all, prefix+name)
		}
	}
	return all
}()

// inScope tells whether a scope includes a name-value pair.
func inScope(scope string, n logmsg.Name) bool {
	name := n.String()
	sdata := strings.HasPrefix(name, logmsg.SDataPrefix)
	switch scope {
	case "nv-pairs":
		return !strings.HasPrefix(name, ".")
	case "dot-nv-pairs":
		return strings.HasPrefix(name, ".")
	case "all-nv-pairs", "everything":
		return true
	case "sdata", "rfc5424", "syslog-proto":
		return sdata
	}
	return false
}

// wants tells whether a name is chosen; unless a glob says otherwise it is what the scopes say.
func (p *pairs) wants(name string, inScope bool) bool {
	for _, g := range slices.Backward(p.globs) {
		if g.Match([]byte(name)) {
			return g.include
		}
	}
	return inScope
}

// values are the chosen pairs, by name in descending order.
func (p *pairs) values(m *logmsg.Message, c *Context) []pairValue {
	chosen := map[string]pairValue{}
	add := func(name, kind, value string) {
		if p.omit && value == "" {
			return
		}
		for _, r := range p.rekey {
			if r.glob.Match([]byte(name)) {
				for _, f := range r.actions {
					name = f(name)
				}
			}
		}
		chosen[name] = pairValue{name, kind, value}
	}
	if len(p.scopes) > 0 || len(p.globs) > 0 {
		p.fromMessage(m, c, add)
	}
	for _, f := range p.fixed {
		add(f.name, f.kind, text(f.value, m, c))
	}
	values := make([]pairValue, 0, len(chosen))
	for _, v := range chosen {
		values = append(values, v)
	}
	slices.SortFunc(values, func(a, b pairValue) int { return strings.Compare(p.key(b.name), p.key(a.name)) })
	return values
}

func (p *pairs) fromMessage(m *logmsg.Message, c *Context, add func(name, kind, value string)) {
	m.Names(func(n logmsg.Name) {
		inAny := slices.ContainsFunc(p.scopes, func(scope string) bool { return inScope(scope, n) })
		if p.wants(n.String(), inAny) {
			value := m.Value(n)
			if !inAny {
				value = m.Macro(n)
			}
			add(n.String(), "", string(value))
		}
	})
	// A macro of the same name wins.
	addMacro := func(name string) {
		if value := string(macroPart(name, "").append(nil, m, c)); value != "" {
			add(name, "", value)
		}
	}
	for _, scope := range p.scopes {
		list := scopeMacros[scope]
		if scope == "all-macros" || scope == "everything" {
			list = macroNames
		}
		for _, name := range list {
			if p.wants(name, true) {
				addMacro(name)
			}
		}
	}
	if len(p.globs) > 0 {
		for _, name := range macroNames {
			if p.wants(name, false) {
				addMacro(name)
			}
		}
	}
	for _, name := range p.aliases {
		addMacro(name)
	}
}

// A jsonNode is an object, or a value.
type jsonNode struct {
	name  string
	value pairValue
	kids  []*jsonNode // nil: a value
}

// appendJSON makes nested objects of names with dots.
func appendJSON(dst []byte, values []pairValue, p *pairs) []byte {
	root := &jsonNode{kids: []*jsonNode{}}
	for _, v := range values {
		key := p.key(v.name)
		if path := splitName(key); path != nil {
			root.insert(path, v)
		}
	}
	return root.append(dst)
}

// splitName parts a name at its dots, but for one at the begin of a part, and those of an enterprise number: "x",
// "a@1.2.3", "y".
func splitName(name string) (parts []string) {
	start, end := 0, 0
	for end < len(name) {
		switch {
		case name[end] == '@':
			end = afterNumber(name, end+1)
		case name[end] == '.' && end > start:
			parts = append(parts, name[start:end])
			end++
			start = end
		default:
			end++
			for end < len(name) && name[end] != '@' && name[end] != '.' {
				end++
			}
		}
	}
	if start < end {
		parts = append(parts, name[start:])
	}
	return parts
}

// afterNumber is where the enterprise number ends that begins at start: digits, with dots between them.
func afterNumber(name string, start int) int {
	end := start
	for end < len(name) && (isDigit(name[end]) || name[end] == '.' && end+1 < len(name) && isDigit(name[end+1])) {
		end++
	}
	return end
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// insert puts a value in at its path. A value whose name is that of an object goes into the object.
func (n *jsonNode) insert(path []string, v pairValue) {
	for i, name := range path {
		at := slices.IndexFunc(n.kids, func(k *jsonNode) bool { return k.name == name })
		if at < 0 {
			at = len(n.kids)
			n.kids = append(n.kids, &jsonNode{name: name})
		}
		n = n.kids[at]
		if i < len(path)-1 && n.kids == nil {
			n.kids = []*jsonNode{}
		}
	}
	if n.kids != nil {
		n.kids = append(n.kids, &jsonNode{name: n.name, value: v})
		return
	}
	n.value = v
}

func (n *jsonNode) append(dst []byte) []byte {
	if n.kids == nil {
		return appendJSONValue(dst, n.value)
	}
	dst = append(dst, '{')
	for i, k := range n.kids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, k.name)
		dst = k.append(append(dst, ':'))
	}
	return append(dst, '}')
}

// isBad tells whether the value is not of its kind: then nothing is written at all.
func (v pairValue) isBad() bool {
	var err error
	switch v.kind {
	case "int", "int32", "int64":
		_, err = strconv.ParseInt(v.value, 10, 64)
	case "double", "float":
		_, err = strconv.ParseFloat(v.value, 64)
	case "boolean":
		return v.value == "" || !strings.ContainsAny(v.value[:1], "0fF1tT")
	}
	return err != nil
}

func appendJSONValue(dst []byte, v pairValue) []byte {
	switch v.kind {
	case "int", "int32", "int64", "double", "float", "literal":
		return append(dst, v.value...)
	case "boolean":
		return strconv.AppendBool(dst, strings.ContainsAny(v.value[:1], "1tT"))
	case "null":
		return append(dst, "null"...)
	case "list":
		dst = append(dst, '[')
		for i, item := range ListItems([]byte(v.value)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONString(dst, string(item))
		}
		return append(dst, ']')
	}
	return appendJSONString(dst, v.value)
}

// appendFlatJSON makes one object.
func appendFlatJSON(dst []byte, values []pairValue, p *pairs) []byte {
	dst = append(dst, '{')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, p.key(v.name)), ':')
		dst = appendJSONValue(dst, v)
	}
	return append(dst, '}')
}

// appendJSONString quotes s; bytes that are not UTF-8 are written as \xNN, with the backslash quoted.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = fmt.Appendf(dst, `\\x%02x`, c)
			} else {
				dst = append(dst, s[i:i+n]...)
			}
			i += n
			continue
		}
		switch i++; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		default:
			if c < ' ' {
				dst = fmt.Appendf(dst, `\u%04x`, c)
			} else {
				dst = append(dst, c)
			}
		}
	}
	return append(dst, '"')
}

// appendWELF writes name=value pairs, in quotes if there is a blank in the value.
func appendWELF(dst []byte, values []pairValue, _ *pairs) []byte {
	for i, v := range slices.Backward(values) {
		if i < len(values)-1 {
			dst = append(dst, ' ')
		}
		dst = append(append(dst, v.name...), '=')
		if strings.Contains(v.value, " ") {
			dst = append(appendEscaped(append(dst, '"'), v.value, '"'), '"')
		} else {
			dst = appendEscaped(dst, v.value, 0)
		}
	}
	return dst
}

// appendEscaped writes a backslash before backslashes and, unless it is 0, quote; control characters and bytes that are not UTF-8 as C has them.
func appendEscaped(dst []byte, s string, quote byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		r, n := utf8.DecodeRuneInString(s[i:])
		switch at := strings.IndexByte("\b\f\n\r\t", c); {
		case c == '\\' || c == quote && quote != 0:
			dst = append(dst, '\\', c)
		case at >= 0:
			dst = append(dst, '\\', "bfnrt"[at])
		case c < ' ' || r == utf8.RuneError && n == 1:
			dst = fmt.Appendf(dst, `\x%02x`, c)
		default:
			dst = append(dst, s[i:i+n]...)
		}
		i += n
	}
	return dst
}
