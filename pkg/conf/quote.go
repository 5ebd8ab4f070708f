package conf

import (
	"fmt"
	"strings"
)

// Quote is s as a TOML string in the form that needs the fewest escapes.
func Quote(s string) string {
	plain := !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd })
	switch {
	case !plain || !strings.ContainsAny(s, `"\`):
		return basic(s)
	case !strings.Contains(s, "'"):
		return "'" + s + "'"
	case !strings.Contains(s, "'''") && !strings.HasSuffix(s, "'"):
		return "'''" + s + "'''"
	}
	return basic(s)
}

// basic is a TOML string in double quotes. Bytes that are not UTF-8 become U+FFFD.
func basic(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
