package guard

// newPlaceholders makes the finder of what was put into the request, so that it can be replaced by what was there. Models change its case
// now and then.
func (s *Session) newPlaceholders() *lexicon {
	words := make([]string, len(s.hidden))
	for i := range s.hidden {
		words[i] = string(s.g.fold.append(nil, []byte(s.hidden[i].placeholder)))
	}
	return newLexicon(words, false)
}

// known returns which placeholder a folded text is.
func (s *Session) known(folded []byte) int {
	for i := range s.hidden {
		if string(s.g.fold.append(nil, []byte(s.hidden[i].placeholder))) == string(folded) {
			return i
		}
	}
	return 0
}
