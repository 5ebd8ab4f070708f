package keepalived

import (
	"strconv"
	"strings"
)

// confSpace separates words (lib/parser.c, WHITE_SPACE_STR).
const confSpace = " \t\f\n\r\v"

// confWords splits a line into words: a word that starts with a double quote ends at the
// next one and is taken as it is between them; any other ends at a blank or a double
// quote. From an opening quote without its closing one on, the line is lost.
func confWords(line string) []string {
	var words []string
	for {
		line = strings.TrimLeft(line, confSpace)
		if line == "" {
			return words
		}
		if line[0] == '"' {
			word, rest, ok := strings.Cut(line[1:], `"`)
			if !ok {
				return words
			}
			words, line = append(words, word), rest
			continue
		}
		n := strings.IndexAny(line, confSpace+`"`)
		if n < 0 {
			n = len(line)
		}
		words, line = append(words, line[:n]), line[n:]
	}
}

// confArgs splits s as keepalived splits a script and its arguments: words with parts in
// single or double quotes, and escapes in and outside of them. False for a quote that
// does not end or a backslash with nothing behind it.
func confArgs(s string) ([]string, bool) {
	var args []string
	for {
		if s = strings.TrimLeft(s, confSpace); s == "" {
			return args, true
		}
		arg, rest, ok := confArg(s)
		if !ok {
			return nil, false
		}
		args, s = append(args, arg), rest
	}
}

func confArg(s string) (arg, rest string, ok bool) {
	var out []byte
	var quote byte
	for ; s != ""; s = s[1:] {
		switch c := s[0]; {
		case c == '\\':
			b, n := confUnescape(s[1:])
			if n == 0 {
				return "", "", false
			}
			out, s = append(out, b), s[n:]
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && strings.IndexByte(confSpace, c) >= 0:
			return string(out), s, true
		default:
			out = append(out, c)
		}
	}
	return string(out), "", quote == 0
}

// confUnescape reads what follows a backslash: n bytes, 0 at the end of the text.
func confUnescape(s string) (b byte, n int) {
	if s == "" {
		return 0, 0
	}
	const names, values = "abEfnrtv", "\a\b\x1b\f\n\r\t\v"
	switch c := s[0]; {
	case c == 'x' && len(s) > 1 && confDigit(s[1]) < 16:
		for n = 1; n < len(s) && confDigit(s[n]) < 16; n++ {
			b = b<<4 | confDigit(s[n])
		}
		return b, n
	case c == 'c' && len(s) > 1:
		return s[1] & 0x1f, 2
	case confDigit(c) < 8:
		for n < len(s) && n < 3 && confDigit(s[n]) < 8 {
			b = b<<3 | confDigit(s[n])
			n++
		}
		return b, n
	case strings.IndexByte(names, c) >= 0:
		return values[strings.IndexByte(names, c)], 1
	default:
		return c, 1
	}
}

func confDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}

// confNumber reads a number from low to high. Where keepalived is lenient, what stands
// behind the digits only warns.
func confNumber(s string, low, high int, lenient bool) (int, bool) {
	s = strings.TrimLeft(s, confSpace)
	end := 0
	for end < len(s) && ('0' <= s[end] && s[end] <= '9' || end == 0 && (s[0] == '-' || s[0] == '+')) {
		end++
	}
	n, err := strconv.Atoi("0" + s[:end])
	if end > 0 && (s[0] == '-' || s[0] == '+') {
		n, err = strconv.Atoi(s[:end])
	}
	return n, err == nil && low <= n && n <= high && (lenient || end == len(s))
}
