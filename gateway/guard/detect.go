package guard

// detector finds things by their form, and by their check digits where they have some. Beside a letter or a digit nothing is found: what looks
// like a telephone number within a longer number is none.
type detector struct {
	// match returns the end of what begins at i, 0 if nothing does.
	match func(b []byte, i int) int
	// pending says whether what b holds from i to its end could yet become a match, or cease to be one.
	pending func(b []byte, i int) bool
	// plus says that a match may begin with a +, letter that it may begin with a letter.
	plus, letter bool
}

// detectorNames are the things that can be detected, as a configuration names them.
func detectorNames() []string { return []string{"phone", "email", "id_card", "bank_card", "api_key"} }

// newDetector returns the finder of a name; nil if there is none.
func newDetector(name string) finder {
	switch name {
	case "phone":
		return &detector{match: phone, pending: numberPending, plus: true}
	case "email":
		return mailbox{}
	case "id_card":
		return &detector{match: idCard, pending: numberPending}
	case "bank_card":
		return &detector{match: bankCard, pending: numberPending}
	case "api_key":
		k := &keys{keyForms()}
		return &detector{match: k.match, pending: k.pending, letter: true}
	}
	return nil
}

func (d *detector) find(t *text, out []span) []span {
	b := t.plain
	for i := t.from; i < len(b); i++ {
		if !d.begins(b, i) {
			continue
		}
		if end := d.match(b, i); end > 0 {
			out = append(out, span{i, end})
			i = end - 1
		}
	}
	return out
}

// longestForm is more bytes than any match of a detector has.
const longestForm = 330

func (d *detector) open(t *text) int {
	b := t.plain
	for i := max(t.from, len(b)-longestForm); i < len(b); i++ {
		if d.begins(b, i) && d.pending(b, i) {
			return i
		}
	}
	return len(b)
}

// begins says whether a match can begin at i by what stands there and before.
func (d *detector) begins(b []byte, i int) bool {
	switch c := b[i]; {
	case isDigit(c) && d.letter, isLetter(c) && !d.letter, c == '+' && !d.plus, c != '+' && !isAlnum(c):
		return false
	case i == 0:
		return true
	}
	switch before := b[i-1]; {
	case isAlnum(before), before == '_':
		return false
	case before == '.': // a decimal
		return i < 2 || !isDigit(b[i-2])
	case before == '-':
		return !d.letter
	}
	return true
}

func isDigit(c byte) bool  { return c-'0' <= 9 }
func isLetter(c byte) bool { return (c|0x20)-'a' < 26 }
func isAlnum(c byte) bool  { return isDigit(c) || isLetter(c) }
