package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
	"kad/pkg/conf"
)

// A table is a TOML table as it was read.
type table = map[string]any

// A decoder fills the options of drivers from tables, and reports everything that is wrong with them.
type decoder struct {
	*conf.File
	env    func() *environment
	use    func(kind string, names ...string) // notes which objects are named
	order  map[string]int                     // of paths in the file
	filled map[string]reflect.Value           // what tables were decoded into, by path
	// resolve are the templates and expressions that were met, to be resolved when all names are known.
	resolve []func()
}

// keys are the keys of a table in the file's order.
func (d *decoder) keys(path string, t table) []string {
	keys := make([]string, 0, len(t))
	for k := range t {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return d.order[join(path, a)] - d.order[join(path, b)] })
	return keys
}

func join(path, key string) string {
	if path == "" {
		return conf.Key(key)
	}
	return path + "." + conf.Key(key)
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// asTable reports a value that is no table.
func (d *decoder) asTable(path string, v any) table {
	t, ok := v.(table)
	if !ok {
		d.Errorf(path, "found %s, want a table", kindOf(v))
	}
	return t
}

// asList reports a value that is no array.
func (d *decoder) asList(path string, v any) []any {
	switch v := v.(type) {
	case []any:
		return v
	case []table:
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		return list
	}
	d.Errorf(path, "found %s, want an array", kindOf(v))
	return nil
}

// asString reports a value that is no string.
func (d *decoder) asString(path string, v any) (string, bool) {
	s, ok := v.(string)
	if !ok {
		d.Errorf(path, "found %s, want a string", kindOf(v))
	}
	return s, ok
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "a whole number"
	case float64:
		return "a float"
	case table:
		return "a table"
	case []any, []table:
		return "an array"
	}
	return "a date"
}

// fill decodes t into the struct that into points to. Keys in skip are the caller's.
func (d *decoder) fill(path string, t table, into any, skip ...string) {
	d.filled[path] = reflect.ValueOf(into).Elem()
	fields := map[string]reflect.Value{}
	fieldsOf(d.filled[path], fields)
	for _, key := range d.keys(path, t) {
		if slices.Contains(skip, key) {
			continue
		}
		at := join(path, key)
		if f, ok := fields[key]; ok {
			d.value(at, t[key], f)
		} else {
			d.unknownKey(at, key, slices.Concat(names(fields), skip))
		}
	}
}

func (d *decoder) unknownKey(path, key string, known []string) {
	slices.Sort(known)
	d.Hintf(path, conf.DidYouMean(key, known), "no option %q", key)
}

func names[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// fieldsOf finds the fields with a toml tag, those of embedded structs too.
func fieldsOf(v reflect.Value, into map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if tag := f.Tag.Get("toml"); tag != "" {
			into[tag] = v.Field(i)
		} else if f.Anonymous && f.Type.Kind() == reflect.Struct {
			fieldsOf(v.Field(i), into)
		}
	}
}

// value decodes one value.
func (d *decoder) value(path string, in any, out reflect.Value) {
	if out.Kind() == reflect.Pointer {
		if _, isExpr := out.Interface().(*filter.Expr); isExpr && in == "" {
			return
		}
		out.Set(reflect.New(out.Type().Elem()))
		out = out.Elem()
	}
	if u, ok := out.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(path, in, u)
		return
	}
	switch out.Kind() {
	case reflect.String:
		if s, ok := d.asString(path, in); ok {
			out.SetString(s)
		}
	case reflect.Bool:
		b, ok := in.(bool)
		if !ok {
			d.Errorf(path, "found %s, want true or false", kindOf(in))
		}
		out.SetBool(b)
	case reflect.Int:
		n, ok := in.(int64)
		if !ok || n > math.MaxInt32 || n < math.MinInt32 {
			d.Errorf(path, "found %s, want a whole number of at most %d", kindOf(in), math.MaxInt32)
			return
		}
		out.SetInt(n)
	case reflect.Slice:
		list := d.asList(path, in)
		out.Set(reflect.MakeSlice(out.Type(), len(list), len(list)))
		for i, e := range list {
			d.value(index(path, i), e, out.Index(i))
		}
	case reflect.Struct:
		if t := d.asTable(path, in); t != nil {
			d.fill(path, t, out.Addr().Interface())
		}
	}
}

// text decodes a scalar that has a text of its own, and notes what has names to be resolved.
func (d *decoder) text(path string, in any, out encoding.TextUnmarshaler) {
	text := ""
	switch v := in.(type) {
	case string:
		text = v
	case int64, float64:
		text = fmt.Sprint(v)
	default:
		d.Errorf(path, "found %s, want a string", kindOf(in))
		return
	}
	if err := out.UnmarshalText([]byte(text)); err != nil {
		d.Errorf(path, "%v", err)
		return
	}
	d.note(path, out)
}

// note remembers what has to be resolved.
func (d *decoder) note(path string, v any) {
	switch v := v.(type) {
	case *template.Template:
		d.use("template", v.Uses()...)
		d.resolve = append(d.resolve, func() { d.failed(path, v.Resolve(d.env().template)) })
	case *filter.Expr:
		d.use("filter", v.Uses()...)
		d.resolve = append(d.resolve, func() { d.failed(path, v.Resolve(d.env().filter)) })
	}
}

// failed reports the error of an object, at its option if it names one.
func (d *decoder) failed(path string, err error) {
	if err == nil {
		return
	}
	if e, ok := errors.AsType[*option.Error](err); ok {
		d.Errorf(path+"."+e.Key, "%v", e.Err)
		return
	}
	if e, ok := errors.AsType[*filter.UnknownError](err); ok {
		d.Hintf(path, conf.DidYouMean(e.Name, e.Known), "%v", err)
		return
	}
	d.Errorf(path, "%v", err)
}

// flagNames reads a list of flags, which are known by their names.
func (d *decoder) flagNames(path string, v any, known []string, set func(name string)) {
	for i, e := range d.asList(path, v) {
		at := index(path, i)
		name, ok := d.asString(at, e)
		if !ok {
			continue
		}
		if !slices.Contains(known, name) {
			d.Hintf(at, conf.DidYouMean(name, known), "no flag %q, want one of %s", name, strings.Join(known, ", "))
			continue
		}
		set(name)
	}
}
