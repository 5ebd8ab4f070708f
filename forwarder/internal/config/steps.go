package config

import (
	"slices"
	"strings"

	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/logpath"
	"kad/pkg/conf"
)

// stepKinds are the keys of a step.
var stepKinds = []string{"filter", "parser", "rewrite", "destination", "if", "junction"}

// steps reads a list of steps.
func (b *builder) steps(path string, v any) (elements []logpath.Element) {
	for i, e := range b.asList(path, v) {
		at := index(path, i)
		if t := b.asTable(at, e); t != nil {
			elements = append(elements, b.step(at, t)...)
		}
	}
	return elements
}

func (b *builder) step(path string, t table) []logpath.Element {
	kind := ""
	for _, k := range stepKinds {
		if _, ok := t[k]; ok {
			kind = k
			break
		}
	}
	allowed := []string{kind}
	if kind == "if" {
		allowed = []string{"if", "then", "elif", "else"}
	}
	for _, key := range b.keys(path, t) {
		if kind != "" && !slices.Contains(allowed, key) {
			b.Hintf(join(path, key), conf.DidYouMean(key, allowed), "a step with %s has no %q", kind, key)
		}
	}
	at := join(path, kind)
	switch kind {
	case "filter":
		if name, e := b.condition(at, t[kind]); e != nil {
			return []logpath.Element{&logpath.Work{Kind: kind, Name: name, Step: e}}
		}
	case "parser":
		return b.reference(at, t[kind], kind, b.parsers, func(path string, t table) []logpath.Element {
			return b.object(path, driverName(t), t, b.parser)
		})
	case "rewrite":
		return b.reference(at, t[kind], kind, b.rewrites, func(path string, t table) []logpath.Element {
			return b.object(path, driverName(t), t, b.rewrite)
		})
	case "destination":
		return b.reference(at, t[kind], kind, b.destinations, b.inlineDestination)
	case "if":
		return b.branches(path, t)
	case "junction":
		return []logpath.Element{b.junction(at, t[kind])}
	default:
		if keys := b.keys(path, t); len(keys) > 0 {
			b.Hintf(join(path, keys[0]), conf.DidYouMean(keys[0], stepKinds), "no step %q, want one of %s", keys[0], strings.Join(stepKinds, ", "))
		} else {
			b.Errorf(path, "an empty step, want one of %s", strings.Join(stepKinds, ", "))
		}
	}
	return nil
}

// driverName is what an object that stands in place is called by.
func driverName(t table) string {
	name, _ := t["driver"].(string) // what else it may be is reported
	return name
}

// condition reads the name of a filter, or an expression.
func (b *builder) condition(path string, v any) (string, *filter.Expr) {
	text, ok := b.asString(path, v)
	if !ok {
		return "", nil
	}
	if IsName(text) {
		b.use("filter", text)
		e := b.filters[text]
		if e == nil {
			b.Hintf(path, conf.DidYouMean(text, names(b.filters)), "no filter %q", text)
		}
		return text, e
	}
	e, err := filter.Parse(text)
	if err != nil {
		b.Errorf(path, "%v", err)
		return "", nil
	}
	b.note(path, e)
	return text, e
}

// IsName tells the name of a filter from an expression, which has parentheses or a comparison in it.
func IsName(text string) bool {
	return text != "" && strings.IndexFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_-.#", r))
	}) < 0
}

// branches reads if, elif and else.
func (b *builder) branches(path string, t table) []logpath.Element {
	first := &logpath.If{}
	last := first
	b.branch(path, t, first)
	if v, ok := t["elif"]; ok {
		at := join(path, "elif")
		for i, e := range b.asList(at, v) {
			entry := b.asTable(index(at, i), e)
			if entry == nil {
				continue
			}
			for _, key := range b.keys(index(at, i), entry) {
				if key != "if" && key != "then" {
					b.unknownKey(join(index(at, i), key), key, []string{"if", "then"})
				}
			}
			next := &logpath.If{}
			b.branch(index(at, i), entry, next)
			last.Else = []logpath.Element{next}
			last = next
		}
	}
	if v, ok := t["else"]; ok {
		last.Else = b.steps(join(path, "else"), v)
	}
	return []logpath.Element{first}
}

func (b *builder) branch(path string, t table, into *logpath.If) {
	name, e := b.condition(join(path, "if"), t["if"])
	into.Name = name
	if into.Cond = e; e == nil {
		into.Cond = &filter.Expr{} // it was reported
	}
	if v, ok := t["then"]; ok {
		into.Then = b.steps(join(path, "then"), v)
	}
}

// junction reads channels.
func (b *builder) junction(path string, v any) *logpath.Junction {
	j := &logpath.Junction{}
	for i, e := range b.asList(path, v) {
		at := index(path, i)
		t := b.asTable(at, e)
		for _, key := range b.keys(at, t) {
			if known := []string{"steps", "flags"}; !slices.Contains(known, key) {
				b.unknownKey(join(at, key), key, known)
			}
		}
		s := &logpath.Statement{Name: at}
		b.places[s] = at
		if v, ok := t["steps"]; ok {
			s.Elements = b.steps(join(at, "steps"), v)
		}
		s.Flags = b.flags(at, t, false)
		j.Branches = append(j.Branches, s)
	}
	return j
}
