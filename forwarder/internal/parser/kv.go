package parser

import (
	"bytes"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
)

// KV finds key=value pairs; what is no pair is passed over. A value in quotes may hold blanks and separators.
type KV struct {
	Common
	Prefix         string `toml:"prefix"`          // of the names
	ValueSeparator string `toml:"value_separator"` // one character
	PairSeparator  string `toml:"pair_separator"`  // beside blanks
	Stray          string `toml:"extract_stray_words_into"`

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
		at := bytes.IndexByte(text, k.ValueSeparator[0])
		if at < 0 {
			break
		}
		end := len(bytes.TrimRight(text[:at], " "))
		begin := end
		for begin > 0 && isKeyByte(text[begin-1]) {
			begin--
		}
		if begin == end {
			stray = k.addStray(stray, text[:at+1])
			text = text[at+1:]
			continue
		}
		stray = k.addStray(stray, text[:begin])
		name := logmsg.NameOf(k.Prefix + string(text[begin:end]))
		var arena []byte
		arena, text = k.value(m.Arena(), text[at+1:])
		m.SetArena(name, arena)
	}
	if stray = k.addStray(stray, text); k.Stray != "" && len(stray) > 0 {
		m.Set(k.stray, stray)
	}
	return true
}

func isKeyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}

func (k *KV) addStray(stray, text []byte) []byte {
	if text = bytes.Trim(text, blanks); k.Stray == "" || len(text) == 0 {
		return stray
	}
	if len(stray) > 0 {
		stray = append(stray, ' ')
	}
	return append(stray, text...)
}

// value appends the value that text begins with and returns what follows it.
func (k *KV) value(dst, text []byte) (arena, rest []byte) {
	if len(text) > 0 && (text[0] == '"' || text[0] == '\'') {
		if arena, rest, ok := unquote(dst, text); ok {
			return arena, k.afterPair(rest)
		}
	}
	for i := range text {
		if text[i] == ' ' || text[i] == '\t' || k.PairSeparator != "" && bytes.HasPrefix(text[i:], []byte(k.PairSeparator)) {
			return append(dst, text[:i]...), k.afterPair(text[i:])
		}
	}
	return append(dst, text...), nil
}

// afterPair passes the separator over.
func (k *KV) afterPair(text []byte) []byte {
	return bytes.TrimPrefix(text, []byte(k.PairSeparator))
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
