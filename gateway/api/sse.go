package api

import "bytes"

// framer finds where server-sent events end, whatever the reads that bring them: lines end with \n, \r\n or \r, in
// any mixture, and an event with an empty line. It keeps no bytes.
type framer struct {
	midLine bool // the current line has bytes
	cr      bool // the last byte was a \r that ended a line; a \n that follows belongs to it
}

// next returns the length of p up to the end of the first event that ends in it, -1 if none does.
func (f *framer) next(p []byte) int {
	pos := 0
	for pos < len(p) {
		if f.cr {
			f.cr = false
			if p[pos] == '\n' {
				pos++
				continue
			}
		}
		i := lineEnd(p[pos:])
		if i < 0 {
			f.midLine = true
			return -1
		}
		empty := i == 0 && !f.midLine
		f.midLine = false
		pos += i + 1
		if p[pos-1] == '\r' {
			switch {
			case pos == len(p):
				f.cr = true
			case p[pos] == '\n':
				pos++
			}
		}
		if empty {
			return pos
		}
	}
	return -1
}

// lineEnd returns the index of the first \n or \r, -1 if there is none.
func lineEnd(p []byte) int {
	n := bytes.IndexByte(p, '\n')
	if n >= 0 {
		p = p[:n]
	}
	if r := bytes.IndexByte(p, '\r'); r >= 0 {
		return r
	}
	return n
}

// event is one server-sent event.
type event struct {
	name []byte // of its event line
	data []byte // of its data lines, joined by \n
	has  bool   // it has a data line; without one it is a comment or nothing
}

// parse reads the fields of a whole event. With several data lines joined holds the data and is returned grown.
func (e *event) parse(raw, joined []byte) []byte {
	lines := 0
	for len(raw) > 0 {
		i := lineEnd(raw)
		line := raw
		if i >= 0 {
			line, raw = raw[:i], raw[i+1:]
		} else {
			raw = nil
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.name = value
		case "data":
			e.has = true
			switch lines++; lines {
			case 1:
				e.data = value
			case 2:
				joined = append(append(append(joined[:0], e.data...), '\n'), value...)
				e.data = joined
			default:
				joined = append(append(joined, '\n'), value...)
				e.data = joined
			}
		}
	}
	return joined
}

// Framer finds where events end, for those who keep the bytes themselves.
type Framer struct{ framer }

// Next returns the length of p up to the end of the first event that ends in it, -1 if none does. What follows comes with the next call.
func (f *Framer) Next(p []byte) int { return f.next(p) }

// EventData finds the data of a whole event: its place in raw, and what its event line says. Data on several lines is not at one
// place; then it is joined, and at is -1. data is nil for comments.
func EventData(raw []byte) (name string, data []byte, at int) {
	var e event
	e.parse(raw, nil)
	if !e.has {
		return "", nil, -1
	}
	at = cap(raw) - cap(e.data)
	if at < 0 || at+len(e.data) > len(raw) || len(e.data) > 0 && &raw[at] != &e.data[0] {
		at = -1
	}
	return string(e.name), e.data, at
}
