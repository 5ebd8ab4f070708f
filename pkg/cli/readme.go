package cli

import (
	"fmt"
	"strings"
)

// The lines that stand before and after the options in a tool's README.md.
const (
	beginOptions = "<!-- options: written by go test -update -->\n"
	endOptions   = "<!-- end of options -->\n"
)

// Options returns the flags and verbs of app as markdown, the same as its help says them, for
// README.md and the man page made of it.
func Options(app *App) string {
	var b strings.Builder
	writeFlags(&b, root(app))
	writeVerbs(&b, []*Command{root(app)})
	return strings.TrimLeft(b.String(), "\n")
}

// Readme returns text, a tool's README.md, with what stands between the two marker lines
// replaced by the Options of app.
func Readme(app *App, text string) (string, error) {
	before, rest, begun := strings.Cut(text, beginOptions)
	_, after, ended := strings.Cut(rest, endOptions)
	if !begun || !ended {
		return "", fmt.Errorf("no lines %q and %q, in this order", beginOptions, endOptions)
	}
	return before + beginOptions + "\n" + Options(app) + "\n" + endOptions + after, nil
}

func writeFlags(b *strings.Builder, c *Command) {
	for _, s := range flagSections(c) {
		if s.title != noCategory {
			fmt.Fprintf(b, "\n### %s\n", s.title)
		}
		for _, f := range s.flags {
			names := strings.Join(spellings(f), "`, `")
			fmt.Fprintf(b, "\n#### `%s`%s\n\n%s\n", names, valueMarkdown(f), escape(flagText(f)))
		}
	}
}

// valueMarkdown returns how the value follows the flag, with its name in italics.
func valueMarkdown(f Flag) string {
	name := placeholder(f)
	if name == "" {
		return ""
	}
	return strings.Replace(valueLabel(f), name, "*"+escape(name)+"*", 1)
}

// writeVerbs writes the verbs of the last of path, and those below them.
func writeVerbs(b *strings.Builder, path []*Command) {
	for _, v := range path[len(path)-1].VisibleCommands() {
		at := append(path[:len(path):len(path)], v)
		fmt.Fprintf(b, "\n### `%s`\n\n", strings.Join(synopsis(at), "`, `"))
		b.WriteString(escape(v.Usage) + "\n")
		if v.Description != "" {
			b.WriteString("\n" + markdown(v.Description))
		}
		writeFlags(b, v)
		writeVerbs(b, at)
	}
}

// markdown turns a Description into markdown: an indented line is an example.
func markdown(description string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(description), "\n") {
		if strings.HasPrefix(line, " ") {
			b.WriteString("    " + line + "\n")
		} else {
			b.WriteString(escape(line) + "\n")
		}
	}
	return b.String()
}

var special = []string{`\`, "*", "_", "<", "[", "`"}

func escape(text string) string {
	for _, s := range special {
		text = strings.ReplaceAll(text, s, `\`+s)
	}
	return text
}
