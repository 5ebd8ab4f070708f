package config

import (
	_ "embed" // the reference
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/parser"
	"kad/forwarder/internal/rewrite"
	"kad/forwarder/internal/source"
	"kad/forwarder/internal/template"
)

//go:embed reference.toml
var reference string

// A schema is one of JSON Schema (draft 7).
type schema = map[string]any

// Schema is what forwarder.toml may have in it as a JSON Schema, for editors. Keys and defaults are those of the drivers,
// the descriptions are the comments of the reference.
func Schema() ([]byte, error) {
	s := schemer{comments: comments(reference), definitions: schema{}}
	globals := option.Defaults()
	object := func(kind string, variants []any) schema {
		s.definitions[kind] = schema{"anyOf": append(variants, schema{
			"type": "object", "required": []string{"drivers"}, "additionalProperties": false,
			"properties": schema{"drivers": array(schema{"anyOf": variants})},
		})}
		return schema{"type": "object", "additionalProperties": ref(kind)}
	}
	one := func(kind, key, description string) schema {
		return schema{"type": "object", "additionalProperties": schema{
			"type": "object", "required": []string{key}, "additionalProperties": false,
			"properties": schema{key: schema{"type": "string", "description": description}, "template_escape": schema{"type": "boolean"}},
		}, "description": kind}
	}
	s.defineSteps()
	root := schema{
		"$schema": "http://json-schema.org/draft-07/schema#", "title": "forwarder.toml", "type": "object", "additionalProperties": false,
		"definitions": s.definitions,
		"properties": schema{
			"options":     s.object("options", reflect.ValueOf(&globals).Elem(), nil),
			"template":    one("templates by name", "template", "macros, values and functions: $HOST, ${user:-nobody}, $(uppercase $PROGRAM)"),
			"filter":      one("filters by name", "expr", "an expression: facility(mail) and not program(\"sudo\")"),
			"source":      object("source", variants(&s, "source", source.Drivers, &globals, "steps")),
			"parser":      object("parser", variants(&s, "parser", withGlobals(parser.Drivers), &globals)),
			"rewrite":     object("rewrite", variants(&s, "rewrite", withGlobals(rewrite.Drivers), &globals)),
			"destination": object("destination", variants(&s, "destination", destination.Drivers, &globals, "steps", "throttle")),
			"log":         schema{"type": "object", "additionalProperties": ref("log")},
		},
	}
	return json.MarshalIndent(root, "", " ")
}

// withGlobals gives constructors of drivers that have no global defaults the signature of the others.
func withGlobals[T any](known map[string]func() T) map[string]func(*option.Globals) T {
	with := map[string]func(*option.Globals) T{}
	for name, make := range known {
		with[name] = func(*option.Globals) T { return make() }
	}
	return with
}

func ref(definition string) schema { return schema{"$ref": "#/definitions/" + definition} }

func array(items any) schema { return schema{"type": "array", "items": items} }

// A schemer makes schemas of the drivers' options.
type schemer struct {
	comments    map[string]string // by "source.network.port", "source..port"
	definitions schema
}

// variants are the schemas of the drivers of a kind.
func variants[T any](s *schemer, kind string, drivers map[string]func(*option.Globals) T, globals *option.Globals, more ...string) (list []any) {
	for _, name := range slices.Sorted(maps.Keys(drivers)) {
		o := s.object(kind+"."+name, reflect.ValueOf(drivers[name](globals)).Elem(), more)
		o["properties"].(schema)["driver"] = schema{"const": name}
		o["required"] = []string{"driver"}
		list = append(list, o)
	}
	return list
}

// object is the schema of a struct of options.
func (s *schemer) object(path string, v reflect.Value, more []string) schema {
	fields := map[string]reflect.Value{}
	fieldsOf(v, fields)
	properties := schema{}
	for key, f := range fields {
		p := s.value(path+"."+key, f)
		s.describe(p, path, key)
		properties[key] = p
	}
	for _, key := range more {
		p := map[string]schema{"steps": ref("steps"), "throttle": {"type": "integer"}}[key]
		properties[key] = p
	}
	return schema{"type": "object", "additionalProperties": false, "properties": properties}
}

// value is the schema of one option, with its default.
func (s *schemer) value(path string, v reflect.Value) schema {
	switch d := v.Interface().(type) {
	case option.Duration:
		return schema{"type": []string{"string", "number"}, "default": time.Duration(d).String()}
	case option.Size:
		return schema{"type": []string{"string", "integer"}, "default": int64(d)}
	case option.Mode:
		text := "0000"
		for i, m := 3, d; i >= 0; i, m = i-1, m>>3 {
			text = text[:i] + string('0'+rune(m&7)) + text[i+1:]
		}
		return schema{"type": "string", "default": text}
	case *template.Template, *filter.Expr:
		return schema{"type": "string"}
	}
	if v.Kind() == reflect.Pointer {
		v = reflect.New(v.Type().Elem()).Elem()
	}
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return schema{"type": "string"}
	}
	switch v.Kind() {
	case reflect.Bool:
		return schema{"type": "boolean", "default": v.Bool()}
	case reflect.Int:
		return schema{"type": "integer", "default": v.Int()}
	case reflect.Slice:
		p := array(s.value(path, reflect.New(v.Type().Elem()).Elem()))
		if v.Len() > 0 {
			p["default"] = v.Interface()
		}
		delete(p["items"].(schema), "default")
		return p
	case reflect.Struct:
		return s.object(path, v, nil)
	}
	return schema{"type": "string", "default": v.String()}
}

