package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

func completionVerb(root *Command) *Command {
	shells := map[string]func(*Command) string{"bash": bash, "zsh": zsh, "fish": fish}
	return &Command{
		Name: "completion", Usage: "print a completion script for a shell", ArgsUsage: "bash|zsh|fish",
		Description: "Load it with one of\n\n" +
			"  source <(" + root.Name + " completion bash)\n" +
			"  source <(" + root.Name + " completion zsh)\n" +
			"  " + root.Name + " completion fish | source",
		Action: func(c *Context) error {
			script, ok := shells[c.Args().First()]
			if !ok || c.NArg() != 1 {
				return Usagef("completion: name one shell: bash, zsh or fish")
			}
			return write(c.App, script(root))
		},
	}
}

// scope is a place in the tree of verbs and what may be written there.
type scope struct {
	path  string // " " at the root, else " queue ls "
	verbs []item
	flags []Flag // good here and below
}

// tree returns all scopes of a tool.
func tree(root *Command) []scope {
	all := scopes(root, " ")
	all[len(all)-1].verbs = all[0].verbs // the last one is help, which takes verbs
	return all
}

// scopes returns c and all verbs below it, each before its own verbs.
func scopes(c *Command, path string) []scope {
	s := scope{path: path, verbs: verbItems(c), flags: c.VisibleFlags()}
	if strings.Contains(c.ArgsUsage, "|") {
		for word := range strings.SplitSeq(c.ArgsUsage, "|") {
			s.verbs = append(s.verbs, item{label: word})
		}
	}
	all := []scope{s}
	for _, v := range c.VisibleCommands() {
		all = append(all, scopes(v, path+v.Name+" ")...)
	}
	return all
}

// longest returns the flag spelled in full.
func longest(f Flag) string {
	all := spellings(f)
	return all[len(all)-1]
}

// findVerb is the loop of bash and zsh that finds the path of verbs before the cursor. The
// value of a flag is no verb. The shell's array of words begins at index first with the tool.
func findVerb(all []scope, words, cursor string, first int) string {
	var paths, flags []string
	for _, s := range all {
		if s.path != " " {
			paths = append(paths, quote(s.path))
		}
		for _, f := range s.flags {
			if wantsValue(f) {
				flags = append(flags, spellings(f)...)
			}
		}
	}
	slices.Sort(flags)
	return fmt.Sprintf(`    local verb=' ' i
    for ((i = %[1]d; i < %[2]s; i++)); do
        case ${%[3]s[i-1]} in %[4]s) continue ;; esac
        case "$verb${%[3]s[i]} " in %[5]s) verb+="${%[3]s[i]} " ;; esac
    done
    local flag=${%[3]s[%[2]s-1]}
`, first+1, cursor, words, strings.Join(slices.Compact(flags), "|"), strings.Join(paths, "|"))
}

// completeValue is the case of bash and zsh that completes the value of a flag: enumerated
// values by the command that choose makes, others as files. The flags of inner verbs go first.
func completeValue(all []scope, choose func(values []string) string, files string) string {
	var b strings.Builder
	b.WriteString("    case \"$verb$flag\" in\n")
	for _, s := range slices.Backward(all) {
		for _, f := range s.flags {
			if !wantsValue(f) {
				continue
			}
			action := files
			if v := values(f); v != nil {
				action = choose(v)
			}
			pattern := quote(s.path) + "*" + strings.Join(spellings(f), "|"+quote(s.path)+"*")
			fmt.Fprintf(&b, "    %s) %s; return ;;\n", pattern, action)
		}
	}
	b.WriteString("    esac\n")
	return b.String()
}

// collect fills the arrays verbs and flags in bash and zsh with what may stand here.
func collect(all []scope, entry func(item) string) string {
	var b strings.Builder
	add := func(array, pattern string, items []item) {
		if len(items) == 0 {
			return
		}
		var words []string
		for _, i := range items {
			words = append(words, quote(entry(i)))
		}
		fmt.Fprintf(&b, "    [[ $verb == %s ]] && %s+=(%s)\n", pattern, array, strings.Join(words, " "))
	}
	for _, s := range all {
		var flags []item
		for _, f := range s.flags {
			flags = append(flags, item{longest(f), flagText(f)})
		}
		add("verbs", quote(s.path), s.verbs)
		add("flags", quote(s.path)+"*", flags)
	}
	return b.String()
}

