package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
	"kad/pkg/conf"
)

// A record is what was read of a file, with what it was decoded into.
type record struct {
	*decoder
	root *document
}

// Effective is the configuration as forwarder uses it, in TOML: what the file leaves out has its default. It can be loaded
// again. There are no secrets in it: options name the files that have them.
func (c *Config) Effective() string {
	w := effective{record: c.record}
	w.line("# The effective configuration of %s.", c.name)
	w.section("options", c.record.root.Options)
	for _, s := range []struct {
		name  string
		table table
	}{
		{"template", c.record.root.Template}, {"filter", c.record.root.Filter}, {"source", c.record.root.Source}, {"parser", c.record.root.Parser},
		{"rewrite", c.record.root.Rewrite}, {"destination", c.record.root.Destination}, {"log", c.record.root.Log},
	} {
		for _, name := range w.decoder.keys(s.name, s.table) {
			w.section(join(s.name, name), s.table[name].(table))
		}
	}
	return w.b.String()
}

// An effective writes TOML.
type effective struct {
	record
	b strings.Builder
}

func (w *effective) line(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n", args...) }

// section writes a table under its own header, and behind it those in it.
func (w *effective) section(path string, t table) {
	inner := map[string]table{}
	keys := w.keys(path, t)
	if slices.ContainsFunc(keys, func(key string) bool { return !isTable(w.value(path, t, key)) }) || len(keys) == 0 {
		w.line("\n[%s]", path)
	}
	for _, key := range keys {
		v := w.value(path, t, key)
		if sub, ok := v.(table); ok {
			inner[key] = sub
			continue
		}
		w.line("%s = %s", conf.Key(key), w.render(join(path, key), v, 0))
	}
	for _, key := range keys {
		if sub, ok := inner[key]; ok {
			w.section(join(path, key), sub)
		}
	}
}

func isTable(v any) bool {
	_, ok := v.(table)
	return ok
}

// keys are those of the file, and then those of all options that have a default.
func (w *effective) keys(path string, t table) []string {
	keys := w.decoder.keys(path, t)
	if i := slices.Index(keys, "driver"); i > 0 {
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, "driver")
	}
	return append(keys, w.defaults(path, t)...)
}

// defaults are the options that the file leaves out, in the order of their driver.
func (w *effective) defaults(path string, t table) (keys []string) {
	v, ok := w.filled[path]
	if !ok {
		return nil
	}
	for _, key := range tagsOf(v.Type()) {
		if _, given := t[key]; !given && w.value(path, t, key) != nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// tagsOf are the keys of a struct's options, in its order.
func tagsOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if tag := f.Tag.Get("toml"); tag != "" {
			keys = append(keys, tag)
		} else if f.Anonymous && f.Type.Kind() == reflect.Struct {
			keys = append(keys, tagsOf(f.Type)...)
		}
	}
	return keys
}

// value is what the file says, else the default; nil: there is none.
func (w *effective) value(path string, t table, key string) any {
	if v, ok := t[key]; ok {
		return v
	}
	v, ok := w.filled[path]
	if !ok {
		return nil
	}
	fields := map[string]reflect.Value{}
	fieldsOf(v, fields)
	return plain(fields[key])
}

// plain is an option as TOML has it, nil if it is not set.
func plain(v reflect.Value) any {
	switch o := v.Interface().(type) {
	case option.Duration:
		return time.Duration(o).String()
	case option.Size:
		return int64(o)
	case option.Mode:
		return fmt.Sprintf("%04o", uint32(o))
	case option.Zone:
		if o.Location == nil {
			return ""
		}
		return o.String()
	case template.TimeFormat:
		return o.String()
	case *template.Template:
		if o != nil {
			return o.String()
		}
		return nil
	case *filter.Expr:
		if o != nil {
			return o.String()
		}
		return ""
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int:
		return v.Int()
	case reflect.Slice:
		list := []any{}
		for i := range v.Len() {
			list = append(list, plain(v.Index(i)))
		}
		return list
	}
	return nil // a table that is not there
}

// render is the text of a value at a path, whose lines begin indent blanks from the left.
func (w *effective) render(path string, v any, indent int) string {
	switch v := v.(type) {
	case string:
		return conf.Quote(v)
	case table:
		var parts []string
		for _, key := range w.keys(path, v) {
			parts = append(parts, conf.Key(key)+" = "+w.render(join(path, key), w.value(path, v, key), indent))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	case []table:
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		return w.render(path, list, indent)
	case []any:
		return w.list(path, v, indent)
	}
	return fmt.Sprint(v)
}

// list is an array, with an element a line if there are tables in it.
func (w *effective) list(path string, list []any, indent int) string {
	var parts []string
	for i, e := range list {
		parts = append(parts, w.render(index(path, i), e, indent+2))
	}
	if !slices.ContainsFunc(list, isTable) {
		return "[" + strings.Join(parts, ", ") + "]"
	}
	blank := strings.Repeat(" ", indent)
	return "[\n" + blank + "  " + strings.Join(parts, ",\n"+blank+"  ") + ",\n" + blank + "]"
}
