package parser

import (
	"bytes"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
)

// KV finds key=value pairs; what is no pair is passed over. A value ends at the separator of pairs, or before a blank and the
// next key, so it may have blanks; in quotes it may have all of these.
type KV struct {
	Common
	Prefix         string `toml:"prefix"`                   // of the names
	ValueSeparator string `toml:"value_separator"`          // one character
	PairSeparator  string `toml:"pair_separator"`           // beside a blank before the next key
	Stray          string `toml:"extract_stray_words_into"` // the name of a list of what is no pair

	stray logmsg.Name
}

// Init readies the parser.
func (k *KV) Init() error {
	if len(k.ValueSeparator) != 1 || k.ValueSeparator == " " || k.ValueSeparator == `"` || k.ValueSeparator == "'" {
		return option.Errorf("value_separator", "%q is not one character that may part key and value", k.ValueSeparator)
	}
	k.stray = logmsg.NameOf(k.Stray)
	return nil
}

// Process parses m. All texts fit.
func (k *KV) Process(m *logmsg.Message) bool {
	text := k.input(m)
	var stray []byte
	for {
		begin, end, separator := k.key(text, 0)
		if separator < 0 {
			break
		}
		stray = k.addStray(stray, text[:begin])
		name := logmsg.NameOf(k.Prefix + string(text[begin:end]))
		var arena []byte
		arena, text = k.value(m.Arena(), text[separator+1:])
		m.SetArena(name, arena)
	}
	if stray = k.addStray(stray, text); k.Stray != "" {
		m.Set(k.stray, stray)
	}
	return true
}

// key finds the first key in text whose separator is at from or later; blanks may stand between the two. The separator is
// at -1 if there is none.
func (k *KV) key(text []byte, from int) (begin, end, separator int) {
	for {
		i := bytes.IndexByte(text[from:], k.ValueSeparator[0])
		if i < 0 {
			return 0, 0, -1
		}
		separator = from + i
		end = len(bytes.TrimRight(text[:separator], " "))
		for begin = end; begin > 0 && isKeyByte(text[begin-1]); begin-- {
		}
		if begin < end {
			return begin, end, separator
		}
		from = separator + 1
	}
}

func isKeyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}

func (k *KV) addStray(stray, text []byte) []byte {
	if text = bytes.Trim(text, " "); k.Stray == "" || len(text) == 0 {
		return stray
	}
	if len(stray) > 0 {
		stray = append(stray, ',')
	}
	return template.AppendItem(stray, text, ",")
}

// value appends the value that text begins with and returns what follows it.
func (k *KV) value(dst, text []byte) (arena, rest []byte) {
	separator := []byte(k.PairSeparator)
	end := k.valueEnd(text, separator)
	if quoted := bytes.TrimLeft(text[:end], " "); len(quoted) > 0 && (quoted[0] == '"' || quoted[0] == '\'') {
		quoted = bytes.TrimLeft(text, " ")
		arena, rest, ok := unquote(dst, quoted)
		if after := bytes.TrimLeft(rest, " "); ok && (len(after) < len(rest) || len(rest) == 0 || len(separator) > 0 && bytes.HasPrefix(after, separator)) {
			return arena, bytes.TrimPrefix(rest, separator)
		}
		return append(dst, misquoted(quoted, rest, separator, ok)...), quoted
	}
	return append(dst, bytes.Trim(text[:end], " ")...), bytes.TrimPrefix(text[end:], separator)
}

// misquoted is the value that is made of a text in quotes that is not closed, or goes on behind them: to its end then, or to the
// first blank or separator in rest, what is behind the quotes. What follows the key is looked through once more for keys and stray
// words.
func misquoted(text, rest, separator []byte, closed bool) []byte {
	if !closed {
		return text
	}
	end := len(rest)
	if i := bytes.IndexByte(rest, ' '); i >= 0 {
		end = i + 1
	}
	if i := bytes.Index(rest[:end], separator); i >= 0 && len(separator) > 0 {
		end = i + len(separator)
	}
	return text[:len(text)-len(rest)+end]
}

// valueEnd is where an unquoted value ends: at the separator, or at a key that follows a blank.
func (k *KV) valueEnd(text, separator []byte) int {
	end := len(text)
	if i := bytes.Index(text, separator); i >= 0 && len(separator) > 0 {
		end = i
	}
	for from := 0; ; {
		begin, _, at := k.key(text[:end], from)
		switch {
		case at < 0:
			return end
		case begin > 0 && text[begin-1] == ' ':
			return begin
		}
		from = at + 1
	}
}

// unquote appends the text in quotes that text begins with, its backslashes undone.
func unquote(dst, text []byte) (out, rest []byte, ok bool) {
	quote := text[0]
	start := len(dst)
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch {
		case c == quote:
			return dst, text[i+1:], true
		case c == '\\' && i+1 < len(text):
			i++
			if n := bytes.IndexByte([]byte("abfnrtv"), text[i]); n >= 0 {
				dst = append(dst, "\a\b\f\n\r\t\v"[n])
				continue
			}
			if text[i] != quote && text[i] != '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, text[i])
		default:
			dst = append(dst, c)
		}
	}
	return dst[:start], text, false
}
