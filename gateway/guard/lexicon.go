package guard

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// lexicon finds words. From each place it walks along the text as long as what it has walked begins a word. The beginnings are
// kept as bits of their hashes, which stay in the processor's cache; only at what may be the end of a word is the word itself compared.
// Wrong bits cost time, never a wrong answer.
type lexicon struct {
	whole     bool     // words in letters match whole words only
	beginning []uint64 // bits of all beginnings
	ending    []uint64 // bits of all words
	mask      uint64
	words     map[uint64][]string // by hash
	longest   int                 // in bytes
	count     int
}

// finder finds what a rule looks for.
type finder interface {
	// find appends where it lies in t.plain, in order. Matches may overlap.
	find(t *text, out []span) []span
	// open returns the first place from which more text could make a match, or a longer or a shorter one; len(t.plain) if there is none.
	open(t *text) int
}

// newLexicon makes a lexicon of words, which are folded already and not empty.
func newLexicon(words []string, whole bool) *lexicon {
	l := &lexicon{whole: whole, words: make(map[uint64][]string, len(words))}
	runes := 0
	for _, w := range words {
		runes += utf8.RuneCountInString(w)
	}
	const bitsEach = 16 // a sixteenth of all looks at the table is wrong
	bits := 4096
	for bits < bitsEach*runes {
		bits *= 2
	}
	l.beginning, l.ending, l.mask = make([]uint64, bits/64), make([]uint64, bits/64), uint64(bits-1)
	for _, w := range words {
		l.add(w)
	}
	return l
}

func (l *lexicon) add(word string) {
	h := uint64(0)
	for _, r := range word {
		h = step(h, r)
		set(l.beginning, h&l.mask)
	}
	for _, known := range l.words[h] {
		if known == word {
			return
		}
	}
	set(l.ending, h&l.mask)
	l.words[h] = append(l.words[h], word)
	l.longest = max(l.longest, len(word))
	l.count++
}

func step(h uint64, r rune) uint64 {
	h = (h ^ uint64(r)) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

func set(bits []uint64, i uint64)      { bits[i/64] |= 1 << (i % 64) }
func has(bits []uint64, i uint64) bool { return bits[i/64]&(1<<(i%64)) != 0 }

func (l *lexicon) find(t *text, out []span) []span {
	b := t.fold
	before := lastRune(b[:t.from])
	for i := t.from; i < len(b); {
		r, n := rune(b[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(b[i:])
		}
		if h := step(0, r); has(l.beginning, h&l.mask) && l.parted(before, r) {
			if end := l.walk(b, i, i+n, h, r); end > i {
				out = append(out, span{i, end})
			}
		}
		i, before = i+n, r
	}
	return out
}

// walk returns the end of the longest word that begins at start and whose first character ends at i; 0 if there is none.
func (l *lexicon) walk(b []byte, start, i int, h uint64, last rune) int {
	end := 0
	for {
		var next rune
		n := 0
		if i < len(b) {
			if next, n = rune(b[i]), 1; next >= utf8.RuneSelf {
				next, n = utf8.DecodeRune(b[i:])
			}
		}
		if has(l.ending, h&l.mask) && l.is(h, b[start:i]) && (n == 0 || l.parted(last, next)) {
			end = i
		}
		if n == 0 {
			return end
		}
		if h = step(h, next); !has(l.beginning, h&l.mask) {
			return end
		}
		i, last = i+n, next
	}
}

func (l *lexicon) is(h uint64, b []byte) bool {
	for _, w := range l.words[h] {
		if bytes.Equal(b, []byte(w)) {
			return true
		}
	}
	return false
}

func (l *lexicon) open(t *text) int {
	b := t.fold
	i := max(t.from, len(b)-l.longest)
	for i < len(b) && !utf8.RuneStart(b[i]) {
		i++
	}
	before := lastRune(b[:i])
	for i < len(b) {
		r, n := utf8.DecodeRune(b[i:])
		if l.parted(before, r) && l.goesOn(b[i:]) {
			return i
		}
		i, before = i+n, r
	}
	return len(b)
}

// goesOn says whether b is the beginning of a word, or a word that what follows could show to be a part of another.
func (l *lexicon) goesOn(b []byte) bool {
	h := uint64(0)
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if h = step(h, r); !has(l.beginning, h&l.mask) {
			return false
		}
		i += n
	}
	return len(b) < l.longest || l.whole
}

// parted says whether a word may begin or end between two neighbours.
func (l *lexicon) parted(a, b rune) bool { return !l.whole || !joined(a, b) }

// joined says whether two neighbours belong to one word: letters and digits of scripts that put blanks between words.
func joined(a, b rune) bool { return spelled(a) && spelled(b) }

func spelled(r rune) bool {
	if r < utf8.RuneSelf {
		return r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9'
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd) &&
		!unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// lastRune returns the last character of b, 0 if there is none.
func lastRune(b []byte) rune {
	if len(b) == 0 {
		return 0
	}
	r, _ := utf8.DecodeLastRune(b)
	return r
}