func bash(root *Command) string {
	all := tree(root)
	choose := func(values []string) string {
		return "COMPREPLY=($(compgen -W " + quote(strings.Join(values, " ")) + ` -- "$cur"))`
	}
	return "# bash completion, made by '" + root.Name + " completion bash'\n" +
		function(root) + "() {\n    local cur=${COMP_WORDS[COMP_CWORD]} verbs=() flags=()\n" +
		findVerb(all, "COMP_WORDS", "COMP_CWORD", 0) +
		`    # readline makes three words of --flag=value
    if [[ $cur == = ]]; then cur=; elif [[ $flag == = ]]; then flag=${COMP_WORDS[COMP_CWORD-2]}; fi
    COMPREPLY=()
` + completeValue(all, choose, ":") + collect(all, func(i item) string { return i.label }) +
		`    if [[ $cur == -* ]]; then verbs=("${flags[@]}"); fi
    COMPREPLY=($(compgen -W "${verbs[*]}" -- "$cur"))
}
complete -o bashdefault -o default -F ` + function(root) + " " + root.Name + "\n"
}

func zsh(root *Command) string {
	all := tree(root)
	choose := func(values []string) string { return "compadd -- " + strings.Join(values, " ") }
	described := func(i item) string { return i.label + ":" + cmp.Or(i.text, i.label) }
	return "#compdef " + root.Name + "\n# zsh completion, made by '" + root.Name + " completion zsh'\n" +
		function(root) + "() {\n    local -a verbs flags\n" +
		findVerb(all, "words", "CURRENT", 1) +
		"    if compset -P '--*='; then flag=${IPREFIX%=}; fi\n" +
		completeValue(all, choose, "_files") + collect(all, described) +
		`    if [[ $PREFIX == -* ]]; then
        _describe -o flag flags
    else
        _describe verb verbs || _files
    fi
}
if [[ $funcstack[1] == ` + function(root) + " ]]; then " + function(root) + ` "$@"; else compdef ` + function(root) + " " + root.Name + "; fi\n"
}

func fish(root *Command) string {
	all := tree(root)
	var b strings.Builder
	b.WriteString("# fish completion, made by '" + root.Name + " completion fish'\n" +
		"function " + function(root) + "_at --description 'true when the verbs so far match'\n" +
		"    set -l verb ' '\n    for word in (commandline -opc)[2..-1]\n" +
		"        switch \"$verb$word \"\n            case")
	for _, s := range all[1:] {
		b.WriteString(" " + quote(s.path))
	}
	b.WriteString("\n                set verb \"$verb$word \"\n        end\n    end\n" +
		"    string match -q -- $argv[1] $verb\nend\n")
	for _, s := range all {
		add := func(pattern, options, text string) {
			at := function(root) + "_at " + quote(pattern)
			fmt.Fprintf(&b, "complete -c %s -n %s%s -d %s\n", root.Name, fishQuote(at), options, fishQuote(text))
		}
		for _, v := range s.verbs {
			add(s.path, " -f -a "+v.label, v.text)
		}
		for _, f := range s.flags {
			add(s.path+"*", fishFlag(f), flagText(f))
		}
	}
	return b.String()
}

// fishFlag returns the options of fish's complete for the names and the value of f.
func fishFlag(f Flag) string {
	var b strings.Builder
	for _, n := range f.Names() {
		if len(n) == 1 {
			b.WriteString(" -s " + n)
		} else {
			b.WriteString(" -l " + n)
		}
	}
	if v := values(f); len(v) > 0 {
		b.WriteString(" -x -a " + fishQuote(strings.Join(v, " ")))
	} else if wantsValue(f) {
		b.WriteString(" -r")
	}
	return b.String()
}

// values returns the values that f takes, nil when they are not enumerated.
func values(f Flag) []string {
	if e, ok := f.(*EnumFlag); ok {
		return e.Values
	}
	return nil
}

// function returns the name of the shell function that completes for the tool.
func function(root *Command) string { return "_" + strings.ReplaceAll(root.Name, "-", "_") }

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
