package cli

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	urfave "github.com/urfave/cli/v2"
)

// columns is the width that help fits.
const columns = 80

// help returns the help of the last verb of path.
func help(path []*Command) string {
	c, name := path[len(path)-1], commandName(path)
	var b strings.Builder
	b.WriteString(wrap(name+" - "+c.Usage, 4)[4:] + "\n")
	b.WriteString("Usage:\n")
	for _, line := range synopsis(path) {
		b.WriteString(wrap(line, 4)[2:])
	}
	if c.Description != "" {
		b.WriteString("\n" + paragraphs(c.Description))
	}
	blocks := []block{{"Verbs", verbItems(c)}}
	for _, s := range flagSections(c) {
		blocks = append(blocks, block{s.title, flagItems(s.flags)})
	}
	column := labelColumn(blocks)
	for _, k := range blocks {
		if len(k.items) > 0 {
			b.WriteString("\n" + k.title + ":\n")
		}
		for _, i := range k.items {
			b.WriteString(i.format(column))
		}
	}
	if len(path) > 1 {
		fmt.Fprintf(&b, "\nThe flags of '%s --help' apply too.\n", path[0].Name)
	}
	return b.String()
}

func helpVerb(root *Command) *Command {
	return &Command{
		Name: "help", Usage: "print the help of a verb", ArgsUsage: "[VERB...]",
		Action: func(c *Context) error {
			path := []*Command{root}
			for _, name := range c.Args().Slice() {
				last := path[len(path)-1]
				verb := last.Command(name)
				if verb == nil {
					return Usagef("unknown verb %q%s", name, didYouMean(name, verbs(last)))
				}
				path = append(path, verb)
			}
			return write(c.App, help(path))
		},
	}
}

func commandName(path []*Command) string {
	var names []string
	for _, c := range path {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// synopsis returns the lines that show how to call the last verb of path.
func synopsis(path []*Command) []string {
	c, name := path[len(path)-1], commandName(path)
	if c.UsageText != "" {
		return strings.Split(strings.TrimSpace(c.UsageText), "\n")
	}
	var lines []string
	if c.Action != nil {
		lines = append(lines, strings.TrimSpace(name+" [flags] "+c.ArgsUsage))
	}
	if len(c.Subcommands) > 0 {
		lines = append(lines, name+" VERB [flags] [arguments]")
	}
	return lines
}

// block is a heading of the help and the items under it.
type block struct {
	title string
	items []item
}

type item struct{ label, text string }

func verbItems(c *Command) []item {
	var items []item
	for _, v := range c.VisibleCommands() {
		items = append(items, item{v.Name, v.Usage})
	}
	return items
}

func flagItems(flags []Flag) []item {
	var items []item
	for _, f := range flags {
		items = append(items, item{flagLabel(f), flagText(f)})
	}
	return items
}

// section is a category of flags.
type section struct {
	title string
	flags []Flag
}

// noCategory is the title of the flags that have none.
const noCategory = "Flags"

// flagSections returns the flags of c by category, both in the order of their declaration.
func flagSections(c *Command) []section {
	var sections []section
	for _, f := range c.VisibleFlags() {
		title := noCategory
		if g, ok := f.(urfave.CategorizableFlag); ok && g.GetCategory() != "" {
			title = g.GetCategory()
		}
		i := slices.IndexFunc(sections, func(s section) bool { return s.title == title })
		if i < 0 {
			i = len(sections)
			sections = append(sections, section{title: title})
		}
		sections[i].flags = append(sections[i].flags, f)
	}
	return sections
}

// flagLabel returns "-o, --output FORMAT"; a flag without a short form is indented to match.
func flagLabel(f Flag) string {
	label := strings.Join(spellings(f), ", ")
	if strings.HasPrefix(label, "--") {
		label = "    " + label
	}
	return label + valueLabel(f)
}

// valueLabel returns how the value follows the flag.
func valueLabel(f Flag) string {
	if _, ok := f.(*OptionalFlag); ok {
		return "[=" + placeholder(f) + "]"
	}
	if p := placeholder(f); p != "" {
		return " " + p
	}
	return ""
}

// placeholder returns the name of the flag's value, "" when it takes none.
func placeholder(f Flag) string {
	d, ok := f.(urfave.DocGenerationFlag)
	if !ok || !d.TakesValue() {
		return ""
	}
	if parts := strings.SplitN(d.GetUsage(), "`", 3); len(parts) == 3 {
		return parts[1]
	}
	switch f.(type) {
	case *DurationFlag:
		return "DURATION"
	case *IntFlag:
		return "N"
	}
	return "VALUE"
}

// flagText returns the usage of a flag with its default.
func flagText(f Flag) string {
	d, ok := f.(urfave.DocGenerationFlag)
	if !ok {
		return ""
	}
	text := strings.ReplaceAll(d.GetUsage(), "`", "")
	if def := defaultText(d); def != "" {
		text += " (default " + def + ")"
	}
	return text
}

func defaultText(d urfave.DocGenerationFlag) string {
	if o, ok := d.(*OptionalFlag); ok {
		return o.Bare
	}
	text := strings.Trim(d.GetDefaultText(), `"`)
	if !d.TakesValue() || text == "0" || text == "0s" {
		return ""
	}
	return text
}

// labelColumn returns where the texts begin: after the longest label that leaves them room.
func labelColumn(blocks []block) int {
	column := 0
	for _, k := range blocks {
		for _, i := range k.items {
			if n := utf8.RuneCountInString(i.label) + 4; n <= 32 {
				column = max(column, n)
			}
		}
	}
	return max(column, 8)
}

// format returns the item with its text hanging at column; a label too long for it gets a
// line of its own.
func (i item) format(column int) string {
	text := wrap(i.text, column)
	label := "  " + i.label
	if n := utf8.RuneCountInString(label); n+2 <= column && text != "" {
		return label + text[n:]
	}
	return label + "\n" + text
}

// paragraphs wraps text; a line that begins with a blank stays as it is.
func paragraphs(text string) string {
	var b strings.Builder
	var open []string
	flush := func() {
		b.WriteString(wrap(strings.Join(open, " "), 0))
		open = nil
	}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		switch {
		case line == "":
			flush()
			b.WriteString("\n")
		case line[0] == ' ':
			flush()
			b.WriteString(line + "\n")
		default:
			open = append(open, line)
		}
	}
	flush()
	return b.String()
}

// wrap breaks text into lines of at most columns characters, each indented.
func wrap(text string, indent int) string {
	var b strings.Builder
	used := 0
	for _, word := range pieces(strings.Fields(text), columns-indent) {
		n := utf8.RuneCountInString(word)
		switch {
		case used == 0:
			b.WriteString(strings.Repeat(" ", indent))
			used = indent
		case used+1+n > columns:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			used = indent
		default:
			b.WriteString(" ")
			used++
		}
		b.WriteString(word)
		used += n
	}
	if used > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

// pieces cuts words that are longer than a line.
func pieces(words []string, length int) []string {
	var out []string
	for _, w := range words {
		for r := range slices.Chunk([]rune(w), length) {
			out = append(out, string(r))
		}
	}
	return out
}
