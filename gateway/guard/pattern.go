package guard

import (
	"regexp"
	"regexp/syntax"
	"sync"
	"unicode/utf8"
)

// pattern finds a regular expression.
type pattern struct {
	re    *regexp.Regexp
	prog  *syntax.Prog
	races sync.Pool // of *race
}

func newPattern(expr string) (*pattern, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(parsed.Simplify())
	return &pattern{re: re, prog: prog}, err
}

func (p *pattern) find(t *text, out []span) []span {
	for _, at := range p.re.FindAllIndex(t.plain, -1) {
		if at[1] > t.from && at[1] > at[0] {
			out = append(out, span{max(at[0], t.from), at[1]})
		}
	}
	return out
}

// open runs the expression's program from every place of the text at once and returns the first place from which it has not come to
// an end when the text does, or from which its match depends on what comes next.
func (p *pattern) open(t *text) int {
	r, ok := p.races.Get().(*race)
	if !ok {
		n := len(p.prog.Inst)
		r = &race{prog: p.prog, step: make([]uint64, n), start: make([]int, n)}
	}
	defer p.races.Put(r)
	r.begin()
	b, before := t.plain, rune(-1)
	if t.from > 0 {
		before = lastRune(b[:t.from])
	}
	for i := t.from; i < len(b); {
		c, n := utf8.DecodeRune(b[i:])
		flags := syntax.EmptyOpContext(before, c)
		for _, at := range r.woken {
			r.follow(at.pc, at.start, flags)
		}
		r.follow(uint32(p.prog.Start), i, flags)
		r.take(c)
		i, before = i+n, c
	}
	return r.alive(len(b))
}

// race is a run of a program from many places at once. Of those that reach an instruction the one with the first start counts.
type race struct {
	prog    *syntax.Prog
	now     uint64   // counts the characters
	step    []uint64 // when each instruction was reached last
	start   []int    // and from where
	waiting []uint32 // instructions that take the next character
	woken   []reached
	atEnd   bool
}

// reached is an instruction, and from which place it was reached.
type reached struct {
	pc    uint32
	start int
}

func (r *race) begin() {
	r.now++
	r.waiting, r.woken, r.atEnd = r.waiting[:0], r.woken[:0], false
}

// follow goes from pc to the instructions that take a character; at the end also to those that look at what comes next.
func (r *race) follow(pc uint32, start int, flags syntax.EmptyOp) {
	again := r.step[pc] == r.now
	if again && r.start[pc] <= start {
		return
	}
	r.step[pc], r.start[pc] = r.now, start
	inst := &r.prog.Inst[pc]
	switch inst.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		r.follow(inst.Out, start, flags)
		r.follow(inst.Arg, start, flags)
	case syntax.InstCapture, syntax.InstNop:
		r.follow(inst.Out, start, flags)
	case syntax.InstEmptyWidth:
		switch {
		case r.atEnd && !again:
			r.waiting = append(r.waiting, pc)
		case !r.atEnd && syntax.EmptyOp(inst.Arg)&^flags == 0:
			r.follow(inst.Out, start, flags)
		}
	case syntax.InstMatch, syntax.InstFail:
	default:
		if !again {
			r.waiting = append(r.waiting, pc)
		}
	}
}

// take gives c to those that wait for a character.
func (r *race) take(c rune) {
	r.woken = r.woken[:0]
	for _, pc := range r.waiting {
		if inst := &r.prog.Inst[pc]; inst.MatchRune(c) {
			r.woken = append(r.woken, reached{inst.Out, r.start[pc]})
		}
	}
	r.waiting = r.waiting[:0]
	r.now++
}

// alive returns the first place from which the run could go on, none if there is none.
func (r *race) alive(none int) int {
	r.atEnd = true
	for _, at := range r.woken {
		r.follow(at.pc, at.start, 0)
	}
	for _, pc := range r.waiting {
		none = min(none, r.start[pc])
	}
	return none
}
