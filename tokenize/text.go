package tokenize

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Text iterates over the decoded pieces of a validated string literal. Plain runs alias the literal; an escape is a
// piece of its own. Halves of surrogate pairs that stand alone become U+FFFD.
type Text struct {
	rest []byte
	esc  [utf8.UTFMax]byte
}

// TextOf starts over the literal raw, quotes included. Anything but a string has no pieces.
func TextOf(raw []byte) Text {
	if len(raw) < 2 || raw[0] != '"' {
		return Text{}
	}
	return Text{rest: raw[1 : len(raw)-1]}
}

// Next returns the next piece, nil at the end. It is valid until the following Next.
func (t *Text) Next() []byte {
	if len(t.rest) == 0 {
		return nil
	}
	if t.rest[0] != '\\' {
		run := t.rest
		if i := bytes.IndexByte(t.rest, '\\'); i >= 0 {
			run = t.rest[:i]
		}
		t.rest = t.rest[len(run):]
		return run
	}
	r, size := Unescape(t.rest)
	t.rest = t.rest[size:]
	if r < utf8.RuneSelf {
		t.esc[0] = byte(r)
		return t.esc[:1]
	}
	return t.esc[:utf8.EncodeRune(t.esc[:], r)]
}

// Unescape decodes the escape at the start of b, a pair of surrogates as one, and returns the length of its spelling.
// What is no escape decodes to U+FFFD.
func Unescape(b []byte) (r rune, size int) {
	if len(b) < 2 {
		return utf8.RuneError, len(b)
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return utf8.RuneError, 2
	}
	high := hex4(b[2:])
	if high < 0 {
		return utf8.RuneError, 2
	}
	if !utf16.IsSurrogate(high) {
		return high, 6
	}
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if pair := utf16.DecodeRune(high, hex4(b[8:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// hex4 returns the number that four hexadecimal digits at the start of b make, -1 if they do not.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var n rune
	for _, c := range b[:4] {
		switch {
		case isDigit(c):
			n = n<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			n = n<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return n
}

// AppendText appends the decoded text of the validated string literal raw to dst.
func AppendText(dst, raw []byte) []byte {
	t := TextOf(raw)
	for p := t.Next(); p != nil; p = t.Next() {
		dst = append(dst, p...)
	}
	return dst
}

// PlainText returns the decoded text of the validated string literal raw as an alias of it; ok is false when raw is no
// string or has escapes, so that it must be decoded by [AppendText].
func PlainText(raw []byte) (text []byte, ok bool) {
	if len(raw) < 2 || raw[0] != '"' || bytes.IndexByte(raw, '\\') >= 0 {
		return nil, false
	}
	return raw[1 : len(raw)-1], true
}

// StringOf returns the decoded text of the validated string literal raw, "" if raw is no string.
func StringOf(raw []byte) string {
	if text, ok := PlainText(raw); ok {
		return string(text)
	}
	return string(AppendText(nil, raw))
}

// TextIs says whether the validated string literal raw decodes to want.
func TextIs(raw []byte, want string) bool {
	if text, ok := PlainText(raw); ok {
		return string(text) == want
	}
	t := TextOf(raw)
	if KindOf(raw) != String {
		return false
	}
	for p := t.Next(); p != nil; p = t.Next() {
		if len(p) > len(want) || string(p) != want[:len(p)] {
			return false
		}
		want = want[len(p):]
	}
	return want == ""
}
