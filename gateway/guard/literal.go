package guard

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// literal is a JSON string: its text, and where each piece of that lies in the literal.
type literal struct {
	text  []byte
	marks marks
	buf   []byte
}

// read reads a valid literal, quotes included. Without escapes its text is a piece of raw.
func (l *literal) read(raw []byte) {
	in := raw[1 : len(raw)-1]
	l.marks = l.marks[:0]
	if bytes.IndexByte(in, '\\') < 0 {
		l.marks.add(0, 1, 0)
		l.text = in
		return
	}
	l.buf = l.buf[:0]
	for i := 0; i < len(in); {
		n := bytes.IndexByte(in[i:], '\\')
		if n < 0 {
			n = len(in) - i
		}
		if n > 0 {
			l.marks.add(len(l.buf), 1+i, 0)
			l.buf = append(l.buf, in[i:i+n]...)
			i += n
			continue
		}
		r, size := unescape(in[i:])
		l.marks.add(len(l.buf), 1+i, size)
		l.buf = utf8.AppendRune(l.buf, r)
		i += size
	}
	l.text = l.buf
}

// unescape reads one escape. Half a surrogate pair is U+FFFD.
func unescape(b []byte) (r rune, size int) {
	switch b[1] {
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
		r = hex(b[2:])
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if pair := utf16.DecodeRune(r, hex(b[8:])); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	}
	return rune(b[1]), 2
}

func hex(b []byte) rune {
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}

// appendEscaped appends text as it stands between the quotes of a JSON string.
func appendEscaped(out, text []byte) []byte {
	const digits = "0123456789abcdef"
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c < 0x20:
			out = append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			out = append(out, c)
		}
	}
	return out
}
