package match

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"
)

// An alphabet parts all characters into classes that a program cannot tell apart, so that a state needs one successor a
// class. A byte that is not UTF-8 counts as U+FFFD, as in package regexp.
type alphabet struct {
	ascii  [utf8.RuneSelf]int32 // the class of each
	from   []rune               // where intervals of a class begin, ascending, the first at 0
	of     []int32              // their classes
	end    int32                // the class of what follows the last character
	sample []rune               // a character of each class, of end -1
}

func (a *alphabet) class(r rune) int32 {
	i, exact := slices.BinarySearch(a.from, r)
	if !exact {
		i--
	}
	return a.of[i]
}

func alphabetOf(prog *syntax.Prog) (a alphabet) {
	insts := tests(prog)
	classes := map[string]int32{}
	for _, r := range bounds(insts) {
		signature := []byte{byte(kind(r))}
		for _, inst := range insts {
			signature = append(signature, map[bool]byte{true: 1}[inst.MatchRune(r)])
		}
		class, known := classes[string(signature)]
		if !known {
			class = int32(len(classes))
			classes[string(signature)] = class
			a.sample = append(a.sample, r)
		}
		if n := len(a.of); n == 0 || a.of[n-1] != class {
			a.from, a.of = append(a.from, r), append(a.of, class)
		}
	}
	for r := range a.ascii {
		a.ascii[r] = a.class(rune(r))
	}
	a.end = int32(len(a.sample))
	a.sample = append(a.sample, -1)
	return a
}

// tests are the instructions of prog that ask for a character, those that ask for the same only once.
func tests(prog *syntax.Prog) (insts []*syntax.Inst) {
	seen := map[string]bool{}
	for i := range prog.Inst {
		inst := &prog.Inst[i]
		switch inst.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if key := fmt.Sprint(inst.Op, inst.Rune, inst.Arg); !seen[key] {
				seen[key] = true
				insts = append(insts, inst)
			}
		}
	}
	return insts
}

// bounds are, ascending, all characters at which the answer of one of insts, or the kind, may change.
func bounds(insts []*syntax.Inst) []rune {
	at := []rune{0, '\n', '\n' + 1, '0', '9' + 1, 'A', 'Z' + 1, '_', '_' + 1, 'a', 'z' + 1}
	for _, inst := range insts {
		if len(inst.Rune) == 1 {
			first := inst.Rune[0]
			at = append(at, first, first+1)
			for r := unicode.SimpleFold(first); r != first; r = unicode.SimpleFold(r) {
				at = append(at, r, r+1)
			}
			continue
		}
		for i := 0; i+1 < len(inst.Rune); i += 2 {
			at = append(at, inst.Rune[i], inst.Rune[i+1]+1)
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// kind keeps of a character what the empty-width conditions ask for: a newline, a character of a word, or neither.
func kind(r rune) rune {
	switch {
	case r == '\n':
		return r
	case syntax.IsWordChar(r):
		return 'a'
	}
	return ' '
}
