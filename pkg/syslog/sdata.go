package syslog

import (
	"bytes"
	"iter"
)

// The greatest lengths of an SD-ID, and of an SD-ID with a PARAM-NAME. RFC 5424 has 32 for each; real senders have more,
// and syslog-ng takes these.
const (
	maxSDID   = 248
	maxSDName = 255
)

// scanStructuredData returns the offset behind STRUCTURED-DATA (RFC 5424, section 6.3), which begins at i.
func scanStructuredData(b []byte, i int) (int, error) {
	if i < len(b) && b[i] == '-' {
		return i + 1, nil
	}
	for i < len(b) && b[i] == '[' {
		end, err := scanElement(b, i)
		if err != nil {
			return 0, err
		}
		i = end
	}
	return i, nil
}

// scanElement returns the offset behind the SD-ELEMENT whose bracket is at i.
func scanElement(b []byte, i int) (int, error) {
	id := i + 1
	i = scanSDName(b, id, maxSDID)
	if i == id {
		return 0, &SyntaxError{Offset: i, Want: "SD-ID"}
	}
	idLen := i - id
	for i < len(b) && b[i] == ' ' {
		name := i + 1
		i = scanSDName(b, name, maxSDName-idLen)
		if i == name {
			return 0, &SyntaxError{Offset: i, Want: "PARAM-NAME"}
		}
		if i == len(b) || b[i] != '=' {
			return 0, &SyntaxError{Offset: i, Want: "="}
		}
		if i++; i == len(b) || b[i] != '"' {
			return 0, &SyntaxError{Offset: i, Want: `" before PARAM-VALUE`}
		}
		i++
		for i < len(b) && b[i] != '"' {
			if b[i] == ']' {
				return 0, &SyntaxError{Offset: i + 1, Want: `\ before ] in PARAM-VALUE`}
			}
			if b[i] == '\\' {
				i++
			}
			i++
		}
		if i >= len(b) {
			return 0, &SyntaxError{Offset: len(b), Want: `" after PARAM-VALUE`}
		}
		i++
	}
	if i == len(b) || b[i] != ']' {
		return 0, &SyntaxError{Offset: i, Want: "] or a blank and PARAM-NAME"}
	}
	return i + 1, nil
}

// scanSDName returns the offset behind an SD-NAME of at most limit bytes that begins at i.
func scanSDName(b []byte, i, limit int) int {
	for end := min(len(b), i+limit); i < end; i++ {
		if c := b[i]; c >= 0x80 || c == '=' || c == ' ' || c == ']' || c == '"' {
			break
		}
	}
	return i
}

// A Param is one SD-PARAM with the SD-ID of its element. All are parts of the structured data.
type Param struct {
	ID    []byte
	Name  []byte // empty: an element without parameters
	Value []byte // as written, with its backslashes: see AppendUnescaped
}

// Params goes through structured data as Parse has left it, in written order. An element without parameters comes once,
// without name and value.
func Params(data []byte) iter.Seq[Param] {
	return func(yield func(Param) bool) {
		for i := 0; i < len(data) && data[i] == '['; i++ {
			p := Param{ID: data[i+1 : scanSDName(data, i+1, len(data))]}
			i += 1 + len(p.ID)
			if i < len(data) && data[i] == ']' && !yield(p) {
				return
			}
			for i < len(data) && data[i] == ' ' {
				name := i + 1
				i = scanSDName(data, name, len(data))
				p.Name = data[name:i]
				i += 2
				value := i
				for i < len(data) && data[i] != '"' {
					if data[i] == '\\' {
						i++
					}
					i++
				}
				if i >= len(data) {
					return
				}
				p.Value = data[value:i]
				if i++; !yield(p) {
					return
				}
			}
		}
	}
}

// AppendUnescaped appends a PARAM-VALUE without the backslashes before ", \ and ]; others stand for themselves (RFC 5424,
// section 6.3.3).
func AppendUnescaped(dst, value []byte) []byte {
	for {
		i := bytes.IndexByte(value, '\\')
		if i < 0 || i+1 == len(value) {
			return append(dst, value...)
		}
		dst = append(dst, value[:i]...)
		if c := value[i+1]; c != '"' && c != '\\' && c != ']' {
			dst = append(dst, '\\')
		}
		dst = append(dst, value[i+1])
		value = value[i+2:]
	}
}

// AppendEscaped appends text as a PARAM-VALUE, with a backslash before ", \ and ].
func AppendEscaped(dst, text []byte) []byte {
	for _, c := range text {
		if c == '"' || c == '\\' || c == ']' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return dst
}
