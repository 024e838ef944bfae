package guard

import (
	"strconv"
	"unicode/utf8"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/tokenize"
)

// Stream edits an answer's events on their way to the client. Whole events go in and out: the beginning of an event waits for its end.
// Events in which nothing is to be changed pass as they are. It is used by one goroutine.
type Stream struct {
	s      *Session
	k      *look
	at     api.Standing
	said   api.Refusal // what a rule says in the engine's place
	frame  api.Framer
	rest   []byte // of an event whose end has not come
	pieces api.Pieces
	lanes  []*lane
	added  int // events that the engine did not send
	out    []byte
	joined []byte
	closed bool
	every  int // how much text a service is asked about at once, in bytes; 0 = none is asked
}

// mostRest bounds an event.
const mostRest = 8 << 20

// Stream returns the editor for a stream of family f with n choices; nil if nothing can have to be changed. said names the answer, for a
// rule that speaks in it.
func (s *Session) Stream(f api.Family, n int, said api.Refusal) *Stream {
	if !s.ChecksOutput() {
		return nil
	}
	s.prepare()
	t := &Stream{s: s, k: new(look), at: api.Standing{Family: f}, said: said}
	for _, r := range s.output {
		if r.hook != nil {
			t.every = max(t.every, int(r.hook.Every))
		}
	}
	if f == api.Chat || f == api.Completions {
		for i := range min(n, 128) {
			t.at.Open = append(t.at.Open, i)
		}
	}
	return t
}

// Edit takes what the client would get and returns what it gets, until the next Edit. last says that nothing will follow. A failure is a
// rule's refusal: what was returned with it still goes out, and nothing after it.
func (t *Stream) Edit(p []byte, last bool) (out []byte, fail *failure.Error) {
	t.out = t.out[:0]
	held := len(t.rest)
	t.rest = append(t.rest, p...)
	pos := 0
	for pos < len(t.rest) {
		n := t.frame.Next(t.rest[max(held, pos):])
		if n < 0 {
			break
		}
		end := max(held, pos) + n
		if r := t.event(t.rest[pos:end]); r != nil {
			return t.refuse(r)
		}
		pos = end
	}
	t.rest = append(t.rest[:0], t.rest[pos:]...)
	if len(t.rest) > mostRest {
		return t.out, failure.New(failure.ContentRefused, "The answer is too long to be checked.")
	}
	if last {
		if r := t.flush(func(*lane) bool { return true }, nil); r != nil {
			return t.refuse(r)
		}
	}
	return t.out, nil
}

// Closed says whether the answer has come to a regular end by a rule's word.
func (t *Stream) Closed() bool { return t.closed }

// refuse ends the answer.
func (t *Stream) refuse(r *rule) ([]byte, *failure.Error) {
	refusal := t.s.refusal(r)
	if refusal.Answer {
		t.said.Text = r.Message
		t.out = append(t.out, api.RefusalEnd(&t.at, &t.said)...)
		t.closed = true
	}
	return t.out, refusal.Failure()
}

// event passes one whole event on.
func (t *Stream) event(raw []byte) *rule {
	name, data, at := api.EventData(raw)
	if len(data) == 0 || tokenize.Validate(data, tokenize.MaxDepth) != nil || tokenize.KindOf(data) != tokenize.Object {
		t.out = append(t.out, raw...)
		return nil
	}
	if at < 0 { // on several lines, which JSON does not care about
		raw, at = t.oneLine(name, data)
		data = raw[at : len(raw)-2]
	}
	t.pieces.Event(t.at.Family, name, data)
	k := t.k
	k.edits = k.edits[:0]
	if r := t.before(data); r != nil {
		return r
	}
	for i := range t.pieces.List {
		if r := t.piece(&t.pieces.List[i], data, at); r != nil {
			return r
		}
	}
	t.number(data, at)
	t.stand(data)
	from := 0
	for i := range k.edits {
		t.out = append(append(t.out, raw[from:k.edits[i].start]...), k.edits[i].text...)
		from = k.edits[i].end
	}
	t.out = append(t.out, raw[from:]...)
	return nil
}

// oneLine is an event with its data on one line.
func (t *Stream) oneLine(name string, data []byte) (raw []byte, at int) {
	t.joined = t.joined[:0]
	if name != "" {
		t.joined = append(append(append(t.joined, "event: "...), name...), '\n')
	}
	t.joined = append(t.joined, "data: "...)
	at = len(t.joined)
	for _, c := range data {
		if c == '\n' || c == '\r' {
			c = ' '
		}
		t.joined = append(t.joined, c)
	}
	t.joined = append(t.joined, "\n\n"...)
	return t.joined, at
}

// before sends what is held of lanes that this event ends without adding to them: by a part's end, or since its part goes on elsewhere.
func (t *Stream) before(data []byte) *rule {
	return t.flush(func(l *lane) bool {
		here, elsewhere := false, false
		for i := range t.pieces.List {
			p := &t.pieces.List[i]
			if p.Erase == "" && !p.Whole && p.Part == l.Part {
				here = here || p.Lane == l.Lane
				elsewhere = elsewhere || p.Lane != l.Lane && p.End-p.Start > 2
			}
		}
		return !here && (elsewhere || t.ends(l.Part))
	}, data)
}

func (t *Stream) ends(part int) bool {
	for _, ended := range t.pieces.Ended {
		if ended == part {
			return true
		}
	}
	return t.pieces.AllEnded
}

