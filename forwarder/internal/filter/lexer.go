package filter

import (
	"fmt"
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokenEnd      tokenKind = iota
	tokenWord               // a name, a number, a range a..b, an address, a simple pattern
	tokenString             // in quotes
	tokenTemplate           // begins with a dollar
	tokenSign
)

type token struct {
	kind tokenKind
	text string // of a string without quotes and escapes
	pos  int
}

// isNumber tells whether the token is a number without quotes.
func (t token) isNumber() bool {
	digits := strings.TrimPrefix(t.text, "-")
	return t.kind == tokenWord && digits != "" && digits[0] >= '0' && digits[0] <= '9'
}

type lexer struct {
	text string
	pos  int
}

// peek is the next character that is no blank.
func (l *lexer) peek() byte {
	rest := strings.TrimLeft(l.text[l.pos:], blanks)
	if rest == "" {
		return 0
	}
	return rest[0]
}

const blanks = " \t\r\n"

func (l *lexer) next() (token, error) {
	for {
		l.pos = len(l.text) - len(strings.TrimLeft(l.text[l.pos:], blanks))
		if l.pos == len(l.text) || l.text[l.pos] != '#' {
			break
		}
		end := strings.IndexByte(l.text[l.pos:], '\n')
		if end < 0 {
			end = len(l.text) - l.pos
		}
		l.pos += end
	}
	tok := token{pos: l.pos}
	if l.pos == len(l.text) {
		return tok, nil
	}
	switch c := l.text[l.pos]; {
	case c == '"' || c == '\'':
		tok.kind = tokenString
		return tok, l.quoted(c, &tok.text)
	case c == '$':
		tok.kind = tokenTemplate
		l.pos += macroLength(l.text[l.pos:])
	case isWordByte(c):
		tok.kind = tokenWord
		for l.pos < len(l.text) && isWordByte(l.text[l.pos]) {
			l.pos++
		}
	default:
		tok.kind = tokenSign
		n := 1
		for _, sign := range []string{"==", "!=", "<=", ">="} {
			if strings.HasPrefix(l.text[l.pos:], sign) {
				n = 2
			}
		}
		if n == 1 && !strings.ContainsRune("();,<>", rune(c)) {
			return tok, fmt.Errorf("character %q does not belong here", c)
		}
		l.pos += n
	}
	tok.text = l.text[tok.pos:l.pos]
	return tok, nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// isWordByte tells what may stand without quotes: names, numbers, addresses, simple patterns.
func isWordByte(c byte) bool { return isNameByte(c) || strings.IndexByte("-.:/*?+%^~", c) >= 0 }

// macroLength is how long the macro is that text begins with.
func macroLength(text string) int {
	if len(text) > 1 && (text[1] == '{' || text[1] == '(') {
		depth := 0
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '{', '(':
				depth++
			case '}', ')':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return len(text)
	}
	n := 1
	for n < len(text) && isNameByte(text[n]) {
		n++
	}
	return n
}

// quoted reads a text in quotes: in double ones \a, \n, \r, \t, \v are what they are in C, \xNN and \oNNN are bytes by their
// numbers, and a backslash takes the meaning away from any other character; in single ones all stands for itself.
func (l *lexer) quoted(quote byte, into *string) error {
	var b strings.Builder
	for i := l.pos + 1; i < len(l.text); i++ {
		c := l.text[i]
		if c == quote {
			l.pos = i + 1
			*into = b.String()
			return nil
		}
		if c == '\\' && quote == '"' && i+1 < len(l.text) {
			var n int
			c, n = unescape(l.text[i+1:])
			i += n
		}
		b.WriteByte(c)
	}
	return fmt.Errorf("the closing %c is missing", quote)
}

// unescape is the byte that the first n of text stand for, before which there was a backslash.
func unescape(text string) (c byte, n int) {
	switch text[0] {
	case 'x':
		return numbered(text, 16, 2)
	case 'o':
		return numbered(text, 8, 3)
	}
	if i := strings.IndexByte("anrtv", text[0]); i >= 0 {
		return "\a\n\r\t\v"[i], 1
	}
	return text[0], 1
}

// numbered reads at most digits digits behind the first letter of text, which stands for itself if there are none.
func numbered(text string, base, digits int) (c byte, n int) {
	value := 0
	for n = 1; n < len(text) && n <= digits; n++ {
		digit, err := strconv.ParseUint(text[n:n+1], base, 8)
		if err != nil {
			break
		}
		value = value*base + int(digit)
	}
	if n == 1 {
		return text[0], 1
	}
	return byte(value), n
}
