package parser

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
)

// JSON makes values of an object's members, nested ones with dots in their names. A list of mere values is joined by
// commas, any other is its own text; the elements of one that is the root are $1, $2, ... What is no JSON, or a mere value,
// does not fit.
type JSON struct {
	Common
	Prefix        string `toml:"prefix"`         // of the names
	Marker        string `toml:"marker"`         // what the text has to begin with
	ExtractPrefix string `toml:"extract_prefix"` // the member that is taken, "a.b[2]"
	KeyDelimiter  string `toml:"key_delimiter"`  // between the names of nested members

	path []any // names and indices
}

// Init readies the parser.
func (j *JSON) Init() error {
	for i, word := range strings.Split(j.ExtractPrefix, ".") {
		if word == "" && i == 0 && j.ExtractPrefix == "" {
			break
		}
		name, index, ok := strings.Cut(word, "[")
		if name == "" && (i > 0 || !ok) {
			return option.Errorf("extract_prefix", "%q has an empty name", j.ExtractPrefix)
		}
		if name != "" {
			j.path = append(j.path, name)
		}
		for ok {
			var digits string
			digits, index, ok = strings.Cut(index, "]")
			n, err := strconv.ParseUint(digits, 10, 31)
			if !ok || err != nil {
				return option.Errorf("extract_prefix", "%q has an index that is not a number in brackets", j.ExtractPrefix)
			}
			j.path = append(j.path, int(n))
			index, ok = strings.CutPrefix(index, "[")
		}
	}
	return nil
}

// Process parses m.
func (j *JSON) Process(m *logmsg.Message) bool {
	text := j.input(m)
	if j.Marker != "" {
		rest, ok := bytes.CutPrefix(text, []byte(j.Marker))
		if !ok {
			return false
		}
		text = rest
	}
	root, err := decodeJSON(text)
	if err != nil {
		return false
	}
	for _, step := range j.path {
		if root = member(root, step); root == nil {
			return false
		}
	}
	switch root := root.(type) {
	case jsonObject:
		j.setObject(m, j.Prefix, root)
		return true
	case []any:
		items := make([][]byte, len(root))
		for i, v := range root {
			items[i] = appendValue(nil, v)
		}
		filter.StoreItems(m, items)
		return true
	}
	return false
}

func member(of, step any) any {
	switch step := step.(type) {
	case int:
		if list, ok := of.([]any); ok && step < len(list) {
			return list[step]
		}
	case string:
		object, _ := of.(jsonObject)
		for _, m := range object {
			if m.name == step {
				return m.value
			}
		}
	}
	return nil
}

func (j *JSON) setObject(m *logmsg.Message, prefix string, object jsonObject) {
	for _, member := range object {
		j.set(m, prefix+member.name, member.value)
	}
}

func (j *JSON) set(m *logmsg.Message, name string, value any) {
	switch v := value.(type) {
	case jsonObject:
		j.setObject(m, name+j.KeyDelimiter, v)
	case []any:
		text, ok := appendList(m.Arena(), v)
		if !ok {
			text = appendJSON(m.Arena(), v)
		}
		m.SetArena(logmsg.NameOf(name), text)
	default:
		m.SetArena(logmsg.NameOf(name), appendScalar(m.Arena(), v))
	}
}

func appendScalar(dst []byte, value any) []byte {
	switch v := value.(type) {
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return append(dst, v...)
	case jsonNumber:
		return v.append(dst)
	}
	return dst
}

// appendValue appends a mere value, or what another one was.
func appendValue(dst []byte, value any) []byte {
	switch value.(type) {
	case []any, jsonObject:
		return appendJSON(dst, value)
	}
	return appendScalar(dst, value)
}

// appendList joins mere values by commas.
func appendList(dst []byte, list []any) ([]byte, bool) {
	for i, e := range list {
		switch e.(type) {
		case []any, jsonObject:
			return dst, false
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = template.AppendItem(dst, appendScalar(nil, e), "")
	}
	return dst, true
}

// appendJSON writes a value as it was, without blanks.
func appendJSON(dst []byte, value any) []byte {
	switch v := value.(type) {
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case jsonObject:
		dst = append(dst, '{')
		for i, member := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSON(dst, member.name), ':')
			dst = appendJSON(dst, member.value)
		}
		return append(dst, '}')
	case string:
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(v) // a string can be encoded
		return append(dst, bytes.ReplaceAll(bytes.TrimRight(text.Bytes(), "\n"), []byte("/"), []byte(`\/`))...)
	case nil:
		return append(dst, "null"...)
	case jsonNumber:
		return append(dst, v...)
	}
	return appendScalar(dst, value)
}
