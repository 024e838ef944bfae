package tokenize

import (
	"bytes"
	"fmt"
)

// MaxDepth is the nesting that bodies and events may have. Engines parse with recursion and give up sooner or later.
const MaxDepth = 512

// Kind is the kind of a JSON value.
type Kind uint8

// The kinds of JSON values. Invalid is that of an empty span.
const (
	Invalid Kind = iota
	Object
	Array
	String
	Number
	Bool
	Null
)

var kindNames = [...]string{"nothing", "an object", "an array", "a string", "a number", "a boolean", "null"}

// String returns the kind in words that fit an error text: "an object", "null".
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return kindNames[Invalid]
	}
	return kindNames[k]
}

// KindOf returns the kind of a raw JSON value, told by its first byte.
func KindOf(raw []byte) Kind {
	if len(raw) == 0 {
		return Invalid
	}
	switch c := raw[0]; {
	case c == '"':
		return String
	case c == '{':
		return Object
	case c == '[':
		return Array
	case c == 't' || c == 'f':
		return Bool
	case c == 'n':
		return Null
	case c == '-' || isDigit(c):
		return Number
	}
	return Invalid
}

// SyntaxError says what is wrong with a JSON text and where.
type SyntaxError struct {
	// Offset is the index of the byte at fault, from the start of the text.
	Offset int
	// Reason is what is wrong, without the place.
	Reason string
}

// Error returns reason and place.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// Validate returns a *[SyntaxError] unless text is exactly one JSON value by RFC 8259, in UTF-8 and nested no
// deeper than maxDepth. Blanks around it are fine; a byte order mark is not.
func Validate(text []byte, maxDepth int) error {
	s := scanner{text: text, depth: maxDepth}
	s.blanks()
	if s.value() {
		s.end()
	}
	if s.reason != "" {
		return s.fault()
	}
	return nil
}

// scanner steps over JSON values. It stops at the first fault, at which pos and reason tell what is wrong.
type scanner struct {
	text    []byte
	pos     int
	depth   int  // containers that may still be entered
	trusted bool // text was validated before: strings are not looked into
	reason  string
}

func (s *scanner) fault() error { return &SyntaxError{Offset: s.pos, Reason: s.reason} }

func (s *scanner) fail(reason string) bool {
	s.reason = reason
	return false
}

// unexpected fails at pos: the text ended there, or a byte stands where want should.
func (s *scanner) unexpected(want string) bool {
	if s.pos >= len(s.text) {
		return s.fail("the JSON text ends where " + want + " is expected")
	}
	return s.fail(fmt.Sprintf("%q where %s is expected", s.text[s.pos], want))
}

func (s *scanner) blanks() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\n', '\r', '\t':
			s.pos++
		default:
			return
		}
	}
}

// end fails unless only blanks remain.
func (s *scanner) end() {
	s.blanks()
	if s.pos < len(s.text) {
		s.unexpected("the end of the JSON text")
	}
}

// value steps over one value that starts at pos.
func (s *scanner) value() bool {
	if s.pos >= len(s.text) {
		return s.unexpected("a value")
	}
	switch c := s.text[s.pos]; c {
	case '"':
		return s.string()
	case '{':
		return s.object()
	case '[':
		return s.array()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		if c == '-' || isDigit(c) {
			return s.number()
		}
		return s.unexpected("a value")
	}
}

func (s *scanner) word(w string) bool {
	if rest := s.text[s.pos:]; len(rest) < len(w) || string(rest[:len(w)]) != w {
		return s.fail("a word that is not true, false or null")
	}
	s.pos += len(w)
	return true
}

func (s *scanner) enter() bool {
	if s.depth <= 0 {
		return s.fail("the JSON text is nested too deeply")
	}
	s.depth--
	s.pos++
	s.blanks()
	return true
}

