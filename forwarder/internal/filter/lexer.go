package filter

import (
	"fmt"
	"strings"
)

type tokenKind uint8

const (
	tokenEnd      tokenKind = iota
	tokenWord               // a name, a number, a range a..b
	tokenString             // in quotes
	tokenTemplate           // begins with a dollar
	tokenSign
)

type token struct {
	kind tokenKind
	text string // of a string without quotes and escapes
	pos  int
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

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'
}

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
	for n < len(text) && isWordByte(text[n]) && text[n] != '-' && text[n] != '.' {
		n++
	}
	return n
}

// quoted reads a text in quotes: in double ones \n, \t, \r, \a, \xNN are what they are in C, and a backslash takes the
// meaning away from any other character; in single ones all stands for itself.
func (l *lexer) quoted(quote byte, into *string) error {
	var b strings.Builder
	for i := l.pos + 1; i < len(l.text); i++ {
		c := l.text[i]
		if c == quote {
			l.pos = i + 1
			*into = b.String()
			return nil
		}
		if c != '\\' || quote == '\'' || i+1 == len(l.text) {
			b.WriteByte(c)
			continue
		}
		i++
		switch c = l.text[i]; c {
		case 'n':
			c = '\n'
		case 't':
			c = '\t'
		case 'r':
			c = '\r'
		case 'a':
			c = '\a'
		case 'v':
			c = '\v'
		}
		b.WriteByte(c)
	}
	return fmt.Errorf("the closing %c is missing", quote)
}
