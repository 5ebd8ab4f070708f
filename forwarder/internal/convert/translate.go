package convert

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"kad/forwarder/internal/config"
	"kad/pkg/conf"
)

// Options of a conversion.
type Options struct {
	// Partial gives the TOML in spite of errors, with the gaps as comments.
	Partial bool
}

// A Result is what became of a configuration.
type Result struct {
	// TOML is nil if there is an error and Partial is not set.
	TOML        []byte
	Diagnostics []Diagnostic
	// Failed tells whether one of the diagnostics is an error.
	Failed bool
}

// Convert converts the configuration in text, which was read from the file name. Files that it includes are read.
func Convert(name string, text []byte, o Options) Result {
	var diags diagnostics
	l := newLexer(&diags)
	l.dir = filepath.Dir(name)
	tokens := l.run(name, text)
	p := parser{diags: &diags, tokens: tokens}
	statements := p.run()
	t := &translator{diags: &diags, defined: map[string]map[string]*statement{}, names: map[string]bool{}, version: l.version}
	t.allowDuplicates = l.defines["allow-config-dups"] == "1"
	if l.version == "" {
		diags.add(Error, Pos{File: name, Line: 1, Col: 1}, "", "no @version")
	}
	doc := t.document(name, statements, &tokens[len(tokens)-1])
	if !diags.failed() {
		check(&diags, doc)
	}
	slices.SortStableFunc(diags, func(a, b Diagnostic) int {
		if a.Pos.File != b.Pos.File {
			return 0
		}
		return (a.Pos.Line-b.Pos.Line)*1000 + min(max(a.Pos.Col-b.Pos.Col, -999), 999)
	})
	result := Result{Diagnostics: diags, Failed: diags.failed()}
	if o.Partial || !result.Failed {
		result.TOML = []byte(doc.b.String())
	}
	return result
}

// check loads what was written: templates and patterns that forwarder does not know are found there. A file that is not
// there is worth a warning only, the configuration may be for another host.
func check(diags *diagnostics, doc *document) {
	_, err := config.Parse("forwarder.toml", []byte(doc.b.String()))
	if err == nil {
		return
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		joined = errors.Join(err).(interface{ Unwrap() []error })
	}
	for _, err := range joined.Unwrap() {
		var e *conf.Error
		if !errors.As(err, &e) {
			diags.errorf(doc.at(""), "%v", err)
			continue
		}
		severity := Error
		if strings.HasSuffix(e.Msg, syscall.ENOENT.Error()) {
			severity = Warning
		}
		diags.add(severity, doc.at(e.Path), e.Hint, "%s: %s", e.Path, e.Msg)
	}
}

// kinds of objects that have a name.
var kinds = []string{"source", "destination", "filter", "parser", "rewrite", "template"}

// A translator makes sections of statements.
type translator struct {
	diags           *diagnostics
	version         string
	defined         map[string]map[string]*statement // by kind and name
	names           map[string]bool                  // of log statements
	gaps            []string                         // since the last section
	fileFormat      value                            // file-template() and proto-template()
	protoFormat     value
	inline          bool   // the destination that is converted has a template with its text
	escaped         bool   // and it escapes values
	allowDuplicates bool   // the last definition of a name counts
	trimLarge       bool   // trim-large-messages() of all sources
	defaultPriority string // of the driver that is converted
}

func (t *translator) errorf(pos Pos, format string, args ...any) {
	t.gap(pos, "", format, args...)
}

// gap is an error that leaves a gap in the document.
func (t *translator) gap(pos Pos, hint, format string, args ...any) {
	t.diags.add(Error, pos, hint, format, args...)
	t.gaps = append(t.gaps, "# GAP: "+pos.String()+": "+fmt.Sprintf(format, args...))
}

func (t *translator) fileTemplate(c *call) (value, bool) {
	t.fileFormat = t.templateName(c)
	return nil, false
}

func (t *translator) protoTemplate(c *call) (value, bool) {
	t.protoFormat = t.templateName(c)
	return nil, false
}

