package convert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kad/pkg/conf"
)

// lineWidth is up to where a list stays on one line.
const lineWidth = 110

// A value is a string, bool, int64, list or *table.
type value any

type list []value

// A table keeps its keys in order.
type table struct {
	entries []entry
	pos     Pos
}

type entry struct {
	key      string
	value    value
	comments []string
	pos      Pos
}

// An element is a list's value with its comments.
type element struct {
	value    value
	comments []string
	trailing string
	pos      Pos
}

func (t *table) set(key string, v value, pos Pos, comments ...string) {
	if i := slices.IndexFunc(t.entries, func(e entry) bool { return e.key == key }); i >= 0 {
		t.entries[i].value, t.entries[i].pos = v, pos
		t.entries[i].comments = append(t.entries[i].comments, comments...)
		return
	}
	t.entries = append(t.entries, entry{key, v, comments, pos})
}

func (t *table) get(key string) value {
	for _, e := range t.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// A section is [PATH] with its table and its comments.
type section struct {
	path     []string
	table    *table
	comments []string
	pos      Pos
}

// A document writes sections, and knows the place in syslog-ng.conf of each key and element.
type document struct {
	b      strings.Builder
	places map[string]Pos // by path, as package conf writes it
}

// line writes one line.
func (d *document) line(format string, args ...any) { fmt.Fprintf(&d.b, format+"\n", args...) }

// place notes where a value and all in it come from.
func (d *document) place(path string, v value, pos Pos) {
	d.places[path] = pos
	switch v := v.(type) {
	case element:
		d.place(path, v.value, v.pos)
	case list:
		for i, e := range v {
			d.place(fmt.Sprintf("%s[%d]", path, i), e, pos)
		}
	case *table:
		if v.pos.Line > 0 {
			d.places[path] = v.pos
		}
		for _, e := range v.entries {
			d.place(path+"."+conf.Key(e.key), e.value, e.pos)
		}
	}
}

// at is the place of a path, or of the nearest thing around it.
func (d *document) at(path string) Pos {
	for {
		if pos, ok := d.places[path]; ok {
			return pos
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return d.places[""]
		}
		path = path[:cut]
	}
}

func (d *document) comments(indent string, comments []string) {
	for _, c := range comments {
		d.line("%s%s", indent, oneLine(c))
	}
}

// oneLine is a comment as TOML allows it: without control characters, and UTF-8.
func oneLine(comment string) string {
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, comment), "\ufffd")
}

func (d *document) section(s section) {
	d.line("")
	d.comments("", s.comments)
	d.line("[%s]", keyPath(s.path))
	var inner []entry
	for _, e := range s.table.entries {
		if _, ok := e.value.(*table); ok {
			inner = append(inner, e)
			continue
		}
		d.entry(e)
	}
	for _, e := range inner {
		d.section(section{append(slices.Clone(s.path), e.key), e.value.(*table), e.comments, e.pos})
	}
}

func (d *document) entry(e entry) {
	d.comments("", e.comments)
	text := render(e.value, 0, len(e.key)+3)
	lines := strings.Split(text, "\n")
	if elements, ok := e.value.(list); ok && len(lines) > 1 {
		d.line("%s = [", bare(e.key))
		d.elements(elements, "  ")
		d.line("]")
		return
	}
	d.line("%s = %s", bare(e.key), text)
}

// elements writes a list with an element a line.
func (d *document) elements(elements list, indent string) {
	for _, v := range elements {
		e, ok := v.(element)
		if !ok {
			e.value = v
		}
		d.comments(indent, e.comments)
		trailing := ""
		if e.trailing != "" {
			trailing = "  " + oneLine(e.trailing)
		}
		d.line("%s%s,%s", indent, render(e.value, len(indent), len(indent)+1), trailing)
	}
}

// render is the text of a value that begins in a column; lists that do not fit have an element a line.
func render(v value, indent, column int) string {
	switch v := v.(type) {
	case string:
		return conf.Quote(v)
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case element:
		return render(v.value, indent, column)
	case *table:
		var parts []string
		for _, e := range v.entries {
			parts = append(parts, bare(e.key)+" = "+render(e.value, indent, column+len(e.key)+5))
		}
		if parts == nil {
			return "{}"
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	case list:
		return renderList(v, indent, column)
	}
	panic(fmt.Sprintf("no TOML for %T", v))
}

func renderList(v list, indent, column int) string {
	var parts []string
	commented := false
	size := column
	for _, e := range v {
		part := render(e, indent+2, indent+2)
		parts = append(parts, part)
		size += len(part) + 2
		if e, ok := e.(element); ok && (e.comments != nil || e.trailing != "") || strings.Contains(part, "\n") {
			commented = true
		}
	}
	if !commented && size <= lineWidth {
		return "[" + strings.Join(parts, ", ") + "]"
	}
	blank := strings.Repeat(" ", indent+2)
	var b strings.Builder
	b.WriteString("[\n")
	for i, part := range parts {
		e, _ := v[i].(element)
		for _, c := range e.comments {
			b.WriteString(blank + oneLine(c) + "\n")
		}
		b.WriteString(blank + part + ",")
		if e.trailing != "" {
			b.WriteString("  " + oneLine(e.trailing))
		}
		b.WriteByte('\n')
	}
	return b.String() + blank[2:] + "]"
}

// keyPath is a key of several parts.
func keyPath(parts []string) string {
	var keys []string
	for _, p := range parts {
		keys = append(keys, bare(p))
	}
	return strings.Join(keys, ".")
}

// bare is a key, in quotes if it needs them.
func bare(key string) string {
	for _, c := range []byte(key) {
		if !(c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z') {
			return conf.Key(key)
		}
	}
	if key == "" {
		return `""`
	}
	return key
}
