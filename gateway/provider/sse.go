package provider

import (
	"bytes"
	"encoding/json"
)

// maxEvent bounds an event of a provider's stream, and a line of it.
const maxEvent = 8 << 20

// maxBare bounds an error that comes in bare lines.
const maxBare = 16 << 10

// events cuts a stream of server-sent events into their data. Names of events are not needed: the data of all providers tells.
type events struct {
	line []byte // the line that has not come whole
	data []byte // the data lines of the event so far
	bare []byte // lines that are JSON without a field's name: Gemini's errors in mid stream come so
	has  bool
	cr   bool // the last line ended with \r: a \n that follows belongs to it
}

// feed calls take with the data of each event that ends in in; false when a bound is passed.
func (e *events) feed(in []byte, take func(data []byte)) bool {
	for len(in) > 0 {
		if e.cr {
			e.cr = false
			if in[0] == '\n' {
				in = in[1:]
				continue
			}
		}
		i := bytes.IndexAny(in, "\r\n")
		if i < 0 {
			e.line = append(e.line, in...)
			return len(e.line) <= maxEvent
		}
		line := in[:i]
		if len(e.line) > 0 {
			e.line = append(e.line, line...)
			line = e.line
		}
		e.cr = in[i] == '\r'
		in = in[i+1:]
		if len(line)+len(e.data) > maxEvent || len(e.bare) > maxBare {
			return false
		}
		e.take(line, take)
		e.line = e.line[:0]
	}
	return true
}

func (e *events) take(line []byte, take func(data []byte)) {
	if len(line) == 0 && len(e.bare) == 0 {
		if e.has {
			take(e.data)
		}
		e.has = false
		e.data = shrink(e.data)
		e.line = shrink(e.line)
		return
	}
	if len(e.bare) > 0 || line[0] == '{' || line[0] == '[' {
		e.bare = append(append(e.bare, line...), '\n')
		if json.Valid(e.bare) {
			take(e.bare)
			e.bare = nil
		}
		return
	}
	field, value, _ := bytes.Cut(line, []byte(":"))
	if string(field) != "data" {
		return
	}
	if e.has {
		e.data = append(e.data, '\n')
	}
	e.has = true
	e.data = append(e.data, bytes.TrimPrefix(value, []byte(" "))...)
}

// shrink empties a buffer and gives back the memory of a long one.
func shrink(b []byte) []byte {
	if cap(b) > maxBuffer {
		return nil
	}
	return b[:0]
}