// templateName is a template by its name; of anything else syslog-ng takes no notice.
func (t *translator) templateName(c *call) value {
	v, ok := t.single(c)
	if !ok {
		return nil
	}
	if t.defined["template"][v.text] == nil {
		t.diags.add(Warning, v.pos, "syslog-ng ignores it too", "%s(%v) names no template, it is left out", dashed(c.name), v)
		return nil
	}
	return "$(template " + v.text + ")"
}

// comments of a call that stand before it and behind it.
func (t *translator) comments(c *call) []string { return around(c.head, c.tail) }

// around takes the comments before head and behind tail, once.
func around(head, tail *token) (comments []string) {
	if head != nil && !head.used {
		comments = append(comments, head.comments...)
		head.used = true
	}
	if tail != nil && tail.trailing != "" {
		comments = append(comments, tail.trailing)
		tail.trailing = ""
	}
	return comments
}

// document translates everything.
func (t *translator) document(name string, statements []*statement, end *token) *document {
	for _, kind := range kinds {
		t.defined[kind] = map[string]*statement{}
	}
	for _, s := range statements {
		t.define(s)
	}
	doc := &document{places: map[string]Pos{"": {File: name, Line: 1, Col: 1}}}
	doc.line("# Converted from %s by forwarder convert.", filepath.Base(name))
	sections := []section{t.globalOptions(statements, doc.at(""))}
	used := usedFilters(statements)
	for _, s := range statements {
		if s.kind == "options" {
			continue
		}
		if missing := t.missing(s); s.kind == "filter" && !used[s.name] && missing != nil {
			t.diags.add(Warning, missing.pos, "", "filter %s is not defined; filter %s, which no log path uses, is left out", missing.text, s.name)
			continue
		}
		if names := t.defined[s.kind]; names != nil && names[s.name] != s {
			continue // defined twice
		}
		if it := (&item{kind: s.kind, ref: s.name}); (s.kind == "parser" || s.kind == "rewrite") && t.channelsOf(it) != nil {
			continue // stands where it is used
		}
		before := around(&s.tokens[0], nil)
		sec := t.section(s)
		sec[0].comments = slices.Concat(before, leftOver(s.tokens), sec[0].comments, t.takeGaps())
		sections = append(sections, sec...)
	}
	for _, s := range sections {
		doc.place(keyPath(s.path), s.table, s.pos)
		doc.section(s)
	}
	if end.comments != nil {
		doc.line("")
		doc.comments("", end.comments)
	}
	return doc
}

// globalOptions makes one section of all options statements. It is the first one: the others depend on it.
func (t *translator) globalOptions(statements []*statement, pos Pos) section {
	global := section{path: []string{"options"}, table: &table{}, pos: pos}
	for _, s := range statements {
		if s.kind != "options" {
			continue
		}
		if global.pos == pos {
			global.pos = s.pos
		}
		global.comments = append(global.comments, around(&s.tokens[0], nil)...)
		t.options(global.table, "options", globalOptions(), s.calls)
		global.comments = append(append(global.comments, leftOver(s.tokens)...), t.takeGaps()...)
	}
	t.programDefaults(global.table, global.pos)
	return global
}

// programDefaults sets what the program does otherwise than forwarder unless it is told.
func (t *translator) programDefaults(global *table, pos Pos) {
	if global.get("use_dns") == nil {
		global.set("use_dns", true, pos)
	}
	global.set("unmatched_embedded", "unprocessed", pos)
	if t.comparesTexts() {
		global.set("comparison", "string", pos)
	}
}

// comparesTexts tells whether == and the like compare texts: they do since 4.0, and did before 3.8.
func (t *translator) comparesTexts() bool {
	major, minor, _ := strings.Cut(t.version, ".")
	minor, _, _ = strings.Cut(minor, ".")
	if len(major) > 1 || major > "3" {
		return true
	}
	return major < "3" || len(minor) == 1 && minor < "8"
}

// filterNames are the names in filter(NAME).
func filterNames(tokens []token) (names []*token) {
	for i := range tokens {
		if i > 1 && tokens[i-2].name() == "filter" && tokens[i-1].is("(") && tokens[i].kind != punct {
			names = append(names, &tokens[i])
		}
	}
	return names
}

