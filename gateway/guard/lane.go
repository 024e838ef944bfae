package guard

import (
	"bytes"
	"unicode/utf8"

	"github.com/warmlane/warmlane/gateway/api"
)

// lane is one text of a stream as it comes.
type lane struct {
	api.Lane
	said   []byte // the end of what has gone out, as the engine wrote it: neighbours of what follows
	held   []byte // what is not decided yet
	buf    []byte
	out    []byte
	like   []byte // the event that brought what is held
	quotes quotes
	asked  []byte // what a service is asked about; the first passed bytes of it have gone out and are there for what follows
	passed int
}

// overlap is how much of what has gone out a service sees again with what follows, in bytes.
const overlap = 256

// waits says whether some of the text has not gone out.
func (l *lane) waits() bool { return len(l.held) > 0 || len(l.asked) > l.passed }

// neighbours is how much of what was said is kept, in bytes.
const neighbours = 16

// push takes more of the text and returns what may go out, until the next push; a rule if what came is refused. At the end of the text
// nothing is held back.
func (l *lane) push(s *Session, k *look, more []byte, ended bool) (out []byte, refuses *rule) {
	l.buf = append(append(append(l.buf[:0], l.said...), l.held...), more...)
	said := len(l.said)
	decided := k.find(s, s.output, s.placeholders, l.buf, said, !ended)
	if most := s.lookBack(); len(l.buf)-decided > most {
		decided = l.force(s, k, said, most)
	}
	if refuses = k.count(s, "output"); refuses != nil {
		return nil, refuses
	}
	k.join()
	l.out = l.replace(s, k.hits, said, decided)
	l.held = append(l.held[:0], l.buf[decided:]...)
	from := max(0, decided-neighbours)
	for from < decided && !utf8.RuneStart(l.buf[from]) {
		from++
	}
	l.said = append(l.said[:0], l.buf[from:decided]...)
	return l.out, nil
}

// force decides so much of a text that no more than most bytes are held: what it has of a match there counts as one.
func (l *lane) force(s *Session, k *look, said, most int) (decided int) {
	k.find(s, s.output, s.placeholders, l.buf, said, false)
	decided = len(l.buf) - most
	for decided < len(l.buf) && !utf8.RuneStart(l.buf[decided]) {
		decided++
	}
	n := 0
	for n < len(k.hits) && k.hits[n].start < decided {
		decided = max(decided, k.hits[n].end)
		n++
	}
	k.hits = k.hits[:n]
	return decided
}

// replace returns buf[from:to] with the hits replaced.
func (l *lane) replace(s *Session, hits []hit, from, to int) []byte {
	out := l.out[:0]
	for i := range hits {
		h := &hits[i]
		out = append(out, l.buf[from:h.start]...)
		l.quotes.pass(l.buf[from:h.start])
		out = l.appendReplacement(out, s.inAnswer(h))
		l.quotes.pass(l.buf[h.start:h.end])
		from = h.end
	}
	out = append(out, l.buf[from:to]...)
	l.quotes.pass(l.buf[from:to])
	return out
}

// appendReplacement keeps the arguments of a tool call, which are JSON themselves, JSON.
func (l *lane) appendReplacement(out, text []byte) []byte {
	switch {
	case l.Kind != api.LaneArguments && l.Kind != api.LaneCall:
		return append(out, text...)
	case l.quotes.inside:
		return appendEscaped(out, text)
	}
	return append(appendEscaped(append(out, '"'), text), '"')
}

// inAnswer is what stands in the answer in the place of a hit.
func (s *Session) inAnswer(h *hit) []byte {
	if h.rule != nil {
		return []byte(h.rule.masked(h.label))
	}
	return []byte(s.hidden[h.hidden].value)
}

// quotes follows JSON and knows whether it is inside a string.
type quotes struct{ inside, escaped bool }

func (q *quotes) pass(b []byte) {
	for _, c := range b {
		switch {
		case q.escaped:
			q.escaped = false
		case c == '"':
			q.inside = !q.inside
		case c == '\\':
			q.escaped = q.inside
		}
	}
}

// whole returns a text that came in one piece, as it may go out.
func (l *lane) whole(s *Session, k *look, text []byte) ([]byte, *rule) {
	l.said, l.held, l.quotes = l.said[:0], l.held[:0], quotes{}
	return l.push(s, k, text, true)
}

func same(a, b []byte) bool { return len(a) == len(b) && bytes.Equal(a, b) }
