package match

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// A dfa answers yes or no for a regular expression, reading each character once. Its states are made when they are met. When
// the table of them is full it starts anew, at most maxResets times: an expression that goes on making states is left to re.
type dfa struct {
	re       *regexp.Regexp
	prog     *syntax.Prog
	anchored bool // a match begins at the begin
	alphabet alphabet
	table    atomic.Pointer[table] // nil: left to re
	resets   atomic.Int32
}

// A table has a row for each state, with a cell for each class of characters and one for the end. A cell has where the row
// of the next state begins, or one of the values below. Cells are only ever filled in.
type table struct {
	cells atomic.Pointer[[]atomic.Int32]

	mu     sync.Mutex // guards what follows, and the filling of cells
	states []state
	rows   map[string]int32 // by key
}

// What a cell has instead of a row.
const (
	unknown int32 = 0 // also row 0, which is not used
	matched int32 = -1
	dead    int32 = -2 // there will be no match
)

// A state is what was read so far, as far as it matters: the set of the program's instructions that may be next, before the
// empty ones of them were followed, since those depend on the next character too.
type state struct {
	insts []uint32 // sorted
	prev  rune     // the kind of the character before, -1 at the begin
}

const (
	maxStates = 2000
	maxCells  = 1 << 18
	maxResets = 10
)

func newDFA(re *regexp.Regexp, parsed *syntax.Regexp) *dfa {
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		panic("match: " + err.Error()) // regexp.Compile has taken it
	}
	d := &dfa{re: re, prog: prog, alphabet: alphabetOf(prog)}
	d.anchored = prog.StartCond()&syntax.EmptyBeginText != 0
	d.table.Store(d.newTable())
	return d
}

// newTable makes a table with the state before the first character.
func (d *dfa) newTable() *table {
	t := &table{states: make([]state, 1), rows: map[string]int32{}}
	cells := make([]atomic.Int32, 8*d.width())
	t.cells.Store(&cells)
	t.row(state{[]uint32{uint32(d.prog.Start)}, -1}, d.width())
	return t
}

// width is the length of a row.
func (d *dfa) width() int { return len(d.alphabet.sample) }

// matches tells whether the expression matches anywhere in b.
func (d *dfa) matches(b []byte) bool {
	t := d.table.Load()
	if t == nil {
		return d.re.Match(b)
	}
	cells, row := *t.cells.Load(), int32(d.width())
	for i := 0; i <= len(b); i++ {
		class := d.alphabet.end
		if i < len(b) {
			if c := b[i]; c < utf8.RuneSelf {
				class = d.alphabet.ascii[c]
			} else {
				r, n := utf8.DecodeRune(b[i:])
				class = d.alphabet.class(r)
				i += n - 1
			}
		}
		next := cells[row+class].Load()
		if next <= unknown {
			if next == unknown {
				next = d.step(t, row, class)
				cells = *t.cells.Load()
			}
			switch next {
			case matched:
				return true
			case dead:
				return false
			case unknown:
				return d.re.Match(b)
			}
		}
		row = next
	}
	return false
}

// step fills in the cell of a row and a class, and returns it; it is unknown if t is full.
func (d *dfa) step(t *table, row, class int32) int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	width := d.width()
	next := d.next(t.states[int(row)/width], class)
	cell := dead
	switch {
	case d.isMatch(next):
		cell = matched
	case class != d.alphabet.end && len(next.insts) > 0:
		if cell = t.row(next, width); cell == unknown {
			d.reset(t)
			return unknown
		}
	}
	(*t.cells.Load())[row+class].Store(cell)
	return cell
}

// reset puts another table in the place of t.
func (d *dfa) reset(t *table) {
	fresh := d.newTable()
	if d.resets.Load() >= maxResets {
		fresh = nil
	}
	if d.table.CompareAndSwap(t, fresh) {
		d.resets.Add(1)
	}
}

// next is the state after s and a character of class.
func (d *dfa) next(s state, class int32) state {
	r := d.alphabet.sample[class]
	next := state{prev: kind(r)}
	for _, pc := range d.closure(s.insts, syntax.EmptyOpContext(s.prev, r)) {
		switch inst := &d.prog.Inst[pc]; inst.Op {
		case syntax.InstMatch:
			next.insts = append(next.insts, pc)
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if inst.MatchRune(r) {
				next.insts = append(next.insts, inst.Out)
			}
		}
	}
	if !d.anchored {
		next.insts = append(next.insts, uint32(d.prog.Start))
	}
	slices.Sort(next.insts)
	next.insts = slices.Compact(next.insts)
	return next
}

// isMatch tells whether s is one whatever follows.
func (d *dfa) isMatch(s state) bool {
	return slices.ContainsFunc(d.closure(s.insts, 0), func(pc uint32) bool { return d.prog.Inst[pc].Op == syntax.InstMatch })
}

// row finds or makes the row of s; it is unknown if there is no room.
func (t *table) row(s state, width int) int32 {
	key := []byte{byte(s.prev)}
	for _, pc := range s.insts {
		key = append(key, byte(pc), byte(pc>>8), byte(pc>>16), byte(pc>>24))
	}
	if row, known := t.rows[string(key)]; known {
		return row
	}
	if n := len(t.states); n >= maxStates || n > 16 && n*width >= maxCells {
		return unknown
	}
	row := int32(len(t.states) * width)
	t.states = append(t.states, s)
	t.rows[string(key)] = row
	t.grow(int(row) + width)
	return row
}

// grow makes room for size cells. Who still reads the cells before finds some unknown that are not, and asks again.
func (t *table) grow(size int) {
	old := *t.cells.Load()
	if size <= len(old) {
		return
	}
	cells := make([]atomic.Int32, 2*size)
	for i := range old {
		cells[i].Store(old[i].Load())
	}
	t.cells.Store(&cells)
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
