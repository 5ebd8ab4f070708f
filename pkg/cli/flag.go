package cli

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// EnumFlag is a string flag that takes one of Values. They are checked, shown in the help
// and completed.
type EnumFlag struct {
	StringFlag
	Values []string
}

// OptionalFlag is a repeatable flag whose value may be left out and follows only after "=":
// --syslog-ng or --syslog-ng=SOCKET. Its Value is set each time the flag is given, to Bare
// when it stands alone.
type OptionalFlag struct {
	GenericFlag
	Bare string
}

// Given is a flag as the command line has it: its first name, and the value; "true" for a
// flag that takes none.
type Given struct{ Name, Value string }

type givenKey struct{}

// InOrder returns the flags of the command line in their order. A GenericFlag may do without
// a Value when it is only looked for here.
func InOrder(c *Context) []Given {
	all, _ := c.Context.Value(givenKey{}).([]Given)
	return all
}

// OutputFlag returns -o, --output with formats as its values; the first is the default.
func OutputFlag(formats ...string) Flag {
	return &EnumFlag{
		StringFlag: StringFlag{
			Name: "output", Aliases: []string{"o"}, Value: formats[0],
			Usage: "write the data as `FORMAT`: " + alternatives(formats),
		},
		Values: formats,
	}
}

func colorFlag() Flag {
	values := []string{"auto", "always", "never"}
	return &EnumFlag{
		StringFlag: StringFlag{
			Name: "color", Value: values[0], Category: common,
			Usage: "colour the output `WHEN`: " + alternatives(values) +
				"; auto means on a terminal, unless NO_COLOR is set",
		},
		Values: values,
	}
}

// common is the heading of the flags that all tools have.
const common = "Common flags"

var (
	helpFlag    = &BoolFlag{Name: "help", Aliases: []string{"h"}, Category: common, Usage: "print this help"}
	versionFlag = &BoolFlag{Name: "version", Aliases: []string{"V"}, Category: common, Usage: "print the version"}
)

// Colors reports whether output to w is to be coloured: by --color, else when w is a terminal
// that is not dumb and NO_COLOR (https://no-color.org) is empty.
func Colors(c *Context, w io.Writer) bool {
	switch c.String("color") {
	case "always":
		return true
	case "never":
		return false
	}
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// alternatives joins words as in "table, wide or json".
func alternatives(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