func (s *scanner) object() bool {
	if !s.enter() {
		return false
	}
	if s.pos < len(s.text) && s.text[s.pos] == '}' {
		return s.leave()
	}
	for {
		if !s.key() || !s.value() {
			return false
		}
		s.blanks()
		switch {
		case s.at('}'):
			return s.leave()
		case !s.at(','):
			return s.unexpected(`"," or "}"`)
		}
		s.pos++
		s.blanks()
	}
}

// key steps over a member's name and its colon, up to the value.
func (s *scanner) key() bool {
	if !s.at('"') {
		return s.unexpected("a member name in quotes")
	}
	if !s.string() {
		return false
	}
	s.blanks()
	if !s.at(':') {
		return s.unexpected(`":"`)
	}
	s.pos++
	s.blanks()
	return true
}

func (s *scanner) array() bool {
	if !s.enter() {
		return false
	}
	if s.at(']') {
		return s.leave()
	}
	for {
		if !s.value() {
			return false
		}
		s.blanks()
		switch {
		case s.at(']'):
			return s.leave()
		case !s.at(','):
			return s.unexpected(`"," or "]"`)
		}
		s.pos++
		s.blanks()
	}
}

func (s *scanner) leave() bool {
	s.depth++
	s.pos++
	return true
}

func (s *scanner) at(c byte) bool { return s.pos < len(s.text) && s.text[s.pos] == c }

func (s *scanner) number() bool {
	if s.text[s.pos] == '-' {
		s.pos++
	}
	switch {
	case s.at('0'):
		s.pos++
	case !s.digits():
		return s.unexpected("a digit")
	}
	if s.at('.') {
		s.pos++
		if !s.digits() {
			return s.unexpected("a digit")
		}
	}
	if s.at('e') || s.at('E') {
		s.pos++
		if s.at('+') || s.at('-') {
			s.pos++
		}
		if !s.digits() {
			return s.unexpected("a digit")
		}
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.text) && isDigit(s.text[s.pos]) {
		s.pos++
	}
	return s.pos > start
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// string steps over a string literal that starts at pos.
func (s *scanner) string() bool {
	if s.trusted {
		return s.trustedString()
	}
	start := s.pos
	s.pos++
	ascii := true
	for {
		var high bool
		s.pos, high = plainRun(s.text, s.pos)
		ascii = ascii && !high
		if s.pos >= len(s.text) {
			return s.fail("the JSON text ends inside a string")
		}
		switch s.text[s.pos] {
		case '"':
			s.pos++
			return ascii || s.checkUTF8(start)
		case '\\':
			if !s.escape() {
				return false
			}
		default:
			return s.fail(fmt.Sprintf("control character 0x%02x inside a string", s.text[s.pos]))
		}
	}
}

// trustedString finds the closing quote of a string in text that was validated before.
func (s *scanner) trustedString() bool {
	s.pos++
	for {
		i := bytes.IndexByte(s.text[s.pos:], '"')
		if i < 0 {
			s.pos = len(s.text)
			return s.fail("the JSON text ends inside a string")
		}
		end := s.pos + i
		back := end
		for back > s.pos && s.text[back-1] == '\\' {
			back--
		}
		s.pos = end + 1
		if (end-back)%2 == 0 {
			return true
		}
	}
}

// escape steps over one escape that starts at pos.
func (s *scanner) escape() bool {
	if s.pos+1 >= len(s.text) {
		s.pos++
		return s.fail("the JSON text ends inside a string")
	}
	switch s.text[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return true
	case 'u':
		if hex4(s.text[s.pos+2:]) < 0 {
			return s.fail(`a \u escape without four hexadecimal digits`)
		}
		s.pos += 6
		return true
	}
	return s.fail("an unknown escape inside a string")
}

// checkUTF8 fails at the first byte that is no UTF-8 of the literal that starts at start and ends before pos.
func (s *scanner) checkUTF8(start int) bool {
	bad := badUTF8(s.text[start:s.pos])
	if bad < 0 {
		return true
	}
	s.pos = start + bad
	return s.fail("bytes that are not UTF-8 inside a string")
}
