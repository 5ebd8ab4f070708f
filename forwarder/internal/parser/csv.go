package parser

import (
	"bytes"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
)

// CSV parts the text into columns. Columns that the text has not are not set, but for
// the last one if it is greedy; text beyond the last one is left out.
type CSV struct {
	Common
	Columns          []string `toml:"columns"`           // names; one without a name is passed over
	Delimiters       string   `toml:"delimiters"`        // each character is one
	StringDelimiters []string `toml:"string_delimiters"` // of more than one character
	Quotes           string   `toml:"quote_pairs"`       // opening and closing ones in turn
	Null             string   `toml:"null"`              // a column of this text is empty
	Prefix           string   `toml:"prefix"`            // of the names
	Flags            []string `toml:"flags"`

	names                                     []logmsg.Name
	greedy, dropInvalid, strip, slash, double bool
}

// Init readies the parser.
func (c *CSV) Init() error {
	set, err := flagSet(c.Flags, "greedy", "drop_invalid", "strip_whitespace", "escape_none", "escape_backslash", "escape_double_char")
	if err != nil {
		return err
	}
	c.greedy, c.dropInvalid, c.strip = set["greedy"], set["drop_invalid"], set["strip_whitespace"]
	c.slash, c.double = set["escape_backslash"], set["escape_double_char"]
	if len(c.Columns) == 0 {
		return option.Errorf("columns", "a list of names is required")
	}
	if len(c.Quotes)%2 != 0 {
		return option.Errorf("quote_pairs", "%q is not a list of pairs", c.Quotes)
	}
	for _, name := range c.Columns {
		c.names = append(c.names, logmsg.NameOf(c.Prefix+name))
	}
	return nil
}

// Process parses m.
func (c *CSV) Process(m *logmsg.Message) bool {
	text := c.input(m)
	for i, name := range c.names {
		rest := c.greedy && i == len(c.names)-1
		if len(text) == 0 && !rest {
			return !c.dropInvalid
		}
		start := len(m.Arena())
		var arena []byte
		if arena, text = c.column(m.Arena(), text, rest); c.Null != "" && string(arena[start:]) == c.Null {
			arena = arena[:start]
		}
		if c.Columns[i] != "" {
			m.SetArena(name, arena)
		}
	}
	return len(text) == 0 || !c.dropInvalid
}

const blanks = " \t"

// column appends the first column of text and returns what follows it.
func (c *CSV) column(dst, text []byte, last bool) (arena, rest []byte) {
	start := len(dst)
	if last {
		dst = append(dst, text...)
		return c.stripped(dst, start), nil
	}
	var quote byte
	for i := 0; i < len(c.Quotes) && len(text) > 0; i += 2 {
		if text[0] == c.Quotes[i] {
			quote, text = c.Quotes[i+1], text[1:]
			break
		}
	}
	if c.strip {
		text = bytes.TrimLeft(text, blanks)
	}
	for len(text) > 0 {
		b := text[0]
		if quote == 0 {
			if n := c.delimiter(text); n > 0 {
				return c.stripped(dst, start), text[n:]
			}
		} else {
			switch {
			case c.slash && b == '\\' && len(text) > 1:
				b, text = text[1], text[1:]
			case b == quote && c.double && len(text) > 1 && text[1] == quote:
				text = text[1:]
			case b == quote:
				quote, text = 0, text[1:]
				continue
			}
		}
		dst = append(dst, b)
		text = text[1:]
	}
	return c.stripped(dst, start), nil
}

func (c *CSV) stripped(dst []byte, start int) []byte {
	if !c.strip {
		return dst
	}
	text := bytes.Trim(dst[start:], blanks)
	return append(dst[:start], text...)
}

// delimiter is how long the delimiter is that text begins with.
func (c *CSV) delimiter(text []byte) int {
	for _, d := range c.StringDelimiters {
		if d != "" && bytes.HasPrefix(text, []byte(d)) {
			return len(d)
		}
	}
	if bytes.IndexByte([]byte(c.Delimiters), text[0]) >= 0 {
		return 1
	}
	return 0
}
