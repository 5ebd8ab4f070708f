package convert

// A statement is one of the top level.
type statement struct {
	kind   string // options, source, destination, filter, parser, rewrite, template, log
	name   string
	pos    Pos
	tokens []token // all of it, for its comments
	body   *body   // log, source, destination, parser, rewrite
	calls  []*call // options, template
	expr   []token // filter
}

// A call is NAME(ARGUMENTS): a driver or an option.
type call struct {
	name string // normalized
	pos  Pos
	args []token // between the parentheses
	head *token
	tail *token // the closing parenthesis, and a semicolon behind it
}

// A body is what stands between the braces of a log path or of a source or destination.
type body struct {
	pos   Pos
	items []*item
	forks []*body // embedded log statements
	flags []token
	head  *token
}

// An item is one part of a body.
type item struct {
	kind     string // source, filter, parser, rewrite, destination, junction, if, call
	pos      Pos
	ref      string // the name that is referred to
	expr     []token
	inner    *body    // of an inline source, destination, parser or rewrite
	call     *call    // a driver
	forks    []*body  // the channels of a junction
	branches []branch // of an if
	head     *token
	tail     *token
}

// A branch is one arm of an if: the else has no condition and is the last.
type branch struct {
	cond  []token // nil: the body is the condition
	final bool    // it is the else
	body  *body
}

// A parser makes statements of tokens.
type parser struct {
	diags  *diagnostics
	tokens []token
	i      int
	depth  int
}

func (p *parser) peek() *token { return &p.tokens[p.i] }

func (p *parser) next() *token {
	t := &p.tokens[p.i]
	if t.kind != endOfFile {
		p.i++
	}
	return t
}

// accept uses up a character if it comes next.
func (p *parser) accept(text string) bool {
	if !p.peek().is(text) {
		return false
	}
	p.next()
	return true
}

// syntaxError ends the statement that is read.
type syntaxError struct{}

func (p *parser) fail(t *token, hint, want string) {
	p.diags.add(Error, t.pos, hint, "%v where %s is wanted", t, want)
	panic(syntaxError{})
}

func (p *parser) expect(text string) *token {
	t := p.peek()
	if !t.is(text) {
		p.fail(t, "", text)
	}
	return p.next()
}

// run reads all statements; one with an error is left out.
func (p *parser) run() (statements []*statement) {
	for p.peek().kind != endOfFile {
		if p.accept(";") {
			continue
		}
		if s := p.statement(); s != nil {
			statements = append(statements, s)
		}
	}
	return statements
}

func (p *parser) statement() (s *statement) {
	start := p.i
	defer func() {
		switch r := recover(); r.(type) {
		case nil:
		case syntaxError:
			s = nil
			p.recoverFrom(start)
		default:
			panic(r)
		}
	}()
	head := p.next()
	s = &statement{kind: head.name(), pos: head.pos}
	switch s.kind {
	case "options":
		p.expect("{")
		s.calls = p.calls()
	case "source", "destination", "parser", "rewrite":
		s.name = p.identifier()
		p.expect("{")
		s.body = p.body(s.kind)
	case "filter":
		s.name = p.identifier()
		p.expect("{")
		s.expr = p.until("}")
	case "template":
		s.name = p.identifier()
		if p.peek().is("{") {
			p.next()
			s.calls = p.calls()
		} else {
			s.calls = []*call{{name: "template", pos: p.peek().pos, args: p.simple(), head: head}}
		}
	case "log":
		p.expect("{")
		s.body = p.body("log")
	default:
		p.fail(head, didYouMean(head.name(), contextOf), "a statement, options, source, destination, filter, parser, rewrite, template or log,")
	}
	if !p.accept(";") {
		p.diags.add(Error, p.tokens[p.i-1].pos, "", "no semicolon after the %s statement", s.kind)
	}
	s.tokens = p.tokens[start:p.i]
	return s
}

// recoverFrom goes on behind the statement that began at token start.
func (p *parser) recoverFrom(start int) {
	depth := 0
	p.depth = 0
	for p.i = start; p.peek().kind != endOfFile; {
		t := p.next()
		switch {
		case t.is("{"):
			depth++
		case t.is("}"):
			depth--
		case t.is(";") && depth <= 0:
			return
		}
	}
}

// identifier is a name, in quotes or without.
func (p *parser) identifier() string {
	t := p.next()
	if t.kind != word && t.kind != str {
		p.fail(t, "", "a name")
	}
	return t.text
}

// simple reads up to the semicolon, which stays.
func (p *parser) simple() []token {
	start := p.i
	for !p.peek().is(";") {
		if p.peek().kind == endOfFile {
			p.fail(p.peek(), "", ";")
		}
		p.next()
	}
	return p.tokens[start:p.i]
}

