package logpath

import "slices"

// A Finding is a statement to which no message can come.
type Finding struct {
	Statement *Statement
	By        *Statement // takes the messages that would come to it
	Fallback  bool       // Statement is a fallback, and By processes every message
}

// Unreachable finds the statements, embedded ones and channels too, to which no message can come: one before them is final
// and has no filter, or has one that they have as well; or they are a fallback of a statement that matches all.
func Unreachable(g *Graph) (findings []Finding) {
	l := linter{g: g}
	for i, s := range g.Paths {
		var found *Finding
		for _, source := range g.sourcesOf(s) {
			if found = blocker(l.of(source, g.Paths), l.of(source, g.Paths[:i]), s, &l); found == nil {
				break
			}
		}
		if found != nil {
			findings = append(findings, *found)
		}
		findings = append(findings, l.inside(s.Elements)...)
	}
	return findings
}

// sourcesOf are the sources whose messages come to s, each once.
func (g *Graph) sourcesOf(s *Statement) []string {
	sources := slices.Clone(s.Sources)
	if s.Flags&Catchall != 0 {
		for _, source := range g.Sources {
			if !source.Inline {
				sources = append(sources, source.Name)
			}
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(sources)))
}

type linter struct{ g *Graph }

// of are those of the statements to which messages of a source come.
func (l *linter) of(source string, paths []*Statement) (list []*Statement) {
	for _, s := range paths {
		if slices.Contains(l.g.sourcesOf(s), source) {
			list = append(list, s)
		}
	}
	return list
}

// inside looks into the branches of elements.
func (l *linter) inside(elements []Element) (findings []Finding) {
	for _, e := range elements {
		switch e := e.(type) {
		case *If:
			findings = append(append(findings, l.inside(e.Then)...), l.inside(e.Else)...)
		case *Tee:
			findings = append(findings, l.inside(e.Elements)...)
		case *Junction:
			for i, s := range e.Branches {
				if found := blocker(e.Branches, e.Branches[:i], s, l); found != nil {
					findings = append(findings, *found)
				}
				findings = append(findings, l.inside(s.Elements)...)
			}
		}
	}
	return findings
}

// blocker finds what keeps messages from s, one of the branches all, before which others stand.
func blocker(all, before []*Statement, s *Statement, l *linter) *Finding {
	fallback := s.Flags & Fallback
	for _, e := range before {
		if e.Flags&Fallback == fallback && e.Flags&Final != 0 && (l.matchesAll(e) || l.covers(e, s)) {
			return &Finding{Statement: s, By: e}
		}
	}
	for _, e := range all {
		if fallback != 0 && e.Flags&Fallback == 0 && l.matchesAll(e) {
			return &Finding{Statement: s, By: e, Fallback: true}
		}
	}
	return nil
}

// matchesAll tells whether s matches every message.
func (l *linter) matchesAll(s *Statement) bool {
	return s.Flags&DropUnmatched != 0 || l.passAll(s.Elements)
}

func (l *linter) passAll(elements []Element) bool {
	return !slices.ContainsFunc(elements, func(e Element) bool {
		switch e := e.(type) {
		case *Work:
			return e.Kind != "rewrite"
		case *If:
			return !l.passAll(e.Then) || !l.passAll(e.Else)
		case *Junction:
			lenient := e.Embedded && !l.g.UnmatchedEmbeddedRefuses
			return !lenient && !slices.ContainsFunc(e.Branches, l.matchesAll)
		}
		return false
	})
}

// covers tells whether e matches whatever s matches: all filters of e are filters of s, which both have before anything that
// could change a message.
func (l *linter) covers(e, s *Statement) bool {
	filters, rest := leading(e.Elements)
	others, _ := leading(s.Elements)
	return len(filters) > 0 && l.passAll(rest) && !slices.ContainsFunc(filters, func(name string) bool { return !slices.Contains(others, name) })
}

// leading are the filters that elements begin with, apart from destinations, and what follows them.
func leading(elements []Element) (filters []string, rest []Element) {
	for i, e := range elements {
		switch e := e.(type) {
		case *Work:
			if v, ok := e.Step.(interface{ Varies() bool }); e.Kind != "filter" || ok && v.Varies() {
				return filters, elements[i:]
			}
			filters = append(filters, e.Name)
		case *Send, *Tee:
		default:
			return filters, elements[i:]
		}
	}
	return filters, nil
}
