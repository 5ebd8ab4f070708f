package keepalived

import (
	"strconv"
	"strings"
)

// maxConfigExpansions is how many variables a line may use, nested ones included.
const maxConfigExpansions = 1024

// A confDef is what a $NAME stands for.
type confDef struct {
	lines     []string // one, save for a multi-line definition
	multiline bool
	value     func(args []string) (string, bool) // of a standard definition, in place of lines
}

// first is what stands in place of the variable; the other lines follow the line that uses it.
func (d *confDef) first(args []string) (string, bool) {
	switch {
	case d == nil:
		return "", false
	case d.value != nil:
		return d.value(args)
	case len(args) > 0:
		return "", false
	case len(d.lines) == 0:
		return "", true
	}
	return d.lines[0], true
}

// standardDefs are the definitions that keepalived brings. ${_RANDOM MIN MAX} is drawn
// anew by every keepalived; here it is MIN.
func standardDefs(opt ConfigOptions) map[string]*confDef {
	constant := func(s string) *confDef { return &confDef{lines: []string{s}} }
	return map[string]*confDef{
		"_INSTANCE": constant(opt.HostID),
		"_HASH":     constant("#"),
		"_BANG":     constant("!"),
		"_RANDOM": {value: func(args []string) (string, bool) {
			low := "0"
			for _, a := range args {
				if _, err := strconv.Atoi(a); err != nil || len(args) > 2 {
					return "", false
				}
				low = args[0]
			}
			return low, true
		}},
		"_ENV": {value: func(args []string) (string, bool) {
			if len(args) != 1 {
				return "", false
			}
			return opt.Env(args[0]), true
		}},
	}
}

// confNameLen is the length of the variable name that s starts with.
func confNameLen(s string) int {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}