// flush sends what is held of some lanes as events of their own.
func (t *Stream) flush(which func(*lane) bool, data []byte) *rule {
	for _, l := range t.lanes {
		if !l.waits() || !which(l) {
			continue
		}
		out, refuses := t.push(l, nil, true)
		if refuses != nil {
			return refuses
		}
		seq := t.at.Seq
		if n, ok := sequence(data); ok {
			seq = n + t.added
		}
		t.out = append(t.out, api.TextEvent(t.at.Family, l.Lane, out, l.like, seq)...)
		t.added++
		t.at.Seq = seq + 1
	}
	return nil
}

// piece puts what may go out in the place of a piece of text.
func (t *Stream) piece(p *api.Piece, data []byte, at int) *rule {
	k := t.k
	if p.Erase != "" {
		k.edits = append(k.edits, edit{span{at + p.Start, at + p.End}, []byte(p.Erase)})
		return nil
	}
	k.outer.read(data[p.Start:p.End])
	text := k.outer.text
	var out []byte
	var refuses *rule
	if p.Whole {
		l := lane{Lane: p.Lane}
		t.s.repeats = len(t.lanes) > 0
		if out, refuses = l.whole(t.s, k, text); refuses == nil && !t.s.repeats && len(out) > 0 {
			refuses = t.s.ask(t.s.output, "output", []string{string(out)})
		}
		t.s.repeats = false
	} else {
		l := t.lane(p.Lane)
		out, refuses = t.push(l, text, t.ends(p.Part))
		if l.waits() {
			l.like = append(l.like[:0], data...)
		}
	}
	if refuses == nil && !same(out, text) {
		k.edits = append(k.edits, edit{span{at + p.Start + 1, at + p.End - 1}, appendEscaped(nil, out)})
	}
	return refuses
}

// push takes more of a lane and returns what may go out. Where a service is asked, text waits until there is enough to ask about.
func (t *Stream) push(l *lane, more []byte, ended bool) ([]byte, *rule) {
	out, refuses := l.push(t.s, t.k, more, ended)
	if refuses != nil || t.every == 0 {
		return out, refuses
	}
	l.asked = append(l.asked, out...)
	if len(l.asked)-l.passed < t.every && !ended || len(l.asked) == l.passed {
		return nil, nil
	}
	if refuses = t.s.ask(t.s.output, "output", []string{string(l.asked)}); refuses != nil {
		return nil, refuses
	}
	out = append(l.out[:0], l.asked[l.passed:]...)
	l.out = out
	from := max(0, len(l.asked)-overlap)
	for from < len(l.asked) && !utf8.RuneStart(l.asked[from]) {
		from++
	}
	l.asked = append(l.asked[:0], l.asked[from:]...)
	l.passed = len(l.asked)
	return out, nil
}

func (t *Stream) lane(of api.Lane) *lane {
	for _, l := range t.lanes {
		if l.Lane == of {
			return l
		}
	}
	l := &lane{Lane: of}
	t.lanes = append(t.lanes, l)
	return l
}

// number makes room in the sequence numbers of responses for the events that were added.
func (t *Stream) number(data []byte, at int) {
	n, ok := sequence(data)
	if !ok {
		return
	}
	t.at.Seq = n + t.added + 1
	if t.added == 0 {
		return
	}
	for w := tokenize.WalkTrusted(data); w.Next(); {
		if string(w.Key) == "sequence_number" {
			e := edit{span{at + w.Offset, at + w.Offset + len(w.Value)}, strconv.AppendInt(nil, int64(n+t.added), 10)}
			t.k.edits = insert(t.k.edits, e)
		}
	}
}

// insert keeps edits in order.
func insert(edits []edit, e edit) []edit {
	edits = append(edits, e)
	for i := len(edits) - 1; i > 0 && edits[i].start < edits[i-1].start; i-- {
		edits[i], edits[i-1] = edits[i-1], edits[i]
	}
	return edits
}

func sequence(data []byte) (n int, ok bool) {
	raw := tokenize.Find(data, "sequence_number")
	n, err := strconv.Atoi(string(raw))
	return n, err == nil
}

// stand notes how far the stream has come.
func (t *Stream) stand(data []byte) {
	at := &t.at
	switch at.Family {
	case api.Messages:
		t.block(data)
	case api.Responses, api.ResponseByID:
		if len(t.pieces.List) > 0 && !t.pieces.List[0].Whole {
			at.Like = append(at.Like[:0], data...)
		}
	default:
		if at.Like == nil {
			at.Like = append([]byte{}, data...)
		}
		for _, ended := range t.pieces.Ended {
			for i, open := range at.Open {
				if open == ended {
					at.Open = append(at.Open[:i], at.Open[i+1:]...)
					break
				}
			}
		}
	}
}

// block follows the content blocks of messages.
func (t *Stream) block(data []byte) {
	kind := tokenize.Find(data, "type")
	index, _ := strconv.Atoi(string(tokenize.Find(data, "index")))
	switch {
	case tokenize.TextIs(kind, "content_block_start"):
		t.at.Open = append(t.at.Open[:0], index)
		t.at.OpenText = tokenize.TextIs(tokenize.Find(tokenize.Find(data, "content_block"), "type"), "text")
		t.at.Next = index + 1
	case tokenize.TextIs(kind, "content_block_stop"):
		t.at.Open = t.at.Open[:0]
	}
}