// choices is a comment that begins with the words which a value may be.
var choices = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([a-z0-9_.]+(?:, [a-z0-9_.]+)+)(?:$|[:;] )`)
})

// describe takes the comment of the reference: that of the driver, or of another one with the same key.
func (s *schemer) describe(p schema, path, key string) {
	text, ok := s.comments[path+"."+key]
	if kind, _, has := strings.Cut(path, "."); !ok && has {
		text = s.comments[kind+".."+key]
	}
	if text == "" {
		return
	}
	p["description"] = text
	if m := choices().FindStringSubmatch(text); m != nil && p["type"] == "string" {
		if words := strings.Split(m[1], ", "); p["default"] == "" || slices.Contains(words, p["default"].(string)) {
			p["enum"] = words
			if p["default"] == "" {
				p["enum"] = append(words, "")
			}
		}
	}
}

// defineSteps defines what stands in log statements.
func (s *schemer) defineSteps() {
	text, steps := schema{"type": "string"}, ref("steps")
	inline := func(kind string) schema {
		return schema{"anyOf": []any{text, ref(kind), array(ref(kind))}}
	}
	flags := func(known ...string) schema { return array(schema{"type": "string", "enum": known}) }
	all := names(pathFlags)
	embedded := slices.DeleteFunc(slices.Clone(all), func(f string) bool { return f == "catchall" })
	step := func(required string, properties schema) schema {
		return schema{"type": "object", "required": []string{required}, "additionalProperties": false, "properties": properties}
	}
	branch := schema{"if": text, "then": steps}
	s.definitions["steps"] = array(schema{"anyOf": []any{
		step("filter", schema{"filter": schema{"type": "string", "description": "the name of a filter, or an expression"}}),
		step("parser", schema{"parser": inline("parser")}),
		step("rewrite", schema{"rewrite": inline("rewrite")}),
		step("destination", schema{"destination": inline("destination")}),
		step("if", schema{"if": text, "then": steps, "elif": array(step("if", branch)), "else": steps}),
		step("junction", schema{"junction": array(schema{
			"type": "object", "additionalProperties": false, "properties": schema{"steps": steps, "flags": flags(embedded...)},
		})}),
	}})
	statement := func(flags schema, more schema) schema {
		p := schema{
			"steps": steps, "destination": array(schema{"anyOf": []any{text, ref("destination")}}), "flags": flags,
			"log": schema{"type": "object", "additionalProperties": ref("embedded")},
		}
		maps.Copy(p, more)
		return schema{"type": "object", "additionalProperties": false, "properties": p}
	}
	s.definitions["embedded"] = statement(flags(embedded...), nil)
	s.definitions["log"] = statement(flags(all...), schema{"source": array(schema{"anyOf": []any{text, ref("source")}})})
}

// comments are those of the reference, behind a key or above it, by section, driver and key; without the driver, the first
// of any.
func comments(text string) map[string]string {
	sectionLine := regexp.MustCompile(`^\[([a-z]+)(?:\.[a-z_]+)?((?:\.[a-z_]+)*)\]`)
	driverLine := regexp.MustCompile(`^driver = "([a-z_0-9]+)"`)
	keyLine := regexp.MustCompile(`^([a-z_0-9]+) = .*?(?:\s+# (.*))?$`)
	found := map[string]string{}
	section, driver, inner, above := "", "", "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := sectionLine.FindStringSubmatch(line); m != nil {
			if section, inner = m[1], m[2]; inner == "" {
				driver = ""
			}
		} else if m := driverLine.FindStringSubmatch(line); m != nil {
			driver = m[1]
		} else if words, ok := strings.CutPrefix(line, "# "); ok {
			above = strings.TrimSpace(above + " " + words)
			continue
		} else if m := keyLine.FindStringSubmatch(line); m != nil && m[2]+above != "" {
			key := inner + "." + m[1]
			if m[2] == "" {
				m[2] = above
			}
			if section == "options" {
				found[section+key] = m[2]
			} else {
				found[section+"."+driver+key] = m[2]
				if _, ok := found[section+"."+key]; !ok {
					found[section+"."+key] = m[2]
				}
			}
		}
		above = ""
	}
	return found
}
