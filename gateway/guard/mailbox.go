package guard

import "bytes"

// mailbox finds e-mail addresses: NAME@HOST.DOMAIN in ASCII.
type mailbox struct{}

const (
	longestLocal = 64  // RFC 5321, 4.5.3.1.1
	longestHost  = 255 // 4.5.3.1.2
)

func (mailbox) find(t *text, out []span) []span {
	b := t.plain
	for i := t.from; i < len(b); i++ {
		n := bytes.IndexByte(b[i:], '@')
		if n < 0 {
			break
		}
		i += n
		start, end := local(b, t.from, i), host(b, i+1)
		if start < i && end > 0 {
			out = append(out, span{start, end})
			i = end - 1
		}
	}
	return out
}

// local returns where the name before the @ begins, at itself if there is none. It begins and ends with a letter, a digit, _ or +.
func local(b []byte, from, at int) int {
	if at == from || b[at-1] == '.' {
		return at
	}
	i := at
	for i > from && at-i < longestLocal && isLocal(b[i-1]) {
		i--
	}
	for i < at && !isAlnum(b[i]) && b[i] != '_' && b[i] != '+' {
		i++
	}
	return i
}

// host returns where the host that begins at i ends, 0 if there is none. Its last label is two letters or more.
func host(b []byte, i int) int {
	end, label, letters, dots := 0, i, true, 0
	for j := i; ; j++ {
		if j < len(b) && j-i <= longestHost && (isAlnum(b[j]) || b[j] == '-') {
			letters = letters && isLetter(b[j])
			continue
		}
		if j > label && letters && j-label >= 2 && dots > 0 {
			end = j
		}
		if j == label || j >= len(b) || b[j] != '.' {
			return end
		}
		label, letters, dots = j+1, true, dots+1
	}
}

func isLocal(c byte) bool {
	return isAlnum(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-'
}

// open finds the name that the text ends with, or the address that it is within.
func (mailbox) open(t *text) int {
	b := t.plain
	i, at := len(b), -1
	for i > t.from && len(b)-i <= longestLocal+longestHost {
		c := b[i-1]
		if c == '@' && at < 0 {
			at = i - 1
		} else if !isLocal(c) {
			break
		}
		i--
	}
	switch {
	case at >= 0:
		if start := local(b, t.from, at); start < at {
			return start
		}
		return at + 1
	case len(b)-i > longestLocal:
		return len(b)
	}
	return i
}
