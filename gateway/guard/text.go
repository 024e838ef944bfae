package guard

import (
	"bytes"
	"sort"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// text is a text as rules see it, and where each piece of it lies in its source. It is used again and again.
type text struct {
	plain []byte // in NFKC, without characters that do not show
	fold  []byte // plain in lower case and simplified characters, byte for byte as long; only where words are looked for
	from  int    // where in plain the text begins; what lies before was said already and is there for its neighbours' sake

	marks   marks
	scratch []byte
}

// span is a piece of a text.
type span struct{ start, end int }

// mark says where a piece of a text, up to the next mark, comes from.
type mark struct {
	at, src int
	size    int // in the source; 0 = byte for byte
}

type marks []mark

// add notes that what is appended at index at comes from src. Runs that go on byte for byte are one mark.
func (m *marks) add(at, src, size int) {
	if n := len(*m); n > 0 && size == 0 {
		if last := (*m)[n-1]; last.size == 0 && src-last.src == at-last.at {
			return
		}
	}
	*m = append(*m, mark{at, src, size})
}

// source returns where the piece comes from, which must not be empty.
func (m marks) source(s span) span {
	first, last := m.find(s.start), m.find(s.end-1)
	out := span{first.src, last.src + last.size}
	if first.size == 0 {
		out.start = first.src + s.start - first.at
	}
	if last.size == 0 {
		out.end = last.src + s.end - last.at
	}
	return out
}

func (m marks) find(at int) mark {
	return m[sort.Search(len(m), func(i int) bool { return m[i].at > at })-1]
}

// load makes t the text of src. The first said bytes of it were said before. fold is nil where no words are looked for.
func (t *text) load(src []byte, said int, fold *folder) {
	t.plain, t.fold, t.marks, t.from = t.plain[:0], t.fold[:0], t.marks[:0], 0
	if said > 0 {
		t.normalise(src[:said], 0)
		t.from = len(t.plain)
	}
	t.normalise(src[said:], said)
	if fold != nil {
		t.fold = fold.append(t.fold, t.plain)
	}
}

// normalise appends the NFKC form of src, which lies at base in the source.
func (t *text) normalise(src []byte, base int) {
	for len(src) > 0 {
		n := norm.NFKC.QuickSpan(src)
		t.visible(src[:n], base)
		src, base = src[n:], base+n
		for len(src) > 0 {
			r, size := utf8.DecodeRune(src)
			if w, ok := wide(r); ok {
				t.piece(base, size, w)
			} else if size = max(1, norm.NFKC.NextBoundary(src, true)); norm.NFKC.IsNormal(src[:size]) {
				t.visible(src[:size], base)
				src, base = src[size:], base+size
				break
			} else {
				t.scratch = norm.NFKC.Append(t.scratch[:0], src[:size]...)
				for _, r := range string(t.scratch) {
					if !unseen(r) {
						t.piece(base, size, r)
					}
				}
			}
			src, base = src[size:], base+size
		}
	}
}

// piece appends one character that stands for size bytes of the source.
func (t *text) piece(src, size int, r rune) {
	t.marks.add(len(t.plain), src, size)
	t.plain = utf8.AppendRune(t.plain, r)
}

// visible appends what is in NFKC already, but for the characters that do not show.
func (t *text) visible(src []byte, base int) {
	for len(src) > 0 {
		n, size := firstUnseen(src)
		if n > 0 {
			t.marks.add(len(t.plain), base, 0)
			t.plain = append(t.plain, src[:n]...)
		}
		src, base = src[n+size:], base+n+size
	}
}

// firstUnseen returns where the first character that does not show is, and its length; len(b) and 0 if there is none.
func firstUnseen(b []byte) (at, size int) {
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c < 0xc2: // ASCII, or no UTF-8
			i++
		case c >= 0xe3 && c <= 0xed: // U+3000 to U+DFFF: all of them show, but for one filler
			if c == 0xe3 && bytes.HasPrefix(b[i:], []byte("\u3164")) {
				return i, 3
			}
			i += 3
		default:
			r, n := utf8.DecodeRune(b[i:])
			if unseen(r) {
				return i, n
			}
			i += n
		}
	}
	return len(b), 0
}

// wide returns the ordinary form of a full-width character, by far the most frequent thing that is not in NFKC.
func wide(r rune) (rune, bool) {
	switch {
	case r >= '！' && r <= '～':
		return r - '！' + '!', true
	case r == '\u3000':
		return ' ', true
	}
	return r, false
}

// unseen says whether a character does not show: zero-width ones, direction marks, soft hyphens, variation selectors, tags, fillers.
func unseen(r rune) bool {
	switch {
	case r < 0xad:
		return false
	case r == 0xad, r == 0x34f, r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, r == 0x3164, r == 0xffa0:
		return true
	case r >= 0x2000 && r < 0x2070:
		return unicode.Is(unicode.Cf, r)
	}
	return r >= 0x600 && (unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r))
}
