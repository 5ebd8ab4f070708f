// Package match finds patterns in values: regular expressions, strings and globs.
//
// Regular expressions are RE2's, in the syntax of Go's regexp package, which is PCRE's but for lookaround, backreferences
// and possessive quantifiers. They match anywhere unless they say ^ or $.
//
// A yes or no never needs package regexp: a pattern that is a mere text is looked for as bytes, any other is an automaton
// that is built while it reads, asked only where a text is that all matches have in them. Groups need package regexp, but
// only where there is a match.
package match

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"kad/forwarder/internal/option"
)

// Options say how a pattern is read.
type Options struct {
	Type  string   // pcre (the default), string, glob
	Flags []string // ignore_case, prefix, substring (string), utf8, newline, dupnames, global, store_matches, disable_jit
}

// Flags that mean nothing here: what they ask for is so anyway, or is the caller's.
var otherFlags = map[string]bool{
	"utf8": true, "newline": true, "dupnames": true, "disable_jit": true, "global": true, "store_matches": true, "unicode": true,
}

// Has tells whether a flag is set.
func (o Options) Has(flag string) bool {
	for _, f := range o.Flags {
		if option.Flag(f) == flag {
			return true
		}
	}
	return false
}

// A Matcher is a compiled pattern.
type Matcher struct {
	text string
	test func(b []byte) bool
	find func(b []byte) []int
	re   *regexp.Regexp

	groups   bool // it is a regular expression
	anchored bool // a text that stands at the begin
	refill   bool // an empty match may follow another; whether it does is not known of what looks back
}

// Compile reads a pattern.
func Compile(pattern string, o Options) (*Matcher, error) {
	ignoreCase, prefix, substring := false, false, false
	for _, f := range o.Flags {
		switch option.Flag(f) {
		case "ignore_case", "icase":
			ignoreCase = true
		case "prefix":
			prefix = true
		case "substring":
			substring = true
		default:
			if !otherFlags[option.Flag(f)] {
				return nil, fmt.Errorf("flag %q is not known, want ignore_case, prefix, substring, global, store_matches, utf8, newline or dupnames", f)
			}
		}
	}
	switch o.Type {
	case "", "pcre", "posix":
		m, err := compileRegexp(pattern, ignoreCase)
		if err == nil {
			m.groups = true
		}
		return m, err
	case "string":
		return compileString(pattern, ignoreCase, prefix, substring)
	case "glob":
		return compileGlob(pattern, ignoreCase)
	}
	return nil, fmt.Errorf("type %q is not known, want pcre, string or glob", o.Type)
}

// String is the pattern as written.
func (p *Matcher) String() string { return p.text }

// Match tells whether the pattern is in b.
func (p *Matcher) Match(b []byte) bool { return p.test(b) }

// Find returns where the first match in b and its groups begin and end, as regexp.FindSubmatchIndex does, or nil.
func (p *Matcher) Find(b []byte) []int { return p.find(b) }

// FindAll returns all matches in b that do not overlap, from the left, at most n unless n is negative.
func (p *Matcher) FindAll(b []byte, n int) [][]int {
	if p.re != nil {
		if !p.test(b) {
			return nil
		}
		all := p.re.FindAllSubmatchIndex(b, n)
		if n < 0 && len(b) > 0 {
			return p.withEmpty(b, all)
		}
		return all
	}
	var all [][]int
	for at := 0; n != 0 && at <= len(b); n-- {
		loc := p.find(b[at:])
		if loc == nil || at > 0 && p.anchored {
			break
		}
		all = append(all, []int{at + loc[0], at + loc[1]})
		at += max(loc[1], loc[0]+1)
	}
	return all
}

// withEmpty makes of the matches in b those that PCRE finds one after the other: an empty match may follow another match at
// once, but the search ends when it comes to the end of b.
func (p *Matcher) withEmpty(b []byte, all [][]int) (out [][]int) {
	from := 0 // where the search goes on
	for i, loc := range all {
		if from == len(b) {
			break
		}
		out = append(out, loc)
		from = after(b, loc)
		if !p.refill || from == len(b) || loc[0] == loc[1] || i+1 < len(all) && all[i+1][0] == from {
			continue
		}
		if empty := p.re.FindSubmatchIndex(b[from:]); empty != nil && empty[1] == 0 {
			for j := range empty {
				if empty[j] >= 0 {
					empty[j] += from
				}
			}
			out = append(out, empty)
			from = after(b, empty)
		}
	}
	return out
}

