// Package parser takes messages apart into name-value pairs: CSV, key=value, JSON, regular expressions, dates, and syslog
// messages within messages. A parser is decoded from the configuration, then readied by Init; after that any number of
// goroutines may use it.
package parser

import (
	"fmt"
	"slices"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
)

// A Parser is one driver with its options.
type Parser interface {
	// Init checks the options, which have been decoded, and readies the parser. Its error is an *option.Error.
	Init() error
	// Process parses m and tells whether it fits.
	Process(m *logmsg.Message) bool
	// Modifies is true: values are set.
	Modifies() bool
}

// Drivers makes a parser of each driver, with its defaults.
var Drivers = map[string]func() Parser{
	"csv": func() Parser {
		return &CSV{Delimiters: ",", Quotes: `""''`, Flags: []string{"escape_none", "strip_whitespace"}}
	},
	"kv":     func() Parser { return &KV{ValueSeparator: "=", PairSeparator: ", "} },
	"json":   func() Parser { return &JSON{KeyDelimiter: "."} },
	"regexp": func() Parser { return &Regexp{} },
	"syslog": func() Parser { return &Syslog{} },
	"date":   func() Parser { return &Date{TimeStamp: "stamp"} },
	"tags":   func() Parser { return &Tags{} },
}

// A Common has the options of all parsers.
type Common struct {
	Template *template.Template `toml:"template"` // what is parsed; nil: the message
}

// Modifies is true.
func (c *Common) Modifies() bool { return true }

func (c *Common) input(m *logmsg.Message) []byte {
	if c.Template == nil {
		return m.Msg
	}
	return c.Template.Append(nil, m, nil)
}

// flagSet reads a list of flags.
func flagSet(flags []string, known ...string) (map[string]bool, error) {
	set := map[string]bool{}
	for i, f := range flags {
		f = option.Flag(f)
		if !slices.Contains(known, f) {
			return nil, option.Errorf(fmt.Sprintf("flags[%d]", i), "flag %q is not known, want one of %v", f, known)
		}
		set[f] = true
	}
	return set, nil
}
