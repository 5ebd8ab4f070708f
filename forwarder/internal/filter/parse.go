package filter

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

// A SyntaxError says where an expression is wrong.
type SyntaxError struct {
	Expr   string
	Offset int
	Err    error
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("filter %q: at %d: %v", e.Expr, e.Offset+1, e.Err)
}

// Unwrap is the reason.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Parse reads an expression. On failure the error is a *SyntaxError.
func Parse(text string) (*Expr, error) {
	p := &parser{lexer: lexer{text: text}, expr: &Expr{text: strings.TrimSpace(text)}}
	err := p.advance()
	if err == nil {
		p.expr.root, err = p.statements()
	}
	if err != nil {
		return nil, &SyntaxError{text, p.tok.pos, err}
	}
	return p.expr, nil
}

const maxDepth = 200

type parser struct {
	lexer
	tok   token
	last  int // where the token before ended
	expr  *Expr
	depth int
}

func (p *parser) advance() (err error) {
	p.last = p.pos
	p.tok, err = p.next()
	return err
}

// unexpected is the error of a token that does not fit.
func (p *parser) unexpected(want string) error {
	if p.tok.kind == tokenEnd {
		return fmt.Errorf("the expression ends, want %s", want)
	}
	return fmt.Errorf("%q stands where %s should", p.text[p.tok.pos:p.pos], want)
}

// is tells whether the token is a sign or word.
func (p *parser) is(kind tokenKind, text string) bool {
	return p.tok.kind == kind && (p.tok.text == text || kind == tokenWord && option.Flag(p.tok.text) == text)
}

// one reads a word or a text in quotes.
func (p *parser) one(want string, read func(text string) error) error {
	if p.tok.kind != tokenWord && p.tok.kind != tokenString {
		return p.unexpected(want)
	}
	if err := read(p.tok.text); err != nil {
		return err
	}
	return p.advance()
}

func (p *parser) expect(sign string) error {
	if !p.is(tokenSign, sign) {
		return p.unexpected(sign)
	}
	return p.advance()
}

// statements reads expressions parted by semicolons.
func (p *parser) statements() (*node, error) {
	start := p.tok.pos
	var list []*node
	for {
		n, err := p.binary(opOr)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if p.tok.kind != tokenEnd && !p.is(tokenSign, ";") {
			return nil, p.unexpected("and, or, or the end")
		}
		for p.is(tokenSign, ";") {
			if err := p.advance(); err != nil {
				return nil, err
			}
		}
		if p.tok.kind == tokenEnd {
			return p.join(opAnd, list, start), nil
		}
	}
}

// join makes one node of a list that an operator joins.
func (p *parser) join(op operation, list []*node, start int) *node {
	if len(list) == 1 {
		return list[0]
	}
	return &node{op: op, kids: list, text: p.since(start)}
}

func (p *parser) since(start int) string { return strings.TrimSpace(p.text[start:p.last]) }

var operators = map[operation]string{opOr: "or", opAnd: "and"}

