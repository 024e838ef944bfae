package guard

import (
	"bytes"
	"unicode/utf8"

	"github.com/warmlane/warmlane/tokenize"
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
		r, size := tokenize.Unescape(in[i:])
		l.marks.add(len(l.buf), 1+i, size)
		l.buf = utf8.AppendRune(l.buf, r)
		i += size
	}
	l.text = l.buf
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