// usedFilters are those that something else than an unused filter names.
func usedFilters(statements []*statement) map[string]bool {
	used := map[string]bool{}
	for again := true; again; {
		again = false
		for _, s := range statements {
			if s.kind == "filter" && !used[s.name] {
				continue
			}
			for _, name := range filterNames(s.tokens) {
				again = again || !used[name.text]
				used[name.text] = true
			}
		}
	}
	return used
}

// missing is the first filter that a statement names and that is not defined.
func (t *translator) missing(s *statement) *token {
	for _, name := range filterNames(s.tokens) {
		if t.defined["filter"][name.text] == nil {
			return name
		}
	}
	return nil
}

// define makes a statement's name known.
func (t *translator) define(s *statement) {
	names, ok := t.defined[s.kind]
	if !ok {
		return
	}
	if known := names[s.name]; known != nil && !t.allowDuplicates {
		t.errorf(s.pos, "%s %s is defined twice, first at %v", s.kind, s.name, known.pos)
		return
	}
	names[s.name] = s
}

func (t *translator) takeGaps() []string {
	gaps := t.gaps
	t.gaps = nil
	return gaps
}

// leftOver takes the comments of a statement that nothing else took.
func leftOver(tokens []token) (comments []string) {
	for i := range tokens {
		comments = append(comments, around(&tokens[i], &tokens[i])...)
	}
	return comments
}

// section translates a statement; a log path becomes several sections.
func (t *translator) section(s *statement) []section {
	path := []string{s.kind, s.name}
	switch s.kind {
	case "log":
		name := t.name(s.body, t.names)
		return t.logPath(s.body, []string{"log", name}, nil)
	case "filter":
		dst := &table{}
		dst.set("expr", t.expression(s.expr, s.pos), first(s.expr, s.pos))
		return []section{{path: path, table: dst, pos: s.pos}}
	case "template":
		dst := &table{}
		t.options(dst, "template", join(each(plainTemplate, "template"), each(boolean, "template_escape")), s.calls)
		return []section{{path: path, table: dst, pos: s.pos}}
	}
	drivers := t.drivers(s.kind, s.body)
	dst := &table{}
	if len(drivers) == 1 {
		dst = drivers[0]
	} else {
		dst.set("drivers", tables(drivers), s.pos)
	}
	return []section{{path: path, table: dst, pos: s.pos}}
}

// first is where an expression begins.
func first(expr []token, otherwise Pos) Pos {
	if len(expr) == 0 {
		return otherwise
	}
	return expr[0].pos
}

// plainTemplate is a template that names no other one.
func plainTemplate(t *translator, c *call) (value, bool) { return text(t, c) }

func tables(drivers []*table) list {
	l := list{}
	for _, d := range drivers {
		l = append(l, d)
	}
	return l
}

// drivers translates what stands between the braces of a source, destination, parser or rewrite.
func (t *translator) drivers(kind string, b *body) (drivers []*table) {
	for _, it := range b.items {
		d := t.driver(kind, it.call)
		if d == nil {
			continue
		}
		t.formats(kind, d)
		if t.trimLarge && kind == "source" && d.get("trim_large_messages") == nil && (d.get("driver") == "network" || d.get("driver") == "syslog") {
			d.set("trim_large_messages", true, d.pos)
		}
		drivers = append(drivers, d)
	}
	for _, fork := range b.forks {
		drivers = append(drivers, t.channel(kind, fork)...)
	}
	return drivers
}

// formats gives a destination the templates that options{} has for all.
func (t *translator) formats(kind string, d *table) {
	if kind != "destination" || d.get("template") != nil {
		return
	}
	switch d.get("driver") {
	case "file", "pipe":
		if t.fileFormat != nil {
			d.set("template", t.fileFormat, d.pos)
		}
	case "network", "unix_dgram", "unix_stream":
		if t.protoFormat != nil {
			d.set("template", t.protoFormat, d.pos)
		}
	}
}

