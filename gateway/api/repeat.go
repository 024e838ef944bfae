package api

import "bytes"

// shape is the last event that did nothing but add text to choice 0, and where its text lies. The events of a stream differ in their
// text alone, so the next one is read by comparing what is around the text: a tenth of the cost of walking its JSON.
type shape struct {
	event    []byte
	from, to int // of the text in event, without its quotes
}

// repeats reads an event that has the shape of the one before and says whether it did.
func (s *Stream) repeats(raw []byte, sink Sink) bool {
	p := &s.shape
	if len(p.event) == 0 || !bytes.HasPrefix(raw, p.event[:p.from]) {
		return false
	}
	rest := raw[p.from:]
	n := bytes.IndexByte(rest, '"')
	if n <= 0 || !bytes.Equal(rest[n:], p.event[p.to:]) || bytes.IndexByte(rest[:n], '\\') >= 0 {
		return false
	}
	if sink != nil {
		sink.Text(rest[:n])
	}
	s.output(false)
	return true
}

// learn keeps the shape of a whole event that has just been read, if text for choice 0 is all that it brought.
func (s *Stream) learn(raw []byte) {
	text := s.spoken
	s.spoken = nil
	if s.says != 1 || len(text) <= 2 {
		return
	}
	// text is a piece of raw unless the event had several data lines; then it lies elsewhere.
	from := cap(raw) - cap(text)
	if from < 0 || from+len(text) > len(raw) || &raw[from] != &text[0] {
		return
	}
	s.shape.event = append(s.shape.event[:0], raw...)
	s.shape.from, s.shape.to = from+1, from+len(text)-1
}

// plural spoils the shape: the event brought something besides one text for choice 0.
func (s *Stream) plural() { s.says += 2 }
