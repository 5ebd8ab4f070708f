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
// commas, any other has an index in brackets behind its name. What is no object does not fit.
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
	object, ok := root.(jsonObject)
	if !ok {
		return false
	}
	j.setObject(m, j.Prefix, object)
	return true
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
		if text, ok := appendList(m.Arena(), v); ok {
			m.SetArena(logmsg.NameOf(name), text)
			return
		}
		for i, e := range v {
			j.set(m, name+"["+strconv.Itoa(i)+"]", e)
		}
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
		if _, err := v.Int64(); err == nil {
			return append(dst, v...)
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
		case nil, []any, jsonObject:
			return dst, false
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendItem(dst, string(appendScalar(nil, e)))
	}
	return dst, true
}

// appendItem appends an item of a list, in quotes if it has a comma, quote, blank or backslash.
func appendItem(dst []byte, item string) []byte {
	if !strings.ContainsAny(item, " ,\"'\\\t\r\n") {
		return append(dst, item...)
	}
	if strings.Contains(item, `"`) && !strings.Contains(item, "'") {
		return append(append(append(dst, '\''), escapeItem.Replace(item)...), '\'')
	}
	return append(append(append(dst, '"'), strings.ReplaceAll(escapeItem.Replace(item), `"`, `\"`)...), '"')
}

var escapeItem = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
