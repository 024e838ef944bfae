package tokenize

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// spelling takes JSON text in pieces of any size and writes it to a chain without what spelling can vary: blanks
// between tokens are dropped and escapes decoded. Order stays. Text that is no JSON passes much as it is.
type spelling struct {
	inside bool // in a string
	n      int
	held   [12]byte // an escape whose end has not come yet; 12 bytes spell a pair of surrogates
}

func (s *spelling) reset() { *s = spelling{} }

func (s *spelling) write(c *chain, p []byte) {
	for len(p) > 0 {
		switch {
		case s.n > 0:
			p = s.hold(c, p)
		case s.inside:
			p = s.text(c, p)
		default:
			p = s.token(c, p)
		}
	}
}

// token takes bytes outside of strings.
func (s *spelling) token(c *chain, p []byte) []byte {
	for i, b := range p {
		switch b {
		case ' ', '\n', '\r', '\t':
		case '"':
			s.inside = true
			c.writeByte(b)
			return p[i+1:]
		default:
			c.writeByte(b)
		}
	}
	return nil
}

// text takes a run of string text, up to the closing quote or an escape.
func (s *spelling) text(c *chain, p []byte) []byte {
	end := 0
	for end < len(p) && p[end] != '"' && p[end] != '\\' {
		end++
	}
	c.write(p[:end])
	if end == len(p) {
		return nil
	}
	if p[end] == '\\' {
		s.held[0], s.n = '\\', 1
	} else {
		s.inside = false
		c.writeByte('"')
	}
	return p[end+1:]
}

// hold takes one more byte of the escape in held and writes the escape once it is whole.
func (s *spelling) hold(c *chain, p []byte) []byte {
	s.held[s.n] = p[0]
	s.n++
	if !escapeWhole(s.held[:s.n]) {
		return p[1:]
	}
	s.flush(c)
	return p[1:]
}

// flush writes what is held, whole or not. Bytes that turn out not to belong to the escape are taken as text again.
func (s *spelling) flush(c *chain) {
	for s.n > 0 {
		held, n := s.held, s.n
		s.n = 0
		r, size := Unescape(held[:n])
		var out [utf8.UTFMax]byte
		c.write(out[:utf8.EncodeRune(out[:], r)])
		s.write(c, held[size:n])
	}
}

// escapeWhole says whether no further byte can belong to the escape b.
func escapeWhole(b []byte) bool {
	switch {
	case len(b) < 2:
		return false
	case b[1] != 'u':
		return true
	case len(b) < 6:
		return !isHex(b[len(b)-1]) && len(b) > 2
	}
	high := hex4(b[2:])
	if high < 0xD800 || high >= 0xDC00 {
		return true // no first half of a pair
	}
	if len(b) >= 7 && b[6] != '\\' || len(b) >= 8 && b[7] != 'u' {
		return true
	}
	return len(b) == 12
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// valueHash returns a hash of the validated value raw that no spelling changes, not even the order of members.
func valueHash(raw []byte) uint64 {
	switch KindOf(raw) {
	case String:
		return textHash(raw)
	case Object:
		sum := uint64(Object)
		w := WalkTrusted(raw)
		for w.Next() {
			if string(w.Key) != "cache_control" {
				sum += mix(xxhash.Sum64(w.Key), valueHash(w.Value))
			}
		}
		return sum
	case Array:
		sum := uint64(Array)
		w := WalkTrusted(raw)
		for w.Next() {
			sum = mix(sum, valueHash(w.Value))
		}
		return sum
	}
	return xxhash.Sum64(raw)
}

func textHash(raw []byte) uint64 {
	if text, ok := PlainText(raw); ok {
		return xxhash.Sum64(text)
	}
	var d xxhash.Digest
	d.Reset()
	t := TextOf(raw)
	for p := t.Next(); p != nil; p = t.Next() {
		d.Write(p)
	}
	return d.Sum64()
}

func mix(a, b uint64) uint64 {
	var pair [16]byte
	binary.LittleEndian.PutUint64(pair[:], a)
	binary.LittleEndian.PutUint64(pair[8:], b)
	return xxhash.Sum64(pair[:])
}
