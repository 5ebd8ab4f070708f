package conf

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/pelletier/go-toml/v2/unstable"

	"kad/pkg/spelling"
)

// index walks the syntax tree and notes where each path stands. It stops at the first
// syntax error, which toml.Decode then reports.
func (f *File) index() {
	var p unstable.Parser
	p.Reset(f.data)
	table := ""
	elements := map[string]int{} // of arrays of tables: how many so far
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table:
			table = f.keys("", e.Key(), elements)
		case unstable.ArrayTable:
			table = f.keys("", e.Key(), elements)
			elements[table]++
			table += "[" + strconv.Itoa(elements[table]-1) + "]"
			f.note(table, int(lastKeyOf(e).Raw.Offset))
		case unstable.KeyValue:
			f.keyValue(table, e, elements)
		}
	}
}

func lastKeyOf(e *unstable.Node) *unstable.Node {
	var last *unstable.Node
	for it := e.Key(); it.Next(); {
		last = it.Node()
	}
	return last
}

// keys notes each part of a dotted key below path and returns the whole. A part that
// names an array of tables stands for its last element.
func (f *File) keys(path string, it unstable.Iterator, elements map[string]int) string {
	for it.Next() {
		part := it.Node()
		if n := elements[path]; n > 0 {
			path += "[" + strconv.Itoa(n-1) + "]"
		}
		path = join(path, string(part.Data))
		f.note(path, int(part.Raw.Offset))
	}
	return path
}

func (f *File) keyValue(table string, e *unstable.Node, elements map[string]int) {
	f.value(f.keys(table, e.Key(), elements), e.Value(), elements)
}

// value notes the elements of arrays and the keys of inline tables.
func (f *File) value(path string, v *unstable.Node, elements map[string]int) {
	switch v.Kind {
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			element := path + "[" + strconv.Itoa(i) + "]"
			f.note(element, f.start(it.Node()))
			f.value(element, it.Node(), elements)
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			f.keyValue(path, it.Node(), elements)
		}
	}
}

// start is where a value begins: compound ones have no range of their own, their first
// part has.
func (f *File) start(v *unstable.Node) int {
	for v.Raw.Length == 0 && v.Child() != nil && v.Child().Valid() {
		if v.Kind == unstable.KeyValue {
			it := v.Key()
			it.Next()
			v = it.Node()
			continue
		}
		v = v.Child()
	}
	return int(v.Raw.Offset)
}

func (f *File) note(path string, offset int) {
	if _, ok := f.places[path]; !ok {
		f.places[path] = offset
		f.paths = append(f.paths, path)
	}
}

func join(path, key string) string {
	if path == "" {
		return Key(key)
	}
	return path + "." + Key(key)
}

// unknown reports a key that v, of type t, has no field for, at each place where it
// stands, and the field that may be meant. Of a table that is unknown as a whole only
// its name is reported.
func (f *File) unknown(key toml.Key, t reflect.Type) {
	if at := typeAt(t, key); at != nil && at.Kind() == reflect.Interface {
		return // an any takes all, but the library does not say so
	}
	n := 1
	for n < len(key) && typeAt(t, key[:n]) != nil {
		n++
	}
	hint := DidYouMean(key[n-1], fieldNames(typeAt(t, key[:n-1])))
	plain := key[:n].String()
	for _, path := range f.paths {
		if withoutIndexes(path) == plain && !f.reported(path) {
			f.Hintf(path, hint, "no such key")
		}
	}
}

// notTable reports a value where t wants a table: the library passes it over when the
// table is a map.
func (f *File) notTable(meta toml.MetaData, key toml.Key, t reflect.Type) {
	at := typeAt(t, key)
	if kind := meta.Type(key...); at != nil && at.Kind() == reflect.Map && kind != "Hash" {
		f.Errorf(key.String(), "found %s, want a table", article(strings.ToLower(kind)))
	}
}

func (f *File) reported(path string) bool {
	return slices.ContainsFunc(f.errs, func(e *Error) bool { return e.Path == path })
}

// withoutIndexes turns "hook.a.steps[1].filter" into "hook.a.steps.filter", as the
// library names keys.
func withoutIndexes(path string) string {
	if !strings.Contains(path, "[") {
		return path
	}
	var b strings.Builder
	quoted, skip := false, false
	for _, r := range path {
		switch {
		case r == '"':
			quoted = !quoted
		case r == '[' && !quoted:
			skip = true
		}
		if !skip {
			b.WriteRune(r)
		}
		if r == ']' && !quoted {
			skip = false
		}
	}
	return b.String()
}

// typeAt is the type of the value at path below a t, nil when there is no field for it.
func typeAt(t reflect.Type, path toml.Key) reflect.Type {
	t = element(t)
	if len(path) == 0 {
		return t
	}
	switch t.Kind() {
	case reflect.Interface:
		return t
	case reflect.Map:
		return typeAt(t.Elem(), path[1:])
	case reflect.Struct:
		for _, field := range reflect.VisibleFields(t) {
			if tagName(field) == path[0] {
				return typeAt(field.Type, path[1:])
			}
		}
	}
	return nil
}

func fieldNames(t reflect.Type) []string {
	var names []string
	if t != nil && t.Kind() == reflect.Struct {
		for _, field := range reflect.VisibleFields(t) {
			if field.IsExported() && !field.Anonymous {
				names = append(names, tagName(field))
			}
		}
	}
	return names
}

func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

func tagName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
	if name == "" {
		return field.Name
	}
	return name
}

// DidYouMean is the hint that names the nearest of candidates, "" when none is near.
func DidYouMean(word string, candidates []string) string {
	near := spelling.Nearest(word, candidates...)
	if near == "" {
		return ""
	}
	return "did you mean " + near + "?"
}
