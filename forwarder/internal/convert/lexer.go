package convert

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what included files and blocks may grow to.
const (
	maxDepth      = 64
	maxTokens     = 1 << 20
	maxExpansions = 10000
)

type tokenKind int

const (
	endOfFile tokenKind = iota
	word                // a name, a keyword, a bare value
	str                 // a string in quotes; text is without them
	number              // as written
	punct               // one of ( ) { } ; : = < > ... and the operators of more characters
)

// A token is the smallest part of a configuration.
type token struct {
	kind     tokenKind
	text     string
	pos      Pos
	comments []string // in the lines before it
	trailing string   // behind it, in the same line
	used     bool     // its comments have been written
}

func (t *token) is(text string) bool { return t.kind == punct && t.text == text }

// name is the text of a word as keywords are compared: a dash is an underscore.
func (t *token) name() string {
	if t.kind != word {
		return ""
	}
	return normalize(t.text)
}

func normalize(name string) string { return strings.ReplaceAll(name, "-", "_") }

func (t *token) String() string {
	switch t.kind {
	case endOfFile:
		return "the end of the file"
	case str:
		return `"` + t.text + `"`
	}
	return t.text
}

// A block is what `block CONTEXT NAME(ARGS) { BODY };` defines.
type block struct {
	args    []argument
	varargs bool
	body    string
	pos     Pos // of the body
	lines   []string
}

// An argument of a block is text, as it stands between the parentheses.
type argument struct {
	name, value string
	set         bool // there is a value, even if it is ""
}

// An input is text that is read: a file, the body of a block, or what stands for a back-ticked name.
type input struct {
	file      string
	lines     []string // of the file, for diagnostics
	text      string
	offset    int
	line, col int
	pinned    *Pos // all of it is at this place
	literal   bool // part of a string, as it is
	scope     map[string]string
	isFile    bool
}

// pos is where the input is read.
func (in *input) pos() Pos {
	if in.pinned != nil {
		return *in.pinned
	}
	p := Pos{File: in.file, Line: in.line, Col: in.col}
	if 0 < in.line && in.line <= len(in.lines) {
		p.text = strings.TrimSuffix(in.lines[in.line-1], "\r")
	}
	return p
}

// A lexer makes the tokens of a configuration.
type lexer struct {
	diags    *diagnostics
	readFile func(name string) ([]byte, error)
	getenv   func(name string) (string, bool)
	dir      string // where the main file is
	version  string
	defines  map[string]string
	blocks   map[string]block // by context and name
	stack    []*input
	tokens   []token
	comments []string
	contexts []string // of the open braces
	keyword  string   // the last word that opens a context
	parens   int
	raw      bool // back-ticks stand for themselves
	inString bool
	expanded int  // blocks and files so far
	fresh    bool // at the beginning of a statement, outside of all braces
}

// contextOf says what the braces behind a word are about.
var contextOf = map[string]string{
	"source": "source", "destination": "destination", "filter": "filter", "parser": "parser", "rewrite": "rewrite",
	"template": "template", "options": "options", "log": "log", "channel": "log", "junction": "log", "if": "log",
	"elif": "log", "else": "log",
}

// run reads a file and all it includes.
func (l *lexer) run(name string, text []byte) []token {
	l.pushFile(name, text)
	l.fresh = true
	for l.lex() {
		if len(l.tokens) > maxTokens {
			l.diags.errorf(l.tokens[len(l.tokens)-1].pos, "the configuration has more than %d tokens, its blocks are taken to be endless", maxTokens)
			break
		}
	}
	end := token{kind: endOfFile, pos: Pos{File: name, Line: 1, Col: 1}, comments: l.comments}
	if n := len(l.tokens); n > 0 {
		end.pos = l.tokens[n-1].pos
	}
	return append(l.tokens, end)
}

func (l *lexer) pushFile(name string, text []byte) {
	l.stack = append(l.stack, &input{file: name, lines: strings.Split(string(text), "\n"), text: string(text) + "\n", line: 1, col: 1, isFile: true})
}

// top is the input that is read, nil at the end.
func (l *lexer) top() *input {
	for n := len(l.stack); n > 0; n = len(l.stack) {
		in := l.stack[n-1]
		if in.offset < len(in.text) {
			return in
		}
		l.stack = l.stack[:n-1]
	}
	return nil
}