// until reads up to the closing bracket, which is used up.
func (p *parser) until(closing string) []token {
	start := p.i
	opening := map[string]string{")": "(", "}": "{"}[closing]
	for depth := 1; ; {
		t := p.peek()
		if t.kind == endOfFile {
			p.fail(t, "", closing)
		}
		if t.is(opening) {
			depth++
		}
		if t.is(closing) {
			if depth--; depth == 0 {
				p.next()
				return p.tokens[start : p.i-1]
			}
		}
		p.next()
	}
}

// calls reads options up to the closing brace, which is used up.
func (p *parser) calls() (calls []*call) {
	for !p.accept("}") {
		if p.accept(";") {
			continue
		}
		calls = append(calls, p.call())
		p.semicolon()
	}
	return calls
}

// semicolon ends an item.
func (p *parser) semicolon() {
	if !p.peek().is(";") {
		p.fail(p.peek(), "", "a semicolon")
	}
	for p.accept(";") {
	}
}

func (p *parser) call() *call {
	head := p.next()
	if head.kind != word {
		p.fail(head, "", "a name")
	}
	p.expect("(")
	c := &call{name: head.name(), pos: head.pos, head: head}
	c.args = p.until(")")
	c.tail = &p.tokens[p.i-1]
	if p.peek().is(";") {
		c.tail = p.peek()
	}
	return c
}

// maxNesting is how deep log paths may be.
const maxNesting = 200

// body reads a log path, or the drivers of a source, destination, parser or rewrite, up to the closing brace, which is used
// up. Embedded statements are the last before the flags.
func (p *parser) body(kind string) *body {
	if p.depth++; p.depth > maxNesting {
		p.fail(p.peek(), "", "less nesting")
	}
	defer func() { p.depth-- }()
	b := &body{pos: p.peek().pos}
	for {
		t := p.peek()
		name := t.name()
		switch {
		case t.is("}"):
			p.next()
			return b
		case t.is(";"):
			p.next()
		case name == "log" || name == "channel":
			if b.flags != nil {
				p.fail(t, "flags() is the last in its statement", "}")
			}
			p.next()
			p.expect("{")
			fork := p.body("log")
			fork.head, fork.pos = t, t.pos
			b.forks = append(b.forks, fork)
			p.semicolon()
		case b.forks != nil && kind == "log" && name != "flags":
			p.fail(t, "after an embedded log statement there is room only for more of them, and for flags()", "an embedded log statement, flags() or }")
		case kind == "log" && name == "flags":
			p.next()
			p.expect("(")
			b.flags = append([]token{}, p.until(")")...)
			p.semicolon()
			if !p.peek().is("}") {
				p.fail(p.peek(), "flags() is the last in its statement", "}")
			}
		case kind == "log":
			b.items = append(b.items, p.item())
			p.semicolon()
		default:
			c := p.call()
			b.items = append(b.items, &item{kind: "call", pos: c.pos, call: c, head: c.head, tail: c.tail})
			p.semicolon()
		}
	}
}

// item reads one part of a log path.
func (p *parser) item() *item {
	head := p.next()
	it := &item{kind: head.name(), pos: head.pos, head: head}
	switch it.kind {
	case "source", "parser", "rewrite", "destination", "filter":
		p.object(it)
	case "junction":
		p.expect("{")
		b := p.body("junction")
		if len(b.items) > 0 {
			p.diags.add(Error, b.items[0].pos, "", "%v where channel is wanted", b.items[0].head)
			panic(syntaxError{})
		}
		it.forks = b.forks
	case "if":
		p.conditional(it)
	default:
		p.fail(head, "", "source, filter, parser, rewrite, destination, junction, channel, log, if or flags")
	}
	if p.peek().is(";") {
		it.tail = p.peek()
	}
	return it
}

// object reads (NAME), or { DEFINITION }.
func (p *parser) object(it *item) {
	if p.accept("(") {
		it.ref = p.identifier()
		p.expect(")")
		return
	}
	if !p.peek().is("{") {
		p.fail(p.peek(), "", "( or {")
	}
	p.next()
	if it.kind == "filter" {
		it.expr = p.until("}")
		return
	}
	it.inner = p.body(it.kind)
}

// conditional reads if (CONDITION) { } elif (CONDITION) { } else { }; the conditions may be left out.
func (p *parser) conditional(it *item) {
	for {
		br := branch{}
		if p.accept("(") {
			br.cond = p.until(")")
		}
		p.expect("{")
		br.body = p.body("log")
		it.branches = append(it.branches, br)
		switch p.peek().name() {
		case "elif":
			p.next()
		case "else":
			p.next()
			p.expect("{")
			it.branches = append(it.branches, branch{final: true, body: p.body("log")})
			return
		default:
			return
		}
	}
}
