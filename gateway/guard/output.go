package guard

import (
	"bytes"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/tokenize"
)

// ChecksOutput says whether anything may have to be done to the answer.
func (s *Session) ChecksOutput() bool {
	return s != nil && (len(s.output) > 0 || len(s.hidden) > 0)
}

// OutputRules are the names of the rules that look at the answer.
func (s *Session) OutputRules() []string {
	if s == nil {
		return nil
	}
	names := make([]string, len(s.output))
	for i, r := range s.output {
		names[i] = r.Name
	}
	return names
}

// prepare makes what finds the placeholders in the answer.
func (s *Session) prepare() {
	if s.placeholders == nil && len(s.hidden) > 0 {
		s.placeholders = s.newPlaceholders()
	}
}

// lookBack is how much of a text is held back at most, in bytes.
func (s *Session) lookBack() int {
	most := 64 // more than a placeholder has
	for _, r := range s.output {
		most = max(most, int(r.LookBack))
	}
	return most
}

// Output looks at an answer of family f that is not a stream. It returns what goes to the client, which is body itself where nothing
// is to be changed, or the refusal. An answer that is no JSON is a text.
func (s *Session) Output(f api.Family, body []byte) ([]byte, *Refusal) {
	if !s.ChecksOutput() {
		return body, nil
	}
	s.prepare()
	k := s.g.looks.Get().(*look) //nolint:errcheck // nothing else is put there
	defer s.g.looks.Put(k)
	var l lane
	if tokenize.Validate(body, tokenize.MaxDepth) != nil || tokenize.KindOf(bytes.TrimLeft(body, " \t\r\n")) != tokenize.Object {
		return s.plain(k, &l, f, body)
	}
	var p api.Pieces
	ask, texts := asks(s.output), []string(nil)
	p.Answer(f, body)
	k.edits = k.edits[:0]
	for i := range p.List {
		piece := &p.List[i]
		if piece.Erase != "" {
			k.edits = append(k.edits, edit{span{piece.Start, piece.End}, []byte(piece.Erase)})
			continue
		}
		l.Lane = piece.Lane
		k.outer.read(body[piece.Start:piece.End])
		out, refuses := l.whole(s, k, k.outer.text)
		if refuses != nil {
			return nil, s.refusal(refuses)
		}
		if ask && len(out) > 0 {
			texts = append(texts, string(out))
		}
		if !same(out, k.outer.text) {
			k.edits = append(k.edits, edit{span{piece.Start + 1, piece.End - 1}, appendEscaped(nil, out)})
		}
	}
	if refuses := s.ask(s.output, "output", texts); refuses != nil {
		return nil, s.refusal(refuses)
	}
	return apply(body, k.edits), nil
}

// plain is Output for a text that is no JSON.
func (s *Session) plain(k *look, l *lane, f api.Family, body []byte) ([]byte, *Refusal) {
	if f != api.Transcriptions && f != api.Translations {
		return body, nil
	}
	out, refuses := l.whole(s, k, body)
	if refuses == nil {
		refuses = s.ask(s.output, "output", []string{string(out)})
	}
	if refuses != nil {
		return nil, s.refusal(refuses)
	}
	return out, nil
}
