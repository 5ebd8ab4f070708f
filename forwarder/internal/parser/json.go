package parser

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
)

// JSON makes values of an object's members, nested ones with dots in their names. A list of mere values is joined by
// commas, any other is its own text. What is no JSON, or a mere value, does not fit.
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
	text = bytes.TrimLeft(text, " \t\r\n")
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	root, err := decodeJSON(dec, 0)
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
	case []any: // its values have no names
		return true
	}
	return false
}

// A jsonObject keeps its members in their order.
type jsonObject []jsonMember

type jsonMember struct {
	name  string
	value any // nil, bool, json.Number, string, []any, jsonObject
}

const maxJSONDepth = 100

// decodeJSON reads one value.
func decodeJSON(dec *json.Decoder, depth int) (any, error) {
	token, err := dec.Token()
	delim, ok := token.(json.Delim)
	if err != nil || !ok {
		return token, err
	}
	if depth > maxJSONDepth {
		return nil, io.ErrUnexpectedEOF
	}
	if delim == '[' {
		list := []any{}
		for dec.More() {
			v, err := decodeJSON(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	}
	object := jsonObject{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := decodeJSON(dec, depth+1)
		if err != nil {
			return nil, err
		}
		object = append(object, jsonMember{name.(string), v})
	}
	_, err = dec.Token()
	return object, err
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
	case nil:
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
	case json.Number:
		n, err := v.Int64()
		if !strings.ContainsAny(string(v), ".eE") {
			err = nil // too large for 64 bits: n is as near as can be
		}
		if err == nil {
			return strconv.AppendInt(dst, n, 10)
		}
		f, _ := v.Float64()
		return strconv.AppendFloat(dst, f, 'f', 6, 64)
	}
	return dst
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
		dst = appendItem(dst, string(appendScalar(nil, e)))
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
	case json.Number:
		return append(dst, v...)
	}
	return appendScalar(dst, value)
}

// appendItem appends an item of a list, in quotes if it has a comma, quote, blank or backslash.
func appendItem(dst []byte, item string) []byte {
	if item != "" && !strings.ContainsAny(item, " ,\"'\\\t\r\n") {
		return append(dst, item...)
	}
	if strings.Contains(item, `"`) && !strings.Contains(item, "'") {
		return append(append(append(dst, '\''), escapeItem.Replace(item)...), '\'')
	}
	return append(append(append(dst, '"'), strings.ReplaceAll(escapeItem.Replace(item), `"`, `\"`)...), '"')
}

var escapeItem = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
