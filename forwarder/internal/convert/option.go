package convert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An option says what an option of syslog-ng becomes.
type option struct {
	key     string // in TOML
	convert func(t *translator, c *call) (value, bool)
	note    string // it is left out, and why nothing changes
	last    bool   // of several lists the last one counts
}

type options map[string]option

// join makes one table of several; later ones win.
func join(tables ...options) options {
	all := options{}
	for _, o := range tables {
		for name, opt := range o {
			all[name] = opt
		}
	}
	return all
}

// each makes options of the same name in TOML.
func each(convert func(t *translator, c *call) (value, bool), names ...string) options {
	o := options{}
	for _, n := range names {
		o[n] = option{key: n, convert: convert}
	}
	return o
}

// leftOut makes options that forwarder has no need of.
func leftOut(note string, names ...string) options {
	o := options{}
	for _, n := range names {
		o[n] = option{note: note}
	}
	return o
}

// arguments parts what stands between parentheses into values and options.
func (t *translator) arguments(c *call) (values []*token, calls []*call) {
	for i := 0; i < len(c.args); i++ {
		a := &c.args[i]
		switch {
		case a.kind == word && i+1 < len(c.args) && c.args[i+1].is("("):
			inner := &call{name: a.name(), pos: a.pos, head: a}
			start, depth := i+2, 1
			for i += 2; i < len(c.args); i++ {
				if c.args[i].is("(") {
					depth++
				} else if c.args[i].is(")") {
					if depth--; depth == 0 {
						break
					}
				}
			}
			inner.args = c.args[start:min(i, len(c.args))]
			inner.tail = &c.args[min(i, len(c.args)-1)]
			calls = append(calls, inner)
		case a.kind == punct:
			t.errorf(a.pos, "%v is not wanted in %s()", a, dashed(c.name))
			return values, calls
		default:
			values = append(values, a)
		}
	}
	return values, calls
}

// single is the only value of an option.
func (t *translator) single(c *call) (*token, bool) {
	values, calls := t.arguments(c)
	if len(values) == 1 && len(calls) == 0 {
		return values[0], true
	}
	t.errorf(c.pos, "%s() has %d values, want one", dashed(c.name), len(values)+len(calls))
	return nil, false
}

func text(t *translator, c *call) (value, bool) {
	v, ok := t.single(c)
	if !ok {
		return nil, false
	}
	return v.text, true
}

func texts(t *translator, c *call) (value, bool) {
	values, calls := t.arguments(c)
	if len(calls) > 0 {
		t.errorf(calls[0].pos, "%s() is not wanted in %s()", dashed(calls[0].name), dashed(c.name))
		return nil, false
	}
	var l list
	for _, v := range values {
		l = append(l, v.text)
	}
	return l, true
}

func flags(t *translator, c *call) (value, bool) {
	v, ok := texts(t, c)
	if !ok {
		return nil, false
	}
	l := list{}
	for _, f := range v.(list) {
		name := normalize(f.(string))
		switch name {
		case "threaded":
			t.diags.add(Note, c.pos, "", "flag threaded is left out: all drivers are")
			continue
		case "ignore_errors":
			t.diags.add(Note, c.pos, "", "flag ignore-errors is left out: what cannot be written is tried again")
			continue
		}
		l = append(l, name)
	}
	return l, true
}

func boolean(t *translator, c *call) (value, bool) {
	v, ok := t.single(c)
	if !ok {
		return nil, false
	}
	switch strings.ToLower(v.text) {
	case "yes", "on", "true", "1":
		return true, true
	case "no", "off", "false", "0":
		return false, true
	}
	t.errorf(v.pos, "%s is neither yes nor no", v)
	return nil, false
}

// unitSizes are the factors of syslog-ng's units.
var unitSizes = map[string]int64{
	"": 1, "b": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9,
	"ki": 1 << 10, "kib": 1 << 10, "mi": 1 << 20, "mib": 1 << 20, "gi": 1 << 30, "gib": 1 << 30,
}

func parseInteger(s string) (int64, bool) {
	if strings.HasPrefix(s, "0x") || len(s) > 1 && s[0] == '0' {
		n, err := strconv.ParseInt(strings.TrimPrefix(s, "0x"), map[bool]int{true: 16, false: 8}[strings.HasPrefix(s, "0x")], 64)
		return n, err == nil
	}
	digits := strings.TrimRightFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	n, err := strconv.ParseInt(digits, 10, 64)
	unit, known := unitSizes[strings.ToLower(s[len(digits):])]
	if err != nil || !known || n > 1<<62/unit || n < -(1<<62)/unit {
		return 0, false
	}
	return n * unit, true
}

