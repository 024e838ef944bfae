package tokenize

// Walker steps over the members of an object or the elements of an array, in order, without allocating. Use:
//
//	w := Walk(text, MaxDepth)
//	for w.Next() { ... w.Key ... w.Value ... }
//	err := w.Err()
type Walker struct {
	// Key is the decoded name of the member, nil in arrays. It aliases the text unless the name has escapes.
	Key []byte
	// Value is the raw value, an alias of the text.
	Value []byte
	// Offset is the index of Value in the text.
	Offset int

	s     scanner
	open  byte
	state walkState
}

type walkState uint8

const (
	atStart walkState = iota
	inside
	done
)

// Walk starts over text, which must be one object or array and nothing else. Everything is validated as it is
// passed, as by [Validate]; so after Next has returned false without an error the whole text is valid.
func Walk(text []byte, maxDepth int) Walker {
	return Walker{s: scanner{text: text, depth: maxDepth}}
}

// WalkTrusted is Walk over text that was validated before: a span that another Walker gave. It is faster over long
// strings, whose inside it does not look at again.
func WalkTrusted(text []byte) Walker {
	return Walker{s: scanner{text: text, depth: MaxDepth, trusted: true}}
}

// Err returns the *[SyntaxError] that ended the walk, nil if the text was good.
func (w *Walker) Err() error {
	if w.s.reason == "" {
		return nil
	}
	return w.s.fault()
}

// Kind returns the kind of the text's value: Object or Array, anything else makes Next return false.
func (w *Walker) Kind() Kind {
	w.s.blanks()
	return KindOf(w.s.text[min(w.s.pos, len(w.s.text)):])
}

// Next steps to the next member or element. It returns false at the end and at a fault.
func (w *Walker) Next() bool {
	switch w.state {
	case done:
		return false
	case atStart:
		if !w.start() {
			return w.finish()
		}
	default:
		w.s.blanks()
		switch {
		case w.s.at(closing(w.open)):
			w.s.pos++
			w.s.end()
			return w.finish()
		case !w.s.at(','):
			w.s.unexpected(`"," or "` + string(rune(closing(w.open))) + `"`)
			return w.finish()
		}
		w.s.pos++
		w.s.blanks()
	}
	return w.item() || w.finish()
}

// start enters the container. It returns false when there is nothing in it.
func (w *Walker) start() bool {
	w.s.blanks()
	if !w.s.at('{') && !w.s.at('[') {
		return w.s.unexpected("an object or an array")
	}
	w.open = w.s.text[w.s.pos]
	w.state = inside
	if !w.s.enter() {
		return false
	}
	if w.s.at(closing(w.open)) {
		w.s.pos++
		w.s.end()
		return false
	}
	return true
}

func (w *Walker) item() bool {
	if w.open == '{' {
		start := w.s.pos
		if !w.s.key() {
			return false
		}
		w.Key = keyIn(w.s.text[start:w.s.pos])
	}
	w.Offset = w.s.pos
	if !w.s.value() {
		return false
	}
	w.Value = w.s.text[w.Offset:w.s.pos]
	return true
}

func (w *Walker) finish() bool {
	w.state = done
	w.Key, w.Value = nil, nil
	return false
}

func closing(open byte) byte { return open + 2 } // '{' and '}', '[' and ']' are two apart in ASCII

// keyIn returns the decoded name at the start of a span that a name, blanks and a colon make up.
func keyIn(span []byte) []byte {
	for i := 1; i < len(span); i++ {
		switch span[i] {
		case '"':
			return span[1:i]
		case '\\':
			return AppendText(nil, span[:literalEnd(span)])
		}
	}
	return nil
}

// literalEnd returns the length of the valid string literal at the start of span.
func literalEnd(span []byte) int {
	s := scanner{text: span, trusted: true}
	s.string()
	return s.pos
}

// Find returns the raw value of the last member of that name in the validated object raw, nil if there is none.
// Like the engines' parsers it takes the last of several.
func Find(raw []byte, name string) []byte {
	var found []byte
	w := WalkTrusted(raw)
	for w.Next() {
		if string(w.Key) == name {
			found = w.Value
		}
	}
	return found
}
