package logmsg

import (
	"bytes"
	"slices"
	"strings"

	"kad/pkg/syslog"
)

// param finds a parameter of the structured data as it was read, or in the pairs if a step has changed it. Of parameters
// with the same name the last counts.
func (m *Message) param(n Name) (value []byte) {
	if m.exploded || len(m.StructuredData) == 0 {
		return m.lookup(n.text)
	}
	for p := range syslog.Params(m.StructuredData) {
		if isParam(n.text, p) {
			value = unescaped(p.Value)
		}
	}
	return value
}

// unescaped is the value of a parameter. It stays out of the arena, to which a template may be appending at the time.
func unescaped(value []byte) []byte {
	if bytes.IndexByte(value, '\\') < 0 {
		return value
	}
	return syslog.AppendUnescaped(nil, value)
}

// paramName is ".SDATA.ID.NAME" of p.
func paramName(p syslog.Param) string {
	if len(p.Name) == 0 {
		return SDataPrefix + string(p.ID)
	}
	return SDataPrefix + string(p.ID) + "." + string(p.Name)
}

// isParam tells whether name is paramName(p).
func isParam(name string, p syslog.Param) bool {
	rest := name[len(SDataPrefix):]
	if len(p.Name) == 0 {
		return rest == string(p.ID)
	}
	return len(rest) == len(p.ID)+1+len(p.Name) && rest[:len(p.ID)] == string(p.ID) && rest[len(p.ID)] == '.' &&
		rest[len(p.ID)+1:] == string(p.Name)
}

// explode makes pairs of the structured data, so that steps may change it.
func (m *Message) explode() {
	if m.exploded {
		return
	}
	m.exploded = true
	for p := range syslog.Params(m.StructuredData) {
		m.setPair(paramName(p), unescaped(p.Value))
	}
}

// paramNames calls yield with the name of each parameter of the structured data as it was read, once.
func (m *Message) paramNames(yield func(Name)) {
	var seen []string
	for p := range syslog.Params(m.StructuredData) {
		if name := paramName(p); !slices.Contains(seen, name) {
			seen = append(seen, name)
			yield(NameOf(name))
		}
	}
}

// AppendStructuredData appends STRUCTURED-DATA as RFC 5424 has it, nothing if there is none. Elements that steps made stand
// before those that were read, the newest first, as syslog-ng writes them.
func (m *Message) AppendStructuredData(dst []byte) []byte {
	if !m.exploded {
		return append(dst, m.StructuredData...)
	}
	var ids []string
	for _, p := range m.pairs {
		if id, ok := sdID(p.name); ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	read := m.readIDs()
	for i := len(ids) - 1; i >= 0; i-- {
		if !slices.Contains(read, ids[i]) {
			dst = m.appendElement(dst, ids[i])
		}
	}
	for _, id := range read {
		if slices.Contains(ids, id) {
			dst = m.appendElement(dst, id)
		}
	}
	return dst
}

// readIDs are the SD-IDs of the structured data as it was read.
func (m *Message) readIDs() (ids []string) {
	for p := range syslog.Params(m.StructuredData) {
		if !slices.Contains(ids, string(p.ID)) {
			ids = append(ids, string(p.ID))
		}
	}
	return ids
}

func (m *Message) appendElement(dst []byte, id string) []byte {
	dst = append(append(dst, '['), id...)
	for _, p := range m.pairs {
		if got, ok := sdID(p.name); !ok || got != id || len(p.name) == len(SDataPrefix)+len(id) {
			continue
		}
		dst = append(append(dst, ' '), p.name[len(SDataPrefix)+len(id)+1:]...)
		dst = append(dst, `="`...)
		dst = syslog.AppendEscaped(dst, p.value)
		dst = append(dst, '"')
	}
	return append(dst, ']')
}

// sdID is the SD-ID in the name of a pair: all up to the last dot, since an enterprise number may have dots of its own.
func sdID(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, SDataPrefix)
	if !ok {
		return "", false
	}
	if at := strings.IndexByte(rest, '@'); at >= 0 {
		end := at + 1
		for end < len(rest) && ('0' <= rest[end] && rest[end] <= '9' || rest[end] == '.' && end+1 < len(rest) && '0' <= rest[end+1] && rest[end+1] <= '9') {
			end++
		}
		return rest[:end], true
	}
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		return rest[:i], true
	}
	return rest, true
}

// StructuredDataBytes is what AppendStructuredData appends.
func (m *Message) StructuredDataBytes() []byte {
	if !m.exploded {
		return m.StructuredData
	}
	return m.AppendStructuredData(nil)
}