// channel translates a channel in a source or a destination: its other items are steps of its drivers.
func (t *translator) channel(kind string, b *body) (drivers []*table) {
	if kind == "parser" || kind == "rewrite" {
		t.gap(b.pos, "", "a channel in a %s has no counterpart", kind)
		return nil
	}
	for _, f := range t.logFlags(b, true) {
		if f != "final" { // there is no other branch
			t.gap(b.pos, "", "flag %s in the channel of a %s has no counterpart", f, kind)
		}
	}
	if len(b.forks) > 0 && kind == "destination" {
		t.gap(b.pos, "", "embedded statements in the channel of a destination have no counterpart")
	}
	var steps list
	for _, it := range b.items {
		if it.kind != kind {
			steps = t.appendStep(steps, it)
			continue
		}
		if it.inner == nil {
			t.gap(it.pos, "", "a reference to a %s in a channel of a %s has no counterpart", kind, kind)
			continue
		}
		if kind == "source" && len(steps) > 0 {
			t.gap(it.pos, "", "a source stands first in its channel")
		}
		for _, d := range t.drivers(kind, it.inner) {
			if kind == "destination" && len(steps) > 0 {
				d.set("steps", slices.Clone(steps), b.pos)
			}
			drivers = append(drivers, d)
		}
	}
	if len(b.forks) > 0 && kind == "source" {
		junction := &table{}
		junction.set("junction", t.branches(b.forks), b.pos)
		steps = append(steps, junction)
	}
	if kind == "source" && len(steps) > 0 {
		for _, d := range drivers {
			d.set("steps", steps, b.pos)
		}
	}
	return drivers
}

// logPath translates a log statement and its embedded ones.
func (t *translator) logPath(b *body, path []string, comments []string) []section {
	dst := &table{pos: b.pos}
	items := b.items
	var sources list
	for len(items) > 0 && items[0].kind == "source" {
		if len(path) > 2 {
			t.gap(items[0].pos, "sources stand in the outermost log statement", "a source in an embedded log statement")
		}
		sources = append(sources, t.object(items[0])...)
		comments = append(comments, around(items[0].head, items[0].tail)...)
		items = items[1:]
	}
	if sources != nil {
		dst.set("source", sources, b.pos)
	}
	last := len(items)
	for last > 0 && items[last-1].kind == "destination" {
		last--
	}
	var steps, destinations list
	for _, it := range items[:last] {
		if it.kind == "source" {
			t.gap(it.pos, "sources stand before everything else", "a source after other items of a log statement")
			continue
		}
		steps = t.appendStep(steps, it)
	}
	for _, it := range items[last:] {
		comments = append(comments, around(it.head, it.tail)...)
		destinations = append(destinations, t.object(it)...)
	}
	if steps != nil {
		dst.set("steps", steps, b.pos)
	}
	if destinations != nil {
		dst.set("destination", destinations, b.pos)
	}
	if f := t.logFlags(b, len(path) > 2); len(f) > 0 {
		dst.set("flags", f, b.pos)
	}
	sections := []section{{path: path, table: dst, comments: comments, pos: b.pos}}
	names := map[string]bool{}
	for _, fork := range b.forks {
		inner := append(slices.Clone(path), "log", t.name(fork, names))
		sections = append(sections, t.logPath(fork, inner, around(fork.head, nil))...)
	}
	return sections
}

// appendStep translates one item of a log path, with its comments.
func (t *translator) appendStep(steps list, it *item) list {
	step := t.step(it)
	if step == nil {
		return steps
	}
	e := element{value: step, comments: around(it.head, nil), pos: it.pos}
	if it.tail != nil {
		e.trailing, it.tail.trailing = it.tail.trailing, ""
	}
	return append(steps, e)
}

// name makes a name for a log statement of the first destination it has.
func (t *translator) name(b *body, taken map[string]bool) string {
	base := firstDestination(b)
	if base == "" {
		base = "path"
	}
	name := base
	for n := 2; taken[name]; n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	taken[name] = true
	return name
}

func firstDestination(b *body) string {
	for _, it := range b.items {
		if it.kind == "destination" && it.ref != "" {
			return it.ref
		}
		for _, fork := range it.forks {
			if name := firstDestination(fork); name != "" {
				return name
			}
		}
		for _, br := range it.branches {
			if name := firstDestination(br.body); name != "" {
				return name
			}
		}
	}
	for _, fork := range b.forks {
		if name := firstDestination(fork); name != "" {
			return name
		}
	}
	return ""
}

