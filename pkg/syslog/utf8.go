package syslog

import (
	"bytes"
	"unicode/utf8"
)

// ValidUTF8 tells whether text is UTF-8 without NUL.
func ValidUTF8(text []byte) bool { return utf8.Valid(text) && bytes.IndexByte(text, 0) < 0 }

// AppendSanitized appends text in a form that is UTF-8 whatever it was: what is not, NUL included, becomes \xNN, and
// control characters and backslashes get a backslash, so that nothing is ambiguous.
func AppendSanitized(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		c := text[0]
		switch {
		case r == '\\':
			dst = append(dst, '\\', '\\')
		case r == '\b':
			dst = append(dst, '\\', 'b')
		case r == '\f':
			dst = append(dst, '\\', 'f')
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < ' ', r == utf8.RuneError && size == 1:
			dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, text[:size]...)
		}
		text = text[size:]
	}
	return dst
}
