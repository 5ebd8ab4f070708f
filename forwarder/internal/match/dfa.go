package match

import (
	"regexp/syntax"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// A dfa answers yes or no for a regular expression, reading each byte once. Its states are made when they are met, at most
// maxStates; then it starts anew. A state is the set of the program's instructions that may be next, after the empty ones
// before the next character were followed; it is for one character, of which UTF-8 may have several bytes: these are read
// together, ASCII is looked up in a table.
type dfa struct {
	prog *syntax.Prog

	mu     sync.Mutex // guards states, and the making of new ones
	states map[string]*state
	start  atomic.Pointer[state]
}

// A state is what was read so far, as far as it matters.
type state struct {
	insts []uint32 // sorted: what waits for empty-width conditions or for a character
	prev  rune     // the character before, as word, newline or neither; -1 at the begin
	match bool     // whatever follows
	end   bool     // if nothing follows
	next  [utf8.RuneSelf]atomic.Pointer[state]
}

const maxStates = 2000

func newDFA(re *syntax.Regexp) *dfa {
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		panic("match: " + err.Error()) // regexp.Compile has taken it
	}
	d := &dfa{prog: prog}
	d.reset()
	return d
}

func (d *dfa) reset() {
	d.states = map[string]*state{}
	d.start.Store(d.state([]uint32{uint32(d.prog.Start)}, -1))
}

// match tells whether the expression matches anywhere in b.
func (d *dfa) match(b []byte) bool {
	s := d.start.Load()
	for i := 0; i < len(b); {
		if s.match {
			return true
		}
		c := b[i]
		if c < utf8.RuneSelf {
			next := s.next[c].Load()
			if next == nil {
				next = d.step(s, rune(c))
				s.next[c].Store(next)
			}
			s = next
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		s = d.step(s, r)
		i += n
	}
	return s.match || s.end
}

// class keeps of a character what the empty-width conditions ask for.
func class(r rune) rune {
	switch {
	case r < 0 || r == '\n':
		return r
	case syntax.IsWordChar(r):
		return 'a'
	}
	return ' '
}

// step is the state after s and the character r.
func (d *dfa) step(s *state, r rune) *state {
	var next []uint32
	cond := syntax.EmptyOpContext(s.prev, r)
	for _, pc := range d.closure(s.insts, cond) {
		switch inst := &d.prog.Inst[pc]; inst.Op {
		case syntax.InstMatch:
			next = append(next, pc) // it stays: what follows does not matter
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if inst.MatchRune(r) {
				next = append(next, inst.Out)
			}
		}
	}
	next = append(next, uint32(d.prog.Start)) // a match may begin anywhere
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.states) >= maxStates {
		d.reset()
	}
	return d.state(next, class(r))
}

// state finds or makes the state of the instructions.
func (d *dfa) state(insts []uint32, prev rune) *state {
	slices.Sort(insts)
	insts = slices.Compact(insts)
	key := make([]byte, 0, 4*len(insts)+1)
	key = append(key, byte(prev))
	for _, pc := range insts {
		key = append(key, byte(pc), byte(pc>>8), byte(pc>>16), byte(pc>>24))
	}
	if s := d.states[string(key)]; s != nil {
		return s
	}
	s := &state{insts: insts, prev: prev}
	s.match = d.hasMatch(insts, 0)
	s.end = d.hasMatch(insts, syntax.EmptyOpContext(prev, -1))
	d.states[string(key)] = s
	return s
}

func (d *dfa) hasMatch(insts []uint32, cond syntax.EmptyOp) bool {
	for _, pc := range d.closure(insts, cond) {
		if d.prog.Inst[pc].Op == syntax.InstMatch {
			return true
		}
	}
	return false
}

// closure are all instructions that are reached from insts without reading, under the conditions.
func (d *dfa) closure(insts []uint32, cond syntax.EmptyOp) []uint32 {
	seen := make([]bool, len(d.prog.Inst))
	var out []uint32
	stack := slices.Clone(insts)
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		out = append(out, pc)
		switch inst := &d.prog.Inst[pc]; inst.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, inst.Out, inst.Arg)
		case syntax.InstCapture, syntax.InstNop:
			stack = append(stack, inst.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(inst.Arg)&^cond == 0 {
				stack = append(stack, inst.Out)
			}
		}
	}
	return out
}