var logFlagNames = map[string]string{
	"catchall": "catchall", "catch_all": "catchall", "fallback": "fallback", "final": "final", "flow_control": "flow_control",
	"drop_unmatched": "drop_unmatched",
}

func (t *translator) logFlags(b *body, embedded bool) (names list) {
	for i := range b.flags {
		f := &b.flags[i]
		name, ok := logFlagNames[normalize(f.text)]
		switch {
		case !ok:
			t.diags.add(Warning, f.pos, "syslog-ng ignores it too", "flag %s is not known, it is left out", f.text)
		case name == "catchall" && embedded:
			t.gap(f.pos, "catchall stands in the outermost log statement", "flag catchall in an embedded log statement")
		case !slices.Contains(names, value(name)):
			names = append(names, name)
		}
	}
	return names
}

// object translates a reference or what stands in its place, into the elements of a list.
func (t *translator) object(it *item) list {
	if it.ref != "" {
		if t.defined[it.kind][it.ref] == nil {
			t.undefined(it.pos, it.kind, it.ref)
		}
		return list{it.ref}
	}
	return tables(t.drivers(it.kind, it.inner))
}

// step translates one item of a log path, nil if it does nothing.
func (t *translator) step(it *item) *table {
	dst := &table{pos: it.pos}
	switch it.kind {
	case "filter":
		if it.ref != "" {
			if t.defined["filter"][it.ref] == nil {
				t.undefined(it.pos, "filter", it.ref)
			}
			dst.set("filter", filterReference(it.ref), it.pos)
			break
		}
		dst.set("filter", t.expression(it.expr, it.pos), first(it.expr, it.pos))
	case "parser", "rewrite", "destination":
		if channels := t.channelsOf(it); channels != nil {
			dst.set("junction", t.branches(channels), it.pos)
			break
		}
		objects := t.object(it)
		var v value = objects
		if len(objects) == 1 {
			v = objects[0]
		}
		dst.set(it.kind, v, it.pos)
	case "junction":
		if len(it.forks) == 0 {
			return nil // lets everything through
		}
		dst.set("junction", t.branches(it.forks), it.pos)
	case "if":
		t.conditional(dst, it.pos, it.branches)
	}
	return dst
}

// channelsOf are the channels that a parser or rewrite is made of, nil if it is made of drivers.
func (t *translator) channelsOf(it *item) []*body {
	b := it.inner
	if s := t.defined[it.kind][it.ref]; s != nil {
		b = s.body
	}
	if it.kind == "destination" || b == nil || len(b.items) > 0 {
		return nil
	}
	return b.forks
}

// branches translates channels.
func (t *translator) branches(forks []*body) (channels list) {
	for _, fork := range forks {
		channels = append(channels, element{value: t.branch(fork), comments: around(fork.head, nil), pos: fork.pos})
	}
	return channels
}

// filterReference is the name of a filter, or, if it does not look like one, the expression that refers to it.
func filterReference(name string) string {
	if config.IsName(name) {
		return name
	}
	return "filter(" + quoteInFilter(name) + ")"
}

// branch translates a channel.
func (t *translator) branch(b *body) *table {
	dst := &table{pos: b.pos}
	dst.set("steps", t.steps(b), b.pos)
	if f := t.logFlags(b, true); len(f) > 0 {
		dst.set("flags", f, b.pos)
	}
	return dst
}

// steps translates all of a body; embedded statements are a junction.
func (t *translator) steps(b *body) list {
	steps := list{}
	for _, it := range b.items {
		if it.kind == "source" {
			t.gap(it.pos, "sources stand in the outermost log statement", "a source in an embedded log statement")
			continue
		}
		steps = t.appendStep(steps, it)
	}
	if len(b.forks) > 0 {
		dst := &table{}
		dst.set("junction", t.branches(b.forks), b.pos)
		steps = append(steps, dst)
	}
	return steps
}

