package cli

import (
	"flag"
	"fmt"
	"strconv"
	"time"

	urfave "github.com/urfave/cli/v2"
)

// define puts f into set, with one value under all its names, and returns the names. The flags'
// own method Apply runs a regular expression over each name, 0.07 ms of every start, and often
// makes a value for each.
func define(f Flag, set *flag.FlagSet) []string {
	var name string
	var aliases []string
	var value flag.Value
	switch f := f.(type) {
	case *EnumFlag:
		return define(&f.StringFlag, set)
	case *OptionalFlag:
		return define(&f.GenericFlag, set)
	case *BoolFlag:
		name, aliases, value = f.Name, f.Aliases, &truth{on: f.Value}
	case *DurationFlag:
		name, aliases, value = f.Name, f.Aliases, &scalar{f.Value.String(), isDuration}
	case *IntFlag:
		name, aliases, value = f.Name, f.Aliases, &scalar{strconv.Itoa(f.Value), isInt}
	case *StringFlag:
		name, aliases, value = f.Name, f.Aliases, &scalar{f.Value, isText}
	case *StringSliceFlag:
		list := &urfave.StringSlice{}
		if f.Value != nil {
			list = urfave.NewStringSlice(f.Value.Value()...)
		}
		name, aliases, value = f.Name, f.Aliases, list
	case *GenericFlag:
		name, aliases, value = f.Name, f.Aliases, f.Value
		if f.Value == nil {
			value = &scalar{"", isText}
		}
	default:
		panic(fmt.Sprintf("cli: no values of %T", f))
	}
	names := append([]string{name}, aliases...)
	for _, n := range names {
		set.Var(value, n, "")
	}
	return names
}

// scalar is the value of a flag of which the last one counts, as text that its type accepts.
type scalar struct {
	text  string
	check func(text string) error
}

func (s *scalar) Set(text string) error {
	if err := s.check(text); err != nil {
		return err
	}
	s.text = text
	return nil
}

func (s *scalar) String() string { return s.text }

func isText(string) error { return nil }

func isDuration(text string) error {
	_, err := time.ParseDuration(text)
	return err
}

func isInt(text string) error {
	_, err := strconv.ParseInt(text, 0, strconv.IntSize)
	return err
}

// truth is the value of a BoolFlag.
type truth struct {
	on    bool
	times int // for Context.Count
}

func (t *truth) Set(text string) (err error) {
	t.on, err = strconv.ParseBool(text)
	t.times++
	return err
}

func (t *truth) String() string { return strconv.FormatBool(t.on) }

func (t *truth) Count() int { return t.times }
