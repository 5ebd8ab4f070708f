package match

import "strings"

// fromPCRE writes those parts of a regular expression that RE2 has not, and has other words for, in RE2's syntax.
func fromPCRE(expr string) string {
	if !strings.ContainsAny(expr, `\(`) {
		return expr
	}
	var b strings.Builder
	inClass := false
	for i := 0; i < len(expr); i++ {
		switch c := expr[i]; {
		case c == '\\' && i+1 < len(expr):
			i++
			b.WriteString(escaped(expr[i], inClass))
			if expr[i] == 'Q' { // up to \E nothing has a meaning
				end := strings.Index(expr[i:], `\E`)
				if end < 0 {
					end = len(expr) - i
				}
				b.WriteString(expr[i+1 : i+end])
				i += end - 1
			}
		case inClass:
			inClass = c != ']'
			b.WriteByte(c)
		case strings.HasPrefix(expr[i:], "(?#") && strings.IndexByte(expr[i:], ')') > 0: // a comment
			i += strings.IndexByte(expr[i:], ')')
		case c == '[':
			inClass = true
			n := 1 + len(expr[i+1:]) - len(strings.TrimPrefix(strings.TrimPrefix(expr[i+1:], "^"), "]")) // the first ] is an ordinary one
			b.WriteString(expr[i : i+n])
			i += n - 1
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// blanks are those of \h.
const blanks = `\t \x{a0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}`

// escaped is what a backslash and c stand for.
func escaped(c byte, inClass bool) string {
	switch {
	case c == 'h' && inClass:
		return blanks
	case c == 'h':
		return "[" + blanks + "]"
	case inClass:
	case c == 'H':
		return "[^" + blanks + "]"
	case c == 'N':
		return `[^\n]`
	case c == 'R':
		return `(?:\r\n|[\n\v\f\r\x{85}\x{2028}\x{2029}])`
	case c == 'Z':
		return `(?:\n?\z)`
	}
	return string([]byte{'\\', c})
}
