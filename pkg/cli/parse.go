package cli

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	urfave "github.com/urfave/cli/v2"

	"kad/pkg/spelling"
)

// parser walks over the arguments once.
type parser struct {
	app      *App
	path     []*Command        // the root, then the verbs named so far
	ctx      *Context          // of the last of path
	set      *flag.FlagSet     // of ctx
	flags    map[string]target // every flag in reach, by its spelling: "--output", "-o"
	given    []Given           // the flags taken, in their order
	operands []string          // arguments that are neither flag nor verb
}

// target is a flag and the set that holds its value, under this name among others.
type target struct {
	Flag
	set  *flag.FlagSet
	name string
}

// parse goes over args: a flag is good before and after arguments and verbs, one of an outer
// verb also after the inner one; "--" ends flags and verbs.
func parse(ctx context.Context, app *App, args []string) (*parser, error) {
	p := &parser{app: app, ctx: &Context{Context: ctx}, flags: map[string]target{}}
	p.enter(root(app))
	var err error
	for len(args) > 0 && err == nil {
		args, err = p.next(args[0], args[1:])
	}
	p.ctx.Context = context.WithValue(p.ctx.Context, givenKey{}, p.given)
	return p, err
}

// next takes word and what belongs to it, and returns what is left of rest.
func (p *parser) next(word string, rest []string) ([]string, error) {
	switch {
	case word == "--":
		p.operands = append(p.operands, rest...)
		return nil, nil
	case strings.HasPrefix(word, "--"):
		return p.long(word, rest)
	case strings.HasPrefix(word, "-") && word != "-":
		return p.short(word, rest)
	}
	if verb := p.ctx.Command.Command(word); verb != nil && len(p.operands) == 0 {
		p.enter(verb)
		return rest, nil
	}
	p.operands = append(p.operands, word)
	return rest, nil
}

// enter goes down to c and brings its flags in reach.
func (p *parser) enter(c *Command) {
	set := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range c.Flags {
		names := define(f, set)
		for _, name := range names {
			p.flags[dashed(name)] = target{f, set, names[0]}
		}
	}
	p.ctx = urfave.NewContext(p.app, set, p.ctx)
	p.ctx.Command = c
	p.set = set
	p.path = append(p.path, c)
}

// long takes --name, --name=value or --name value.
func (p *parser) long(word string, rest []string) ([]string, error) {
	name, value, hasValue := strings.Cut(word, "=")
	t, ok := p.flags[name]
	if !ok {
		return nil, p.unknownFlag(word)
	}
	if hasValue {
		return rest, p.assign(t, name, value)
	}
	return p.bare(t, name, rest)
}

// short takes single letters: -v, -vq, -o value, -ovalue, -o=value.
func (p *parser) short(word string, rest []string) ([]string, error) {
	if name, _, _ := strings.Cut(word, "="); p.flags["-"+name].Flag != nil { // -output
		return nil, p.unknownFlag(word)
	}
	for letters := word[1:]; letters != ""; {
		letter, after := cutRune(letters)
		t, ok := p.flags["-"+letter]
		if !ok {
			return nil, p.unknownFlag("-" + letters)
		}
		value, assigned := strings.CutPrefix(after, "=")
		if assigned || after != "" && wantsValue(t.Flag) {
			return rest, p.assign(t, "-"+letter, value)
		}
		var err error
		if rest, err = p.bare(t, "-"+letter, rest); err != nil {
			return nil, err
		}
		letters = after
	}
	return rest, nil
}

func cutRune(s string) (first, rest string) {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n], s[n:]
}

// bare takes a flag without "=", and its value from rest if it needs one. A flag in the
// place of the value is taken for a flag.
func (p *parser) bare(t target, name string, rest []string) ([]string, error) {
	if optional, ok := t.Flag.(*OptionalFlag); ok {
		return rest, p.assign(t, name, optional.Bare)
	}
	if !wantsValue(t.Flag) {
		return rest, p.assign(t, name, "true")
	}
	if len(rest) == 0 || p.flags[rest[0]].Flag != nil || rest[0] == "--" {
		return nil, Usagef("%s needs a value: %s %s", name, name, placeholder(t.Flag))
	}
	return rest[1:], p.assign(t, name, rest[0])
}

