package guard

import (
	"cmp"
	"slices"
)

// look looks at one text after the other. It holds the memory for that.
type look struct {
	text  text
	spans []span
	hits  []hit
	outer literal
	inner literal
	edits []edit
}

// hit is a piece of a text's source that a rule found.
type hit struct {
	span
	rule   *rule // nil for a placeholder
	label  string
	hidden int // index of the placeholder
}

// find finds what rules find in src, of which the first said bytes were said before, in order. Of a text that goes on it
// also returns up to where it is decided, as a place in src; nothing beyond it is among the hits.
func (k *look) find(s *Session, rules []*rule, placeholders *lexicon, src []byte, said int, goesOn bool) (decided int) {
	k.hits = k.hits[:0]
	k.text.load(src, said, s.foldFor(rules, placeholders))
	open := len(k.text.plain)
	for _, r := range rules {
		for _, f := range r.finders {
			k.collect(f.finder, hit{rule: r, label: f.label})
			if goesOn {
				open = min(open, f.open(&k.text))
			}
		}
	}
	if placeholders != nil {
		first := len(k.hits)
		k.collect(placeholders, hit{})
		for i := first; i < len(k.hits); i++ {
			k.hits[i].hidden = s.known(k.text.fold[k.hits[i].start:k.hits[i].end])
		}
		if goesOn {
			open = min(open, placeholders.open(&k.text))
		}
	}
	slices.SortFunc(k.hits, func(a, b hit) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end)) })
	return k.decide(open, src)
}

func (k *look) collect(f finder, as hit) {
	k.spans = f.find(&k.text, k.spans[:0])
	for _, at := range k.spans {
		as.span = at
		k.hits = append(k.hits, as)
	}
}

// decide leaves the hits that begin before open, in places of the source. One that reaches beyond it is undecided, and with it
// all that begins later.
func (k *look) decide(open int, src []byte) int {
	n := len(k.hits)
	for i := 0; i < n; i++ {
		switch h := &k.hits[i]; {
		case h.start >= open:
			n = i
		case h.end > open: // with it everything that it overlaps
			open, n, i = h.start, i, -1
		}
	}
	k.hits = k.hits[:n]
	decided := len(src)
	if open < len(k.text.plain) {
		decided = k.text.marks.source(span{open, open + 1}).start
	}
	for i := range k.hits {
		k.hits[i].span = k.text.marks.source(k.hits[i].span)
	}
	return decided
}

// foldFor returns the folder if the rules look for words.
func (s *Session) foldFor(rules []*rule, placeholders *lexicon) *folder {
	if placeholders != nil {
		return s.g.fold
	}
	for _, r := range rules {
		if len(r.Words) > 0 {
			return s.g.fold
		}
	}
	return nil
}

// count notes the hits and returns the first rule that refuses, nil if none does.
func (k *look) count(s *Session, side string) *rule {
	var refuses *rule
	for i := 0; i < len(k.hits); i++ {
		r := k.hits[i].rule
		if r == nil {
			continue
		}
		s.note(r, side, 1)
		if r.Action == "deny" && refuses == nil {
			refuses = r
		}
	}
	return refuses
}

// join leaves one hit for each piece that has to be replaced. Where hits overlap it is their union, masked if one of them is.
func (k *look) join() {
	out := k.hits[:0]
	for _, h := range k.hits {
		if h.rule != nil && h.rule.Action == "log" {
			continue
		}
		if n := len(out); n > 0 && h.start < out[n-1].end {
			last := &out[n-1]
			end := max(last.end, h.end)
			if last.rule == nil || last.rule.Action != "mask" && h.rule != nil && h.rule.Action == "mask" {
				last.rule, last.label = h.rule, h.label
			}
			last.end = end
			continue
		}
		out = append(out, h)
	}
	k.hits = out
}
