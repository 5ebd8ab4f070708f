package parser

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A jsonObject keeps its members in their order.
type jsonObject []jsonMember

type jsonMember struct {
	name  string
	value any // nil, bool, jsonNumber, string, []any, jsonObject
}

// A jsonNumber is as it was written, but for NaN and Infinity.
type jsonNumber string

var errJSON = errors.New("no JSON")

// maxJSONDepth is how deep containers may be nested, as in json-c.
const maxJSONDepth = 31

// decodeJSON reads the value that text begins with. It takes what json-c takes, on which syslog-ng relies: comments, single
// quotes, a comma behind the last element, control characters in strings, NaN and Infinity, words in any case.
func decodeJSON(text []byte) (any, error) {
	d := jsonDecoder{text: text}
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	return v, d.blank()
}

// A jsonDecoder reads from text at i.
type jsonDecoder struct {
	text []byte
	i    int
}

// blank passes over blanks and comments.
func (d *jsonDecoder) blank() error {
	for d.i < len(d.text) {
		switch d.text[d.i] {
		case ' ', '\t', '\n', '\v', '\f', '\r':
			d.i++
			continue
		case '/':
		default:
			return nil
		}
		end, rest := "\n", d.text[d.i+1:]
		if bytes.HasPrefix(rest, []byte("*")) {
			end, rest = "*/", rest[1:]
		} else if !bytes.HasPrefix(rest, []byte("/")) {
			return errJSON
		}
		n := bytes.Index(rest, []byte(end))
		if n < 0 {
			return errJSON
		}
		d.i = len(d.text) - len(rest) + n + len(end)
	}
	return nil
}

// peek is the next byte behind blanks, 0 at the end.
func (d *jsonDecoder) peek() (byte, error) {
	if err := d.blank(); err != nil || d.i == len(d.text) {
		return 0, err
	}
	return d.text[d.i], nil
}

func (d *jsonDecoder) value(depth int) (any, error) {
	c, err := d.peek()
	switch {
	case err != nil || depth > maxJSONDepth:
		return nil, errJSON
	case c == '{':
		return d.object(depth)
	case c == '[':
		return d.list(depth)
	case c == '"' || c == '\'':
		return d.string(c)
	case c == '-' || '0' <= c && c <= '9':
		return d.number(depth)
	}
	for _, w := range jsonWords {
		if n := len(w.text); len(d.text)-d.i >= n && strings.EqualFold(string(d.text[d.i:d.i+n]), w.text) {
			d.i += n
			return w.value, nil
		}
	}
	return nil, errJSON
}

var jsonWords = []struct {
	text  string
	value any
}{{"null", nil}, {"true", true}, {"false", false}, {"nan", jsonNumber("nan")}, {"infinity", jsonNumber("inf")}}

// elements reads what stands between brackets: each element with read, parted by commas.
func (d *jsonDecoder) elements(closing byte, read func() error) error {
	for d.i++; ; {
		c, err := d.peek()
		if err != nil || d.i == len(d.text) {
			return errJSON
		}
		if c == closing {
			d.i++
			return nil
		}
		if err := read(); err != nil {
			return err
		}
		if c, err = d.peek(); err != nil || c != ',' && c != closing {
			return errJSON
		}
		if c == ',' {
			d.i++
		}
	}
}

func (d *jsonDecoder) list(depth int) (any, error) {
	list := []any{}
	err := d.elements(']', func() error {
		v, err := d.value(depth + 1)
		list = append(list, v)
		return err
	})
	return list, err
}

func (d *jsonDecoder) object(depth int) (any, error) {
	object := jsonObject{}
	err := d.elements('}', func() error {
		quote := d.text[d.i]
		if quote != '"' && quote != '\'' {
			return errJSON
		}
		name, err := d.string(quote)
		if err != nil {
			return err
		}
		if c, err := d.peek(); err != nil || c != ':' {
			return errJSON
		}
		d.i++
		v, err := d.value(depth + 1)
		object = append(object, jsonMember{name, v})
		return err
	})
	return object, err
}

