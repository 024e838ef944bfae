package load

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// eventLimit bounds one event of a stream.
const eventLimit = 16 << 20

var errEventTooLong = fmt.Errorf("an event is longer than %d bytes", eventLimit)

// events takes an event stream apart as the HTML standard says: data lines of one event are joined, comments and
// other fields are skipped, an event without its empty line is dropped.
type events struct {
	from io.Reader
	at   time.Time // when the bytes of the last event arrived

	buf        []byte // buf[start:end] has been read and not yet used
	start, end int
	data       []byte // data of the event under way
	has        bool   // a data line was seen
	last       error  // what the last read returned, told once the buffer is used up
}

func newEvents(from io.Reader) *events { return &events{from: from, buf: make([]byte, 8<<10)} }

// next returns the data of the next event, valid until the call after it. arrived is called after each read.
func (e *events) next(arrived func()) ([]byte, error) {
	e.data, e.has = e.data[:0], false
	for {
		line, err := e.line(arrived)
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			if e.has {
				return e.data, nil
			}
			continue
		}
		if err := e.field(line); err != nil {
			return nil, err
		}
	}
}

func (e *events) field(line []byte) error {
	value, isData := bytes.CutPrefix(line, []byte("data:"))
	if !isData {
		return nil
	}
	value = bytes.TrimPrefix(value, []byte(" "))
	if len(e.data)+len(value) > eventLimit {
		return errEventTooLong
	}
	if e.has {
		e.data = append(e.data, '\n')
	}
	e.data, e.has = append(e.data, value...), true
	return nil
}

// line returns the next line without its end, valid until the next call.
func (e *events) line(arrived func()) ([]byte, error) {
	searched := e.start
	for {
		if i := bytes.IndexByte(e.buf[searched:e.end], '\n'); i >= 0 {
			line := e.buf[e.start : searched+i]
			e.start = searched + i + 1
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		searched = e.end
		if e.last != nil {
			return nil, e.last
		}
		moved, err := e.room()
		if err != nil {
			return nil, err
		}
		searched -= moved
		n, err := e.from.Read(e.buf[e.end:])
		e.at = time.Now()
		e.end += n
		e.last = err
		arrived()
	}
}

// room makes space for a read and says by how much the unused bytes moved down.
func (e *events) room() (moved int, err error) {
	if e.end < len(e.buf) {
		return 0, nil
	}
	moved = e.start
	if moved < len(e.buf)/2 {
		if len(e.buf) >= eventLimit {
			return 0, errEventTooLong
		}
		e.buf = append(e.buf, make([]byte, len(e.buf))...)
	}
	e.end = copy(e.buf, e.buf[moved:e.end])
	e.start = 0
	return moved, nil
}