// after is where the search goes on after a match: behind it, and behind a character more if it is empty.
func after(b []byte, loc []int) int {
	if loc[0] < loc[1] || loc[1] == len(b) {
		return loc[1]
	}
	_, n := utf8.DecodeRune(b[loc[1]:])
	return loc[1] + n
}

// HasGroups tells whether the pattern is a regular expression, as written.
func (p *Matcher) HasGroups() bool { return p.groups }

// Groups are the names of the groups, "" for one without; the first stands for all of the match.
func (p *Matcher) Groups() []string {
	if p.re == nil {
		return []string{""}
	}
	return p.re.SubexpNames()
}

func compileString(text string, ignoreCase, prefix, substring bool) (*Matcher, error) {
	if ignoreCase {
		expr := regexp.QuoteMeta(text)
		switch {
		case substring:
		case prefix:
			expr = "^" + expr
		default:
			expr = "^" + expr + "$"
		}
		m, err := compileRegexp(expr, true)
		if err == nil {
			m.text = text
		}
		return m, err
	}
	want := []byte(text)
	m := &Matcher{text: text}
	switch {
	case substring:
		m.literal(want, false, false)
	case prefix:
		m.literal(want, true, false)
	default:
		m.literal(want, true, true)
	}
	return m, nil
}

// literal makes m look for a text as bytes.
func (p *Matcher) literal(want []byte, begin, end bool) {
	switch {
	case begin && end:
		p.anchored = true
		p.test = func(b []byte) bool { return bytes.Equal(b, want) }
	case begin:
		p.anchored = true
		p.test = func(b []byte) bool { return bytes.HasPrefix(b, want) }
	case end:
		p.test = func(b []byte) bool { return bytes.HasSuffix(b, want) }
	default:
		p.test = func(b []byte) bool { return bytes.Contains(b, want) }
	}
	p.find = func(b []byte) []int {
		if !p.test(b) {
			return nil
		}
		i := 0
		if !begin {
			i = bytes.Index(b, want)
			if end {
				i = len(b) - len(want)
			}
		}
		return []int{i, i + len(want)}
	}
}

func compileGlob(glob string, ignoreCase bool) (*Matcher, error) {
	m, err := compileRegexp(GlobExpr(glob), ignoreCase)
	if err == nil {
		m.text = glob
	}
	return m, err
}

