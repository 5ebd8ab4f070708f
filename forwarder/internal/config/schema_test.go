package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kad/pkg/conf"
)

var update = flag.Bool("update", false, "rewrite the JSON schema")

const schemaFile = "../../../examples/forwarder/forwarder.schema.json"

// TestSchema holds the committed schema against the options, and a few of its entries against what an editor needs.
func TestSchema(t *testing.T) {
	got, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(schemaFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(schemaFile)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the options are, go test -update rewrites it: %v", schemaFile, err)
	}
	var s struct {
		Definitions map[string]struct {
			AnyOf []struct {
				Properties map[string]struct {
					Const       any
					Type        any
					Default     any
					Enum        []string
					Description string
				}
			}
		}
	}
	if err := json.Unmarshal(got, &s); err != nil {
		t.Fatal(err)
	}
	for _, variant := range s.Definitions["destination"].AnyOf {
		p := variant.Properties
		if p["driver"].Const != "file" {
			continue
		}
		if p["perm"].Default != "0600" || p["time_reap"].Default != "1m0s" || p["rotate_keep"].Default != 5.0 || p["time_reap"].Description != "an unused file is closed" {
			t.Errorf("file: %+v", p)
		}
		return
	}
	t.Error("no file destination")
}

// TestSchemaTakes: the reference and the examples are valid by the schema, a mistake is not.
func TestSchemaTakes(t *testing.T) {
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	v := validator{}
	if err := json.Unmarshal(data, &v.root); err != nil {
		t.Fatal(err)
	}
	takes := func(name string, text []byte) bool {
		var doc map[string]any
		if _, err := conf.Decode(name, text, &doc); err != nil {
			t.Fatal(err)
		}
		return v.takes(v.root, doc)
	}
	files, _ := filepath.Glob("../../../examples/forwarder/*.toml")
	for _, name := range append(files, "reference.toml") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !takes(name, text) {
			t.Errorf("%s is not valid by the schema", name)
		}
	}
	for _, text := range []string{
		"[sorce.s]", "[source.s]\ndriver = 'netwrk'", "[source.s]\ndriver = 'network'\nport = 'x'", "[source.s]\ndriver = 'network'\ntransport = 'quic'",
		"[log.a]\nflags = ['finel']", "[log.a]\nsteps = [{ fliter = 'f' }]", "[log.a.log.b]\nsource = ['s']", "[options]\nkeep_hostname = 1",
	} {
		if takes("x.toml", []byte(text)) {
			t.Errorf("the schema takes %s", text)
		}
	}
}

// A validator knows what Schema uses of JSON Schema.
type validator struct{ root map[string]any }

func (v *validator) takes(s map[string]any, value any) bool {
	if ref, ok := s["$ref"].(string); ok {
		definitions := v.root["definitions"].(map[string]any)
		return v.takes(definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any), value)
	}
	if list, ok := s["anyOf"].([]any); ok {
		return slices.ContainsFunc(list, func(a any) bool { return v.takes(a.(map[string]any), value) })
	}
	if c, ok := s["const"]; ok {
		return value == c
	}
	if words, ok := s["enum"].([]any); ok && !slices.Contains(words, value) {
		return false
	}
	switch value := value.(type) {
	case map[string]any:
		return has(s, "object") && v.takesTable(s, value)
	case []map[string]any:
		return has(s, "array") && !slices.ContainsFunc(value, func(e map[string]any) bool { return !v.takes(s["items"].(map[string]any), e) })
	case []any:
		return has(s, "array") && !slices.ContainsFunc(value, func(e any) bool { return !v.takes(s["items"].(map[string]any), e) })
	case string:
		return has(s, "string")
	case bool:
		return has(s, "boolean")
	}
	return has(s, "integer") || has(s, "number")
}

func (v *validator) takesTable(s map[string]any, table map[string]any) bool {
	for _, key := range asList(s["required"]) {
		if _, ok := table[key.(string)]; !ok {
			return false
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for key, value := range table {
		of, ok := properties[key].(map[string]any)
		if !ok {
			of, ok = s["additionalProperties"].(map[string]any)
		}
		if !ok || !v.takes(of, value) {
			return false
		}
	}
	return true
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

func has(s map[string]any, kind string) bool {
	return s["type"] == kind || slices.Contains(asList(s["type"]), any(kind))
}