// peek is the next character, 0 at the end. Back-ticked names are replaced on the way.
func (l *lexer) peek() byte {
	for {
		in := l.top()
		if in == nil {
			return 0
		}
		c := in.text[in.offset]
		if c != '`' || l.raw || in.literal || in.pinned != nil {
			return c
		}
		l.substitute(in)
	}
}

// next is the next character, which is then used up.
func (l *lexer) next() byte {
	c := l.peek()
	in := l.top()
	if in == nil {
		return 0
	}
	in.offset++
	if c == '\n' {
		in.line++
		in.col = 1
	} else {
		in.col++
	}
	return c
}

// rest is what the current input still has.
func (l *lexer) rest() string {
	in := l.top()
	if in == nil {
		return ""
	}
	return in.text[in.offset:]
}

func (l *lexer) pos() Pos {
	if in := l.top(); in != nil {
		return in.pos()
	}
	if n := len(l.tokens); n > 0 {
		return l.tokens[n-1].pos
	}
	return Pos{Line: 1, Col: 1}
}

// base is the file or block that is read, below all replacements.
func (l *lexer) base() *input {
	l.top()
	for _, in := range slices.Backward(l.stack) {
		if in.pinned == nil {
			return in
		}
	}
	return nil
}

// grow counts an expansion; false: there were too many of them, or they are too deep.
func (l *lexer) grow(pos Pos) bool {
	if l.expanded++; l.expanded > maxExpansions || len(l.stack) >= maxDepth {
		l.diags.errorf(pos, "includes and blocks are nested more than %d deep, or are more than %d", maxDepth, maxExpansions)
		l.stack = nil
		return false
	}
	return true
}

// substitute replaces the back-ticked name at which in stands; an empty name stands for a back-tick.
func (l *lexer) substitute(in *input) {
	end := strings.IndexAny(in.text[in.offset+1:], "`\n")
	if end < 0 || in.text[in.offset+1+end] == '\n' {
		l.diags.errorf(l.pos(), "a back-tick without its pair")
		in.offset++
		in.col++
		return
	}
	name := in.text[in.offset+1 : in.offset+1+end]
	pos := l.pos()
	in.offset += end + 2
	in.col += end + 2
	if name == "" {
		l.stack = append(l.stack, &input{text: "`", pinned: &pos, literal: l.inString})
		return
	}
	value, ok := in.scope[normalize(name)]
	if !ok {
		if value, ok = l.defines[name]; !ok {
			if value, ok = l.getenv(name); !ok {
				l.diags.add(Warning, pos, "syslog-ng takes it for empty", "`%s` is not defined", name)
			}
		}
	}
	literal := l.inString
	if literal {
		if text, ok := unquote(value); ok {
			value = text
		}
	}
	if value != "" && len(l.stack) < maxDepth {
		l.stack = append(l.stack, &input{text: value, pinned: &pos, literal: literal})
	}
}

// unquote is the text of a value that is nothing but a string in quotes.
func unquote(value string) (string, bool) {
	value = strings.TrimSpace(value)
	if len(value) < 2 || value[0] != '"' && value[0] != '\'' {
		return "", false
	}
	var diags diagnostics
	l := newLexer(&diags)
	l.raw = true
	l.stack = []*input{{text: value}}
	if !l.lex() || len(l.tokens) != 1 || l.tokens[0].kind != str || l.rest() != "" || diags != nil {
		return "", false
	}
	return l.tokens[0].text, true
}

func newLexer(diags *diagnostics) *lexer {
	return &lexer{
		diags: diags, readFile: os.ReadFile, getenv: os.LookupEnv, defines: map[string]string{}, blocks: map[string]block{},
	}
}

// lex reads one token, or what makes none; false at the end.
func (l *lexer) lex() bool {
	switch c := l.peek(); {
	case c == 0 && l.top() == nil:
		return false
	case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',':
		l.next()
	case c == '\\' && l.skipContinuation():
	case c == '#':
		l.comment()
	case c == '@' && l.top().pinned == nil && l.top().col == 1:
		l.pragma()
	case c == '"' || c == '\'':
		l.emit(str, l.pos(), l.quoted())
	case isWordByte(c):
		l.word()
	default:
		l.operator()
	}
	return true
}

func (l *lexer) skipContinuation() bool {
	rest := l.rest()
	if !strings.HasPrefix(rest, "\\\n") && !strings.HasPrefix(rest, "\\\r\n") {
		return false
	}
	for l.next() != '\n' {
	}
	return true
}