// GlobExpr is the regular expression of a glob: * is any text, ? one character, and all of the value must match.
func GlobExpr(glob string) string {
	var b strings.Builder
	b.WriteString("(?s)^")
	for _, r := range glob {
		switch r {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	b.WriteString("$")
	return b.String()
}

func compileRegexp(expr string, ignoreCase bool) (*Matcher, error) {
	text := expr
	expr = fromPCRE(expr)
	if ignoreCase {
		expr = "(?i)" + expr
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, explain(text, err)
	}
	m := &Matcher{text: text, re: re}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, explain(text, err)
	}
	if lit, begin, end, ok := literalOf(parsed.Simplify()); ok && re.NumSubexp() == 0 {
		m.literal([]byte(lit), begin, end)
		return m, nil
	}
	m.refill = re.MatchString("") && !looksBack(parsed)
	dfa := newDFA(re, parsed)
	m.test = dfa.matches
	if texts := required(parsed.Simplify()); len(texts) > 0 {
		needles := newNeedles(texts)
		m.test = func(b []byte) bool { return (len(b) < longText || anyIn(b, needles)) && dfa.matches(b) }
	}
	m.find = func(b []byte) []int {
		if !m.test(b) {
			return nil
		}
		return re.FindSubmatchIndex(b)
	}
	return m, nil
}

// longText is the length from which on looking for what a match must contain is faster than the automaton.
const longText = 32

// A needle is a text that is looked for by the byte of it that is met least.
type needle struct {
	text []byte
	rare int // offset of that byte
}

// frequent are the bytes of common texts, the most frequent first; all others are rarer.
const frequent = " etaoinsrlcdupmhgf1023456789.-bvwy:=/kTSA"

func newNeedles(texts [][]byte) []needle {
	needles := make([]needle, len(texts))
	for i, text := range texts {
		n := needle{text: text}
		for j := range text {
			if uint(strings.IndexByte(frequent, text[j])) > uint(strings.IndexByte(frequent, text[n.rare])) { // -1 is the greatest
				n.rare = j
			}
		}
		needles[i] = n
	}
	return needles
}

// in tells whether the text is in b.
func (n *needle) in(b []byte) bool {
	for at := n.rare; at < len(b); at++ {
		i := bytes.IndexByte(b[at:], n.text[n.rare])
		if i < 0 {
			return false
		}
		if at += i; bytes.HasPrefix(b[at-n.rare:], n.text) {
			return true
		}
	}
	return false
}

func anyIn(b []byte, needles []needle) bool {
	for i := range needles {
		if needles[i].in(b) {
			return true
		}
	}
	return false
}

// pcreOnly are what PCRE has and RE2 has not, by the beginning.
var pcreOnly = []struct{ begin, name string }{
	{"(?=", "lookahead"}, {"(?!", "lookahead"}, {"(?<=", "lookbehind"}, {"(?<!", "lookbehind"}, {"(?>", "an atomic group"},
	{"(?(", "a conditional group"}, {"(?R)", "recursion"}, {"*+", "a possessive quantifier"}, {"++", "a possessive quantifier"},
	{"?+", "a possessive quantifier"}, {`\1`, "a backreference"}, {`\2`, "a backreference"}, {`\k`, "a backreference"},
	{`\G`, `\G`}, {`\K`, `\K`},
}

func explain(expr string, err error) error {
	for _, p := range pcreOnly {
		if i := strings.Index(expr, p.begin); i >= 0 {
			return fmt.Errorf("regular expression %q: at %d: %s is in PCRE, not in RE2 which is used here", expr, i+1, p.name)
		}
	}
	var bad *syntax.Error
	if errors.As(err, &bad) {
		return fmt.Errorf("regular expression %q: %s: %q", expr, bad.Code, bad.Expr)
	}
	return fmt.Errorf("regular expression %q: %w", expr, err)
}

// literalOf tells whether re is a mere text, perhaps tied to the begin or the end.
func literalOf(re *syntax.Regexp) (text string, begin, end, ok bool) {
	subs := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		subs = re.Sub
	}
	if len(subs) > 0 && subs[0].Op == syntax.OpBeginText {
		begin, subs = true, subs[1:]
	}
	if n := len(subs); n > 0 && subs[n-1].Op == syntax.OpEndText {
		end, subs = true, subs[:n-1]
	}
	switch {
	case len(subs) == 0:
		return "", begin, end, re.Op != syntax.OpNoMatch
	case len(subs) == 1 && isText(subs[0]):
		return string(subs[0].Rune), begin, end, true
	case len(subs) == 1 && subs[0].Op == syntax.OpEmptyMatch:
		return "", begin, end, true
	}
	return "", false, false, false
}

// isText tells whether re stands for the bytes of its text: without regard to case it does not, and U+FFFD matches any byte
// that is not UTF-8.
func isText(re *syntax.Regexp) bool {
	return re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, utf8.RuneError)
}

// looksBack tells whether a match of re depends on what stands before it.
func looksBack(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginLine, syntax.OpBeginText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	return slices.ContainsFunc(re.Sub, looksBack)
}

// maxRequired is how many texts are looked for before the automaton is asked; each costs a pass.
const maxRequired = 8

// required are texts of which every match of re has at least one in it, as long as possible; nil if there are none.
func required(re *syntax.Regexp) (texts [][]byte) {
	switch re.Op {
	case syntax.OpLiteral:
		if isText(re) {
			return [][]byte{[]byte(string(re.Rune))}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if s := required(sub); shortest(s) > shortest(texts) {
				texts = s
			}
		}
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			s := required(sub)
			if texts = append(texts, s...); s == nil || len(texts) > maxRequired {
				return nil
			}
		}
	}
	return texts
}

// shortest is the length of the shortest text, 0 if there is none.
func shortest(texts [][]byte) (n int) {
	for i, text := range texts {
		if i == 0 || len(text) < n {
			n = len(text)
		}
	}
	return n
}