// conditional translates if, elif, else. A branch whose condition is its body becomes a junction whose channels are final:
// what the first lets through does not go into the second.
func (t *translator) conditional(dst *table, pos Pos, branches []branch) {
	body := branches[0].body
	t.branchFlags(body)
	if branches[0].cond == nil {
		otherwise := &table{}
		steps := list{}
		if len(branches) > 1 {
			steps = t.otherwise(branches[1:])
		}
		then := &table{}
		then.set("steps", t.steps(body), pos)
		then.set("flags", list{"final"}, pos)
		otherwise.set("steps", steps, pos)
		otherwise.set("flags", list{"final"}, pos)
		dst.set("junction", list{then, otherwise}, pos)
		return
	}
	dst.set("if", t.expression(branches[0].cond, pos), first(branches[0].cond, pos))
	dst.set("then", t.steps(body), pos)
	if len(branches) > 1 {
		dst.set("else", t.otherwise(branches[1:]), pos)
	}
}

// branchFlags refuses flags of a branch but final, which it has anyway.
func (t *translator) branchFlags(b *body) {
	for _, f := range t.logFlags(b, true) {
		if f != "final" {
			t.gap(b.flags[0].pos, "", "flag %s in a branch of an if has no counterpart", f)
		}
	}
}

// otherwise is what the else holds: the steps of the last branch, or one more if.
func (t *translator) otherwise(branches []branch) list {
	if branches[0].final {
		t.branchFlags(branches[0].body)
		return t.steps(branches[0].body)
	}
	inner := &table{}
	t.conditional(inner, branches[0].body.pos, branches)
	return list{inner}
}

func (t *translator) undefined(pos Pos, kind, name string) {
	t.gap(pos, didYouMean(name, t.defined[kind]), "%s %s is not defined", kind, name)
}

// didYouMean is a hint at a name that is near.
func didYouMean[V any](name string, known map[string]V) string {
	return conf.DidYouMean(name, slices.Sorted(maps.Keys(known)))
}

// expression writes a filter expression anew; filters that it names have to be defined.
func (t *translator) expression(tokens []token, pos Pos) string {
	for len(tokens) > 0 && tokens[len(tokens)-1].is(";") {
		tokens = tokens[:len(tokens)-1]
	}
	if len(tokens) == 0 {
		t.errorf(pos, "the filter is empty")
	}
	for _, name := range filterNames(tokens) {
		if t.defined["filter"][name.text] == nil {
			t.undefined(name.pos, "filter", name.text)
		}
	}
	var b strings.Builder
	var calls []bool // for each open parenthesis: it belongs to a function
	for i := range tokens {
		tok := &tokens[i]
		var before *token
		if i > 0 {
			before = &tokens[i-1]
			b.WriteString(gapBetween(before, tok, len(calls) > 0 && calls[len(calls)-1]))
		}
		switch {
		case tok.is("("):
			calls = append(calls, before != nil && before.kind == word && !operatorWords[before.name()])
		case tok.is(")") && len(calls) > 0:
			calls = calls[:len(calls)-1]
		}
		n, isInteger := parseInteger(tok.text)
		switch {
		case tok.kind == str:
			b.WriteString(quoteInFilter(tok.text))
		case tok.kind == number && isInteger: // perhaps octal, or with a unit
			b.WriteString(strconv.FormatInt(n, 10))
		default:
			b.WriteString(tok.text)
		}
	}
	return b.String()
}

var operatorWords = map[string]bool{"and": true, "or": true, "not": true, "lt": true, "le": true, "eq": true, "ne": true, "ge": true, "gt": true}

// gapBetween is what stands between two tokens of an expression.
func gapBetween(a, b *token, inCall bool) string {
	switch {
	case a.is("("), b.is(")"), b.is(";"), a.is(".."), b.is(".."):
		return ""
	case b.is("(") && a.kind == word && !operatorWords[a.name()]:
		return ""
	case inCall && a.kind != punct && b.kind == str, inCall && a.kind == word && b.kind == word && !operatorWords[a.name()] && !operatorWords[b.name()]:
		return ", "
	}
	return " "
}

// quoteInFilter prefers the quotes that need no escapes.
func quoteInFilter(s string) string {
	if strings.ContainsAny(s, `"\`) && !strings.ContainsAny(s, "'\n\r") {
		return "'" + s + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}