// isWordByte tells what words and numbers are made of.
func isWordByte(c byte) bool {
	return c > ' ' && !strings.ContainsRune(" #'\"(){}[]\\;\r\n\t,|@:<>=!", rune(c))
}

func (l *lexer) emit(kind tokenKind, pos Pos, text string) {
	if !utf8.ValidString(text) {
		l.diags.errorf(pos, "%q is not UTF-8, and TOML has no other bytes", text)
	}
	l.tokens = append(l.tokens, token{kind: kind, text: text, pos: pos, comments: l.comments})
	l.comments = nil
	l.fresh = false
}

// comment keeps the text of a comment for the token before it in the same line, else for the next one.
func (l *lexer) comment() {
	pos := l.pos()
	raw := l.raw
	l.raw = true
	var b strings.Builder
	for c := l.peek(); c != '\n' && c != 0; c = l.peek() {
		b.WriteByte(l.next())
	}
	l.raw = raw
	text := strings.TrimRight(b.String(), " \t\r")
	if n := len(l.tokens); n > 0 && l.comments == nil && l.tokens[n-1].pos.File == pos.File && l.tokens[n-1].pos.Line == pos.Line {
		l.tokens[n-1].trailing = text
	} else {
		l.comments = append(l.comments, text)
	}
}

var escapes = map[byte]byte{'a': 7, 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

// quoted reads a string; single quotes know no escapes.
func (l *lexer) quoted() string {
	pos := l.pos()
	quote := l.next()
	start := l.base()
	l.inString = true
	defer func() { l.inString = false }()
	var b strings.Builder
	for {
		c := l.peek()
		if start == nil && l.top() == nil || l.base() != start {
			l.diags.errorf(pos, "the string is not closed")
			return b.String()
		}
		in := l.top()
		l.next()
		switch {
		case in.literal:
			b.WriteByte(c)
		case c == quote:
			return b.String()
		case c == '\\' && quote == '"':
			l.escape(&b)
		default:
			b.WriteByte(c)
		}
	}
}

func (l *lexer) escape(b *strings.Builder) {
	c := l.next()
	if code, ok := escapes[c]; ok {
		b.WriteByte(code)
		return
	}
	switch c {
	case '\n':
	case '\r':
		if l.peek() == '\n' {
			l.next()
		} else {
			b.WriteByte(c)
		}
	case 'x':
		l.numeric(b, c, 16, 2)
	case 'o':
		l.numeric(b, c, 8, 3)
	default:
		b.WriteByte(c)
	}
}

// numeric reads the digits of \xNN or \oNNN.
func (l *lexer) numeric(b *strings.Builder, letter byte, base, digits int) {
	code, n := 0, 0
	for ; n < digits; n++ {
		d := strings.IndexByte("0123456789abcdef", l.peek()|0x20)
		if c := l.peek(); c >= '0' && c <= '9' {
			d = int(c - '0')
		}
		if d < 0 || d >= base {
			break
		}
		code = code*base + d
		l.next()
	}
	if n == 0 {
		b.WriteByte(letter)
		return
	}
	b.WriteByte(byte(code))
}

// word reads a word or a number, and replaces it if it calls a block.
func (l *lexer) word() {
	pos := l.pos()
	var b strings.Builder
	for c := l.peek(); isWordByte(c); c = l.peek() {
		if c == '.' && (strings.HasPrefix(l.rest(), "..") || b.Len() == 0) {
			break
		}
		b.WriteByte(l.next())
	}
	if b.Len() == 0 {
		l.operator()
		return
	}
	text := b.String()
	name := normalize(text)
	if l.fresh && name == "block" {
		l.define(pos)
		return
	}
	if context := contextOf[name]; context != "" && l.parens == 0 {
		l.keyword = context
	}
	context := "root"
	if n := len(l.contexts); n > 0 {
		context = l.contexts[n-1]
	}
	if blk, ok := l.blocks[context+" "+name]; ok {
		l.call(pos, name, blk)
		return
	}
	kind := word
	if isNumber(text) {
		kind = number
	}
	l.emit(kind, pos, text)
}

// isNumber tells whether a word is a number of syslog-ng: decimal with a unit or a fraction, hexadecimal, octal.
func isNumber(s string) bool {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+")
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		return hex != "" && strings.Trim(hex, "0123456789abcdefABCDEF") == ""
	}
	digits := strings.TrimLeft(s, "0123456789")
	if len(digits) == len(s) {
		return false
	}
	if fraction, ok := strings.CutPrefix(digits, "."); ok {
		return fraction != "" && strings.Trim(fraction, "0123456789") == ""
	}
	switch strings.ToLower(digits) {
	case "", "k", "m", "g", "b", "kb", "mb", "gb", "ki", "mi", "gi", "kib", "mib", "gib":
		return true
	}
	return false
}