// define takes a line "$NAME=VALUE". A value that ends with a backslash goes on in the
// next lines, until one that does not or an empty one.
func (r *confReader) define(line string) bool {
	if line[0] != '$' {
		return false
	}
	n := confNameLen(line[1:])
	value, ok := strings.CutPrefix(line[1+n:], "=")
	if n == 0 || !ok {
		return false
	}
	d := &confDef{}
	r.defs[line[1:1+n]] = d
	value = strings.TrimLeft(value, " \t")
	if value, d.multiline = strings.CutSuffix(value, `\`); d.multiline {
		r.open = d
		value = strings.TrimRight(value, " \t")
	}
	if value != "" {
		d.lines = []string{value}
	}
	return true
}

func (r *confReader) continueDefinition(line string) {
	text, more := strings.CutSuffix(line, `\`)
	if more {
		text = strings.TrimRight(text, " \t")
	}
	if text != "" {
		r.open.lines = append(r.open.lines, text)
	}
	if !more {
		r.endDefinition()
	}
}

func (r *confReader) endDefinition() {
	if r.open != nil {
		r.open.multiline = len(r.open.lines) > 0
		r.open = nil
	}
}

// expand replaces each $NAME and ${NAME} of line, also those that come out of a
// replacement. A name without braces ends at a blank, a comma or a closing parenthesis,
// else it is text, and so is a name that is not defined. A multi-line definition is
// replaced only at the end of the line; its other lines become the next ones.
func (r *confReader) expand(line string) (expanded string, changed bool) {
	from := 0
	for n := 0; ; n++ {
		i := strings.IndexByte(line[from:], '$')
		if i < 0 || from+i+1 == len(line) {
			return line, changed
		}
		from += i
		name, args, end := confVariable(line[from+1:])
		d := r.defs[name]
		if name == "_PWD" && d == nil {
			d = &confDef{lines: []string{r.dir()}}
		}
		end += from + 1
		value, ok := d.first(args)
		if !ok || d.multiline && end < len(line) {
			from++
			continue
		}
		if n == maxConfigExpansions {
			r.fail(r.pos(), nil, "$%s: more than %d variables in a line: does it stand for itself?", name, maxConfigExpansions)
			r.stopped = true
			return line, false
		}
		if len(line)-(end-from)+len(value) >= maxConfigLine || !r.spend(len(line)) {
			return line, false
		}
		line, changed = line[:from]+value+line[end:], true
		if d.multiline {
			r.push(d.lines[1:]...)
		}
		if strings.HasPrefix(strings.TrimLeft(value, " \t"), "~") {
			return line, true // the text of a sequence is expanded when it is used
		}
	}
}

func (r *confReader) dir() string { return r.files[len(r.files)-1].dir }

// confVariable reads the "NAME" or "{NAME ARGS}" behind a dollar sign; name is "" when there is none.
func confVariable(s string) (name string, args []string, end int) {
	s, braced := strings.CutPrefix(s, "{")
	n := confNameLen(s)
	name, rest := s[:n], s[n:]
	if !braced {
		if rest != "" && !strings.ContainsRune(" \t,)", rune(rest[0])) {
			return "", nil, 0
		}
		return name, nil, n
	}
	k := 0
	for k < len(rest) && (strings.IndexByte(" \t_", rest[k]) >= 0 || confNameLen("_"+rest[k:k+1]) == 2) {
		k++
	}
	args = strings.Fields(rest[:k])
	blankEnd := k > 0 && strings.TrimRight(rest[:k], " \t") != rest[:k]
	if k == len(rest) || rest[k] != '}' || len(args) > 0 && blankEnd {
		return "", nil, 0
	}
	return name, args, 1 + n + k + 1
}

// repeat takes a line "~SEQ(VAR, START, STEP, END) TEXT", "~SEQx(...) TEXT" in
// hexadecimal, or "~LST({VAR, ...}, {VALUE, ...}, ...) TEXT" (>= 2.1): TEXT comes once for
// each value. A line that keepalived cannot read is dropped, as it does.
func (r *confReader) repeat(line string) bool {
	if args, ok := strings.CutPrefix(line, "~SEQ"); ok {
		args, hex := strings.CutPrefix(args, "x")
		r.sequence(args, hex)
		return true
	}
	if args, ok := strings.CutPrefix(line, "~LST"); ok {
		r.list(args)
		return true
	}
	return false
}

func (r *confReader) sequence(s string, hex bool) {
	s, ok := strings.CutPrefix(strings.TrimLeft(s, " \t"), "(")
	name, s, comma := strings.Cut(s, ",")
	args, text, closed := strings.Cut(s, ")")
	if name = strings.Trim(name, " \t"); !ok || !comma || !closed || name == "" {
		return
	}
	args, _ = r.expand(args + ")")
	start, step, end, ok := sequenceBounds(strings.Split(strings.TrimSuffix(args, ")"), ","))
	if !ok || hex && (start < 0 || end < 0) {
		return
	}
	base := 10
	if hex {
		base = 16
	}
	left, stride := uint64(end)-uint64(start), uint64(step)
	if step < 0 {
		left, stride = -left, -stride
	}
	left /= stride
	value, done := start, false
	r.repeatText(text, func() bool {
		if done {
			return false
		}
		r.setValue(name, strconv.FormatInt(value, base))
		value += step
		done = left == 0
		left--
		return true
	})
}

// sequenceBounds reads END, or START and END, or START, STEP and END.
func sequenceBounds(args []string) (start, step, end int64, ok bool) {
	var n [3]int64
	if len(args) > len(n) {
		return 0, 0, 0, false
	}
	for i, a := range args {
		a = strings.Trim(a, " \t")
		if a == "" {
			continue
		}
		v, err := strconv.ParseInt(a, 0, 64)
		if err != nil {
			return 0, 0, 0, false
		}
		n[i] = v
	}
	switch len(args) {
	case 1:
		end, start, step = n[0], 1, 1
		if end < 0 {
			start = -1
		}
		if end < 1 {
			step = -1
		}
	case 2:
		start, end, step = n[0], n[1], 1
		if start > end {
			step = -1
		}
	case 3:
		start, step, end = n[0], n[1], n[2]
	}
	return start, step, end, step != 0 && (start <= end || step < 0) && (start >= end || step > 0)
}

func (r *confReader) list(s string) {
	s, ok := strings.CutPrefix(strings.TrimLeft(s, " \t"), "(")
	names, s, ok2 := listItem(s)
	if !ok || !ok2 {
		return
	}
	var sets [][]string
	for strings.HasPrefix(s, ",") {
		var values []string
		if values, s, ok = listItem(s[1:]); !ok || len(values) > len(names) {
			return
		}
		sets = append(sets, values)
	}
	text, ok := strings.CutPrefix(s, ")")
	if !ok {
		return
	}
	r.repeatText(text, func() bool {
		if len(sets) == 0 {
			return false
		}
		for i, name := range names {
			value := ""
			if i < len(sets[0]) {
				value = sets[0][i]
			}
			r.setValue(name, value)
		}
		sets = sets[1:]
		return true
	})
}

// listItem reads "WORD" or "{WORD, ...}" and the blanks around it.
func listItem(s string) (words []string, rest string, ok bool) {
	s, braced := strings.CutPrefix(strings.TrimLeft(s, " \t"), "{")
	for {
		s = strings.TrimLeft(s, " \t")
		n := strings.IndexAny(s, " \t,})")
		if n < 0 {
			return nil, "", false
		}
		words = append(words, s[:n])
		s = strings.TrimLeft(s[n:], " \t")
		if !braced {
			return words, s, true
		}
		if rest, ok := strings.CutPrefix(s, "}"); ok {
			return words, strings.TrimLeft(rest, " \t"), true
		}
		if s, ok = strings.CutPrefix(s, ","); !ok {
			return nil, "", false
		}
	}
}

// repeatText gives text as a line for as long as set finds a next value.
func (r *confReader) repeatText(text string, set func() bool) {
	text = strings.TrimLeft(text, " \t")
	r.pending = append(r.pending, func() (string, bool) { return text, set() })
}

func (r *confReader) setValue(name, value string) {
	r.defs[name] = &confDef{lines: []string{value}}
}