func integer(t *translator, c *call) (value, bool) {
	v, ok := t.single(c)
	if !ok {
		return nil, false
	}
	n, ok := parseInteger(v.text)
	if !ok {
		t.errorf(v.pos, "%s is not a number", v)
		return nil, false
	}
	return n, true
}

// seconds is a number of seconds, with a fraction or without.
func seconds(t *translator, c *call) (value, bool) {
	v, ok := t.single(c)
	if !ok {
		return nil, false
	}
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil || f < 0 {
		t.errorf(v.pos, "%s is not a number of seconds", v)
		return nil, false
	}
	return fmt.Sprintf("%ss", strconv.FormatFloat(f, 'f', -1, 64)), true
}

// mode is an octal number.
func mode(t *translator, c *call) (value, bool) {
	v, ok := integer(t, c)
	if !ok {
		return nil, false
	}
	return fmt.Sprintf("%04o", v), true
}

// template is the text of a template, or the name of one.
func template(t *translator, c *call) (value, bool) {
	values, calls := t.arguments(c)
	if len(values) == 0 && len(calls) == 1 {
		v, ok := t.single(calls[0])
		if !ok {
			return nil, false
		}
		t.diags.add(Warning, calls[0].pos, "", "the type %s() is left out", calls[0].name)
		return v.text, true
	}
	if len(values) != 1 || len(calls) != 0 {
		t.errorf(c.pos, "%s() has %d values, want one", dashed(c.name), len(values)+len(calls))
		return nil, false
	}
	if t.defined["template"][values[0].text] != nil {
		return "$(template " + values[0].text + ")", true
	}
	if values[0].kind == word && !strings.Contains(values[0].text, "$") {
		t.diags.add(Warning, values[0].pos, didYouMean(values[0].text, t.defined["template"]),
			"template %s is not defined, its name is taken for a template as syslog-ng does it", values[0].text)
	}
	return values[0].text, true
}

// oneOf is a word of a list, or what stands for it there.
func oneOf(words map[string]string) func(t *translator, c *call) (value, bool) {
	return func(t *translator, c *call) (value, bool) {
		v, ok := t.single(c)
		if !ok {
			return nil, false
		}
		if w, ok := words[normalize(strings.ToLower(v.text))]; ok {
			return w, true
		}
		var known []string
		for w := range words {
			known = append(known, dashed(w))
		}
		slices.Sort(known)
		t.diags.add(Error, v.pos, "it can be "+strings.Join(known, ", "), "%s(%s) has no counterpart", dashed(c.name), v.text)
		return nil, false
	}
}

// condition is a filter expression.
func condition(t *translator, c *call) (value, bool) {
	return t.expression(c.args, c.pos), true
}

// sub is a table of options.
func sub(o func() options) func(t *translator, c *call) (value, bool) {
	return func(t *translator, c *call) (value, bool) {
		inner := &table{pos: c.pos}
		values, calls := t.arguments(c)
		if len(values) > 0 {
			t.errorf(values[0].pos, "%v is not wanted in %s()", values[0], dashed(c.name))
			return nil, false
		}
		t.options(inner, c.name, o(), calls)
		return inner, true
	}
}

// dashed is a name as syslog-ng's manual spells it.
func dashed(name string) string { return strings.ReplaceAll(name, "_", "-") }

// options converts each option into a key of table.
func (t *translator) options(dst *table, owner string, known options, calls []*call) {
	for _, c := range calls {
		comments := t.comments(c)
		o, ok := known[c.name]
		switch {
		case !ok, o.convert == nil && o.note == "":
			t.gap(c.pos, didYouMean(c.name, known), "option %s() of %s() has no counterpart", dashed(c.name), dashed(owner))
		case o.convert == nil:
			t.diags.add(Note, c.pos, "", "option %s() is left out: %s", dashed(c.name), o.note)
		default:
			v, ok := o.convert(t, c)
			if !ok {
				continue
			}
			if l, isList := v.(list); isList && !o.last && (o.key == "flags" || o.key == "tags") {
				before, _ := dst.get(o.key).(list)
				if v = append(before, l...); len(before)+len(l) == 0 {
					continue
				}
			}
			if tbl, isTable := v.(*table); isTable && o.key == "" {
				for _, e := range tbl.entries {
					dst.set(e.key, e.value, e.pos, comments...)
					comments = nil
				}
				continue
			}
			dst.set(o.key, v, c.pos, comments...)
		}
	}
}