// operators of more than one character, longest first.
var operators = []string{"...", "===", "!==", "..", "=>", "==", "!=", "<=", ">=", "::"}

func (l *lexer) operator() {
	pos := l.pos()
	text := string(rune(l.peek()))
	for _, op := range operators {
		if strings.HasPrefix(l.rest(), op) {
			text = op
			break
		}
	}
	for range len(text) {
		l.next()
	}
	switch text {
	case "(":
		l.parens++
	case ")":
		l.parens = max(0, l.parens-1)
	case "{":
		l.contexts = append(l.contexts, l.keyword)
		l.keyword = ""
	case "}":
		if n := len(l.contexts); n > 0 {
			l.contexts = l.contexts[:n-1]
		}
	}
	l.emit(punct, pos, text)
	l.fresh = text == ";" && len(l.contexts) == 0
}

// pragma reads a line that begins with @.
func (l *lexer) pragma() {
	pos := l.pos()
	l.next()
	var b strings.Builder
	for c := l.peek(); c != '\n' && c != 0; c = l.peek() {
		b.WriteByte(l.next())
	}
	line, comment, commented := strings.Cut(b.String(), "#")
	if commented {
		l.comments = append(l.comments, "#"+strings.TrimRight(comment, " \t\r"))
	}
	name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if before, after, ok := strings.Cut(name, ":"); ok {
		name, rest = before, after+rest
	}
	rest = strings.TrimSpace(rest)
	switch name {
	case "version":
		l.version = strings.TrimSpace(strings.TrimPrefix(rest, ":"))
	case "define":
		name, value, _ := strings.Cut(rest, " ")
		value = strings.TrimSpace(value)
		if text, ok := unquote(value); ok {
			value = text
		}
		if name == "" {
			l.diags.errorf(pos, "@define needs a name and a value")
			return
		}
		l.defines[name] = value
	case "include":
		if text, ok := unquote(rest); ok {
			rest = text
		}
		l.include(pos, rest)
	case "module", "requires":
		l.diags.add(Note, pos, "", "@%s %s is left out: forwarder has all its drivers built in", name, rest)
	default:
		l.diags.errorf(pos, "@%s is not known", name)
	}
}

// include puts the files that pattern means in the place of the pragma: a file, a directory or a pattern, relative to the
// directory of the file that includes it, of the main file, or to syslog-ng's own.
func (l *lexer) include(pos Pos, pattern string) {
	if filepath.Base(pattern) == "scl.conf" {
		l.diags.add(Note, pos, "what uses it is reported in its place", "the library scl.conf of syslog-ng is not read")
		return
	}
	files := []string{pattern}
	if !filepath.IsAbs(pattern) {
		files = []string{filepath.Join(filepath.Dir(pos.File), pattern), filepath.Join(l.dir, pattern), filepath.Join("/etc/syslog-ng", pattern)}
	}
	for _, name := range files {
		if l.includeFrom(name) {
			return
		}
	}
	if strings.ContainsAny(pattern, "*?[") {
		l.diags.add(Warning, pos, "", "no file matches %s", pattern)
		return
	}
	l.diags.errorf(pos, "no such file: %s", pattern)
}

func (l *lexer) includeFrom(name string) bool {
	if entries, err := os.ReadDir(name); err == nil {
		var names []string
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") && !e.IsDir() {
				names = append(names, filepath.Join(name, e.Name()))
			}
		}
		return l.includeAll(names)
	}
	if names, err := filepath.Glob(name); err == nil && len(names) > 0 {
		return l.includeAll(names)
	}
	return false
}

func (l *lexer) includeAll(names []string) bool {
	for _, name := range slices.Backward(names) {
		text, err := l.readFile(name)
		if err != nil {
			l.diags.errorf(l.pos(), "%v", err)
			continue
		}
		if !l.grow(l.pos()) {
			return true
		}
		l.pushFile(name, text)
	}
	return true
}