// wantsValue reports whether the word after the flag is its value.
func wantsValue(f Flag) bool {
	_, optional := f.(*OptionalFlag)
	d, ok := f.(urfave.DocGenerationFlag)
	return ok && d.TakesValue() && !optional
}

// assign sets the value of the flag spelled name.
func (p *parser) assign(t target, name, value string) error {
	if e, ok := t.Flag.(*EnumFlag); ok && !slices.Contains(e.Values, value) {
		return Usagef("%s: unknown value %q%s, want %s", name, value,
			didYouMean(value, e.Values), alternatives(e.Values))
	}
	text := value
	if list, ok := t.set.Lookup(t.name).Value.(*urfave.StringSlice); ok {
		// Only its serialized form keeps a value with commas in one piece.
		var values []string
		if given(t.set, t.name) {
			values = list.Value()
		}
		text = urfave.NewStringSlice(append(slices.Clip(values), value)...).Serialize()
	}
	if err := t.set.Set(t.name, text); err != nil {
		return Usagef("%s: %q%s", name, value, complaint(t.Flag, err))
	}
	p.given = append(p.given, Given{t.name, value})
	return nil
}

// given reports whether the command line has set the flag, so that its values are no longer
// the default ones.
func given(set *flag.FlagSet, name string) (found bool) {
	set.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// complaint says what is wrong with a value; it follows the value.
func complaint(f Flag, err error) string {
	switch f.(type) {
	case *BoolFlag:
		return " is neither true nor false"
	case *DurationFlag:
		return " is not a duration such as 500ms or 2s"
	case *IntFlag:
		return " is not a whole number"
	}
	return ": " + err.Error()
}

// check looks for what is missing or too much when all arguments are taken.
func (p *parser) check() error {
	c := p.ctx.Command
	takesArguments := c.Action != nil && c.ArgsUsage != ""
	switch {
	case len(p.operands) > 0 && !takesArguments && len(c.Subcommands) > 0:
		return Usagef("unknown verb %q%s", p.operands[0], didYouMean(p.operands[0], verbs(c)))
	case len(p.operands) > 0 && !takesArguments:
		return Usagef("unexpected argument %q", p.operands[0])
	case c.Action == nil:
		return Usagef("a verb is missing: %s", alternatives(verbs(c)))
	}
	for _, c := range p.path {
		for _, f := range c.Flags {
			if r, ok := f.(urfave.RequiredFlag); !ok || !r.IsRequired() {
				continue
			}
			if name := f.Names()[0]; !p.ctx.IsSet(name) {
				return Usagef("%s %s is missing", dashed(name), placeholder(f))
			}
		}
	}
	return p.set.Parse(append([]string{"--"}, p.operands...))
}

// unknownFlag is the error for word, whose value, if it has one, is left out.
func (p *parser) unknownFlag(word string) error {
	word, _, _ = strings.Cut(word, "=")
	var names []string
	for name, t := range p.flags {
		if isVisible(t.Flag) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return Usagef("unknown flag %q%s", word, didYouMean(word, names))
}

func didYouMean(word string, candidates []string) string {
	if near := spelling.Nearest(word, candidates...); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// spellings returns all ways to write the flag, the short one first: "-o", "--output".
func spellings(f Flag) []string {
	var all []string
	for _, name := range f.Names() {
		all = append(all, dashed(name))
	}
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	return all
}

// verbs returns the names of the verbs of c that are shown.
func verbs(c *Command) []string {
	var names []string
	for _, v := range c.VisibleCommands() {
		names = append(names, v.Name)
	}
	return names
}

func isVisible(f Flag) bool {
	v, ok := f.(urfave.VisibleFlag)
	return ok && v.IsVisible()
}
