package guard

import (
	_ "embed" // the pairs of characters
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:embed simplified.txt
var simplified string

// folder writes a text in lower case and in simplified Chinese characters, with blanks for line breaks and tabs.
type folder struct {
	common [0xa000 - 0x3000]uint16 // the form of a character from U+3000 to U+9FFF, 0 = its own
	rare   map[rune]rune           // of all others
}

func newFolder() *folder {
	f := &folder{rare: map[rune]rune{}}
	for line := range strings.Lines(simplified) {
		from, n := utf8.DecodeRuneInString(line)
		to, _ := utf8.DecodeRuneInString(line[n:])
		if from >= 0x3000 && from < 0xa000 && to <= 0xffff {
			f.common[from-0x3000] = uint16(to)
		} else {
			f.rare[from] = to
		}
	}
	return f
}

// append appends the folded form of plain, which is exactly as long: a character whose other form has another length keeps its own.
func (f *folder) append(dst, plain []byte) []byte {
	for i := 0; i < len(plain); {
		c := plain[i]
		if c < utf8.RuneSelf {
			switch {
			case c-'A' < 26:
				c |= 0x20
			case c == '\n' || c == '\t':
				c = ' '
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(plain[i:])
		if to := f.form(r); to != r && utf8.RuneLen(to) == n {
			dst = utf8.AppendRune(dst, to)
		} else {
			dst = append(dst, plain[i:i+n]...)
		}
		i += n
	}
	return dst
}

func (f *folder) form(r rune) rune {
	if r >= 0x3000 && r < 0xa000 {
		if to := f.common[r-0x3000]; to != 0 {
			return rune(to)
		}
		return r
	}
	if to, ok := f.rare[r]; ok {
		return to
	}
	return unicode.ToLower(r)
}