// define reads a block, whose first word has been read.
func (l *lexer) define(pos Pos) {
	l.raw = true
	defer func() { l.raw = false }()
	context, name := l.bare(), normalize(l.bare())
	if name == "" || l.skipBlank() != '(' {
		l.diags.errorf(pos, "want block CONTEXT NAME(ARGUMENTS) { ... }")
		return
	}
	l.next()
	blk := block{}
	blk.args, blk.varargs = l.arguments()
	if l.skipBlank() != '{' {
		l.diags.errorf(l.pos(), "want { and the body of block %s", name)
		return
	}
	l.next()
	blk.pos, blk.lines = l.pos(), l.top().lines
	blk.body = l.balanced('{', '}')
	l.blocks[normalize(context)+" "+name] = blk
}

// bare reads a word, "" if there is none.
func (l *lexer) bare() string {
	l.skipBlank()
	var b strings.Builder
	for c := l.peek(); isWordByte(c) && !strings.HasPrefix(l.rest(), "..."); c = l.peek() {
		b.WriteByte(l.next())
	}
	return b.String()
}

// skipBlank passes over what parts tokens, and returns what comes then.
func (l *lexer) skipBlank() byte {
	for {
		switch c := l.peek(); c {
		case ' ', '\t', '\r', '\n', ',':
			if l.top() == nil {
				return 0
			}
			l.next()
		case '#':
			l.comment()
		default:
			return c
		}
	}
}

// arguments reads NAME(TEXT) NAME(TEXT) ... up to the closing parenthesis.
func (l *lexer) arguments() (args []argument, varargs bool) {
	for {
		switch c := l.skipBlank(); {
		case c == ')':
			l.next()
			return args, varargs
		case strings.HasPrefix(l.rest(), "..."):
			varargs = true
			for range 3 {
				l.next()
			}
		default:
			pos := l.pos()
			name := l.bare()
			if name == "" || l.skipBlank() != '(' {
				l.diags.errorf(pos, "want NAME(VALUE) or the closing parenthesis of the arguments")
				l.balanced('(', ')')
				return args, varargs
			}
			l.next()
			value := strings.TrimSpace(l.balanced('(', ')'))
			set := value != ""
			if value == `""` || value == "''" {
				value = ""
			}
			args = append(args, argument{normalize(name), value, set})
		}
	}
}

// balanced reads up to the closing bracket, which is used up, and returns the text before it.
func (l *lexer) balanced(opening, closing byte) string {
	pos := l.pos()
	var b strings.Builder
	quote := byte(0)
	start := l.base()
	defer func() { l.inString = false }()
	for depth := 1; ; {
		l.inString = quote != 0
		c := l.peek()
		if l.base() != start || start == nil {
			l.diags.errorf(pos, "no closing %c", closing)
			return b.String()
		}
		l.next()
		switch {
		case quote != 0:
			if c == '\\' && quote == '"' {
				b.WriteByte(c)
				c = l.next()
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			for ; c != '\n' && l.peek() != '\n' && l.top() != nil; c = l.next() {
				b.WriteByte(c)
			}
		case c == opening:
			depth++
		case c == closing:
			if depth--; depth == 0 {
				return b.String()
			}
		}
		b.WriteByte(c)
	}
}

// call puts the body of a block in the place of its name.
func (l *lexer) call(pos Pos, name string, blk block) {
	if l.skipBlank() != '(' {
		l.diags.errorf(pos, "block %s needs parentheses, with its arguments", name)
		return
	}
	l.next()
	given, _ := l.arguments()
	if !l.grow(pos) {
		return
	}
	scope := map[string]string{}
	known := map[string]bool{}
	for _, a := range blk.args {
		known[a.name] = true
		scope[a.name] = a.value
		if !a.set && !slices.ContainsFunc(given, func(g argument) bool { return g.name == a.name }) {
			l.diags.errorf(pos, "argument %s of block %s is not given", a.name, name)
		}
	}
	varargs := ""
	for _, a := range given {
		switch {
		case known[a.name]:
			scope[a.name] = a.value
		case blk.varargs:
			varargs += a.name + "(" + a.value + ") "
		default:
			l.diags.errorf(pos, "block %s has no argument %s", name, a.name)
		}
	}
	scope["__VARARGS__"] = varargs
	l.stack = append(l.stack, &input{
		file: blk.pos.File, lines: blk.lines, text: blk.body, line: blk.pos.Line, col: blk.pos.Col, scope: scope,
	})
}