// string reads a string. It ends for its reader at a NUL, as in C.
func (d *jsonDecoder) string(quote byte) (string, error) {
	var out []byte
	for d.i++; d.i < len(d.text); d.i++ {
		switch c := d.text[d.i]; c {
		case quote:
			d.i++
			if n := bytes.IndexByte(out, 0); n >= 0 {
				out = out[:n]
			}
			return string(out), nil
		case '\\':
			d.i++
			var err error
			if out, err = d.escape(out); err != nil {
				return "", err
			}
		default:
			out = append(out, c)
		}
	}
	return "", errJSON
}

// escape reads what follows a backslash and ends at its last byte.
func (d *jsonDecoder) escape(out []byte) ([]byte, error) {
	if d.i == len(d.text) {
		return nil, errJSON
	}
	c := d.text[d.i]
	if n := strings.IndexByte(`"\/bfnrt`, c); n >= 0 {
		return append(out, "\"\\/\b\f\n\r\t"[n]), nil
	}
	r, ok := d.codeUnit()
	if !ok {
		return nil, errJSON
	}
	if utf16.IsSurrogate(r) {
		at := d.i
		d.i += 2
		low, ok := d.codeUnit()
		if r = utf16.DecodeRune(r, low); !ok || d.text[at+1] != '\\' || r == utf8.RuneError {
			d.i, r = at, utf8.RuneError
		}
	}
	return utf8.AppendRune(out, r), nil
}

// codeUnit reads "uXXXX" and ends at its last byte.
func (d *jsonDecoder) codeUnit() (rune, bool) {
	if d.i+5 > len(d.text) || d.text[d.i] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(d.text[d.i+1:d.i+5]), 16, 16)
	if err != nil {
		return 0, false
	}
	d.i += 4
	return rune(n), true
}

func (d *jsonDecoder) number(depth int) (any, error) {
	start, point, exponent, sign := d.i, false, false, true
	for ; d.i < len(d.text); d.i++ {
		switch c := d.text[d.i]; {
		case '0' <= c && c <= '9':
			sign = false
			continue
		case c == '.' && !point && !exponent:
			point, sign = true, true
			continue
		case (c == 'e' || c == 'E') && !exponent:
			exponent, sign = true, true
			continue
		case c == '-' && sign, c == '+' && sign && d.i > start:
			sign = false
			continue
		}
		break
	}
	text := string(d.text[start:d.i])
	if text == "-" && len(d.text)-d.i >= 8 && strings.EqualFold(string(d.text[d.i:d.i+8]), "infinity") {
		d.i += 8
		return jsonNumber("-inf"), nil
	}
	if depth > 0 && d.i < len(d.text) && !strings.ContainsRune(",]}/ \t\n\v\f\r", rune(d.text[d.i])) {
		return nil, errJSON
	}
	if point || exponent {
		if text = strings.TrimRight(text, "eE+-"); !point && exponent && !strings.ContainsAny(text, "eE") {
			text += ".0" // of "1e" syslog-ng makes 1.000000
		}
		if _, err := strconv.ParseFloat(text, 64); err != nil && !errors.Is(err, strconv.ErrRange) {
			return nil, errJSON
		}
	} else if text == "-" {
		return nil, errJSON
	}
	return jsonNumber(text), nil
}

// append appends the number as C writes it: whole, or with 6 digits behind the point.
func (n jsonNumber) append(dst []byte) []byte {
	if strings.ContainsAny(string(n), ".eE") {
		f, _ := strconv.ParseFloat(string(n), 64)
		if math.IsInf(f, 0) {
			return append(dst, strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'f', 6, 64), "+"))...)
		}
		return strconv.AppendFloat(dst, f, 'f', 6, 64)
	}
	i, err := strconv.ParseInt(string(n), 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return append(dst, n...) // nan, inf
	}
	return strconv.AppendInt(dst, i, 10) // too large for 64 bits: as near as can be
}