func (p *parser) binary(op operation) (*node, error) {
	start := p.tok.pos
	var list []*node
	for {
		operand := p.unary
		if op == opOr {
			operand = func() (*node, error) { return p.binary(opAnd) }
		}
		n, err := operand()
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if !p.is(tokenWord, operators[op]) {
			return p.join(op, list, start), nil
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) unary() (*node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("more than %d parentheses and nots within each other", maxDepth)
	}
	defer func() { p.depth-- }()
	start := p.tok.pos
	switch {
	case p.is(tokenWord, "not"):
		if err := p.advance(); err != nil {
			return nil, err
		}
		n, err := p.unary()
		if err != nil {
			return nil, err
		}
		return &node{op: opNot, kids: []*node{n}, text: p.since(start)}, nil
	case p.is(tokenSign, "("):
		if err := p.advance(); err != nil {
			return nil, err
		}
		n, err := p.binary(opOr)
		if err != nil {
			return nil, err
		}
		return n, p.expect(")")
	case p.tok.kind == tokenWord && p.peek() == '(' && kinds[p.tok.text] == kindAny:
		return p.call()
	case p.tok.kind == tokenEnd:
		return nil, p.unexpected("a filter function or a comparison")
	}
	return p.comparison()
}

// A comparison is an operator: what it accepts, and whether it compares texts whatever the configuration says.
type comparison struct{ less, equal, greater, text bool }

var comparisons = map[string]comparison{
	"<": {less: true}, "<=": {less: true, equal: true}, "==": {equal: true}, "!=": {less: true, greater: true},
	">=": {equal: true, greater: true}, ">": {greater: true},
	"lt": {less: true, text: true}, "le": {less: true, equal: true, text: true}, "eq": {equal: true, text: true},
	"ne": {less: true, greater: true, text: true}, "ge": {equal: true, greater: true, text: true}, "gt": {greater: true, text: true},
}

func (c comparison) accepts(order int) bool {
	return order < 0 && c.less || order == 0 && c.equal || order > 0 && c.greater
}

func (p *parser) comparison() (*node, error) {
	start := p.tok.pos
	left, leftKind, err := p.operand()
	if err != nil {
		return nil, err
	}
	operator, ok := comparisons[p.tok.text]
	if !ok || p.tok.kind != tokenSign && p.tok.kind != tokenWord {
		return nil, p.unexpected("a comparison like == or eq")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	right, rightKind, err := p.operand()
	if err != nil {
		return nil, err
	}
	n := &node{text: p.since(start)}
	n.why = func(m *logmsg.Message) string {
		return fmt.Sprintf("%q, %q", left.Append(nil, m, nil), right.Append(nil, m, nil))
	}
	compare := compareTexts
	switch {
	case operator.text, leftKind == kindText && rightKind == kindText:
	case leftKind != kindAny || rightKind != kindAny:
		compare = compareNumbers
	default:
		p.expr.pending = append(p.expr.pending, func(env *Env) error {
			if !env.StringComparison {
				compare = compareIntegers
			}
			return nil
		})
	}
	n.test = func(m *logmsg.Message) bool {
		b := buffers.Get().(*buffer)
		defer buffers.Put(b)
		b.left, b.right = left.Append(b.left[:0], m, nil), right.Append(b.right[:0], m, nil)
		order, comparable := compare(b.left, b.right)
		if !comparable {
			return operator.less && operator.greater
		}
		return operator.accepts(order)
	}
	return n, nil
}

// A buffer is where the sides of a comparison are written.
type buffer struct{ left, right []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func compareTexts(a, b []byte) (order int, comparable bool) { return bytes.Compare(a, b), true }

// compareIntegers is for texts that stand for numbers, as C's atoi reads them.
func compareIntegers(a, b []byte) (order int, comparable bool) {
	return cmp.Compare(atoi(a), atoi(b)), true
}

// compareNumbers is for a number without quotes: a text that is no number differs from all.
func compareNumbers(a, b []byte) (order int, comparable bool) {
	x, ok := parseNumber(a)
	y, ok2 := parseNumber(b)
	return cmp.Compare(x, y), ok && ok2
}

// parseNumber reads all of b as C's strtod does: blanks before a number do not matter, and it may be hexadecimal.
func parseNumber(b []byte) (float64, bool) {
	text := strings.TrimLeft(string(b), " \t\n\v\f\r")
	if digits, ok := strings.CutPrefix(strings.ToLower(text), "0x"); ok {
		n, err := strconv.ParseUint(digits, 16, 64)
		return float64(n), err == nil
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// A kind is what an operand is said to be.
type kind uint8

const (
	kindAny kind = iota
	kindText
	kindNumber
)

// kinds are those that may be written before an operand: int("$PID").
var kinds = map[string]kind{
	"string": kindText, "int": kindNumber, "int32": kindNumber, "int64": kindNumber, "double": kindNumber, "float": kindNumber,
}

// operand reads a template: a text, a macro or a number; or its kind, with the template in parentheses.
func (p *parser) operand() (t *template.Template, k kind, err error) {
	if k = kinds[p.tok.text]; p.tok.kind == tokenWord && k != kindAny {
		if err := errors.Join(p.advance(), p.expect("(")); err != nil {
			return nil, k, err
		}
		if t, err = p.plainOperand(); err == nil {
			err = p.expect(")")
		}
		return t, k, err
	}
	if p.tok.isNumber() {
		k = kindNumber
	}
	t, err = p.plainOperand()
	return t, k, err
}

func (p *parser) plainOperand() (*template.Template, error) {
	if p.tok.kind != tokenString && p.tok.kind != tokenTemplate && p.tok.kind != tokenWord {
		return nil, p.unexpected("a filter function, a text or a macro")
	}
	if p.tok.kind == tokenWord && !p.tok.isNumber() {
		return nil, fmt.Errorf("no filter function %q%s", p.tok.text, suggest(p.tok.text))
	}
	t, err := p.template(p.tok.text)
	if err != nil {
		return nil, err
	}
	return t, p.advance()
}

func (p *parser) template(text string) (*template.Template, error) {
	t, err := template.Parse(text)
	if err != nil {
		return nil, err
	}
	p.expr.pending = append(p.expr.pending, func(env *Env) error { return env.Template(t) })
	return t, nil
}

// A function reads what is between its parentheses.
type function func(p *parser, n *node) error

var functions map[string]function

func init() { // the functions call the parser
	functions = map[string]function{
		"facility": facility, "level": severity, "severity": severity, "priority": severity,
		"host": field("HOST", ""), "program": field("PROGRAM", ""), "message": field("MESSAGE", ""), "source": field("SOURCE", "string"),
		"match":   anyField,
		"netmask": netmask, "netmask6": netmask6, "tags": tags, "in_list": inList, "filter": reference, "vip_held": vipHeld,
		"rate_limit": rateLimit, "throttle": rateLimit,
	}
}

func suggest(name string) string {
	if functions[option.Flag(strings.ToLower(name))] != nil {
		return " without ("
	}
	return ", want one of " + strings.Join(slices.Sorted(maps.Keys(functions)), ", ")
}

func (p *parser) call() (*node, error) {
	n := &node{}
	start := p.tok.pos
	f := functions[option.Flag(p.tok.text)]
	if f == nil {
		return nil, fmt.Errorf("no filter function %q%s", p.tok.text, suggest(p.tok.text))
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	if err := f(p, n); err != nil {
		return nil, err
	}
	if !p.is(tokenSign, ")") {
		return nil, p.unexpected(")")
	}
	err := p.advance()
	n.text = p.since(start)
	return n, err
}

// list reads words or texts parted by commas or blanks.
func (p *parser) list(want string, each func(text string) error) error {
	for first := true; ; first = false {
		if !first && p.is(tokenSign, ",") {
			if err := p.advance(); err != nil {
				return err
			}
		} else if !first && p.is(tokenSign, ")") {
			return nil
		}
		if err := p.one(want, each); err != nil {
			return err
		}
	}
}

// maxRange is the last facility that a range may include.
const maxRange = 31

func facility(p *parser, n *node) error {
	n.op = opFacility
	return p.list("a facility", func(text string) error {
		from, to, err := parseRange(text, syslog.ParseFacility)
		if err != nil {
			return err
		}
		switch {
		case from == to && from > maxRange:
			n.numbers = append(n.numbers, from)
		case max(from, to) > maxRange:
			return fmt.Errorf("%q goes beyond %d, where a range has its end", text, maxRange)
		}
		n.facilities |= syslog.FacilityRange(from, to)
		return nil
	})
}

func severity(p *parser, n *node) error {
	n.op = opSeverity
	return p.list("a severity", func(text string) error {
		from, to, err := parseRange(text, syslog.ParseSeverity)
		n.severities |= syslog.SeverityRange(from, to)
		return err
	})
}

// parseRange reads "a" or "a..b".
func parseRange[T any](text string, parse func(string) (T, error)) (from, to T, err error) {
	a, b, ok := strings.Cut(text, "..")
	if from, err = parse(a); err != nil || !ok {
		return from, from, err
	}
	to, err = parse(b)
	return from, to, err
}
