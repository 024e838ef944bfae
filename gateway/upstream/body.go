package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
)

// body reads the content of one answer out of its framing, without ever waiting while it has something to hand on:
// what the engine sent in one packet is returned together.
type body struct {
	br    *bufio.Reader
	frame frame
	left  int64 // bytes left in the present chunk, or in the whole body
	open  bool  // inside a chunk whose final CRLF is still to come
	done  bool
}

type frame uint8

const (
	byLength frame = iota
	byChunks
	byClose // until the connection ends; a cut cannot be told from an end
)

var errChunk = errors.New("malformed chunk in the answer")

// maxChunkLine bounds a chunk's size line with its extensions.
const maxChunkLine = 1024

// maxTrailers bounds the lines after the last chunk.
const maxTrailers = 100

func (b *body) start(br *bufio.Reader, contentLength int, noBody bool) {
	*b = body{br: br}
	switch {
	case noBody:
		b.done = true
	case contentLength >= 0:
		b.left, b.done = int64(contentLength), contentLength == 0
	case contentLength == -1:
		b.frame = byChunks
	default:
		b.frame = byClose
	}
}

// read appends what is there to dst (up to its capacity), waiting only when nothing is. io.EOF comes with the last bytes or after
// them and means a clean end of the framing; io.ErrUnexpectedEOF means that the answer was cut.
func (b *body) read(dst []byte) ([]byte, error) {
	had := len(dst)
	for !b.done && len(dst) < cap(dst) {
		if len(dst) > had && !b.ready() {
			return dst, nil
		}
		var err error
		if dst, err = b.step(dst); err != nil {
			return dst, err
		}
	}
	if b.done {
		return dst, io.EOF
	}
	return dst, nil
}

// ready says whether the next step can be done from what is buffered.
func (b *body) ready() bool {
	n := b.br.Buffered()
	if n == 0 || b.frame != byChunks || b.left > 0 {
		return n > 0
	}
	next, _ := b.br.Peek(n)
	if b.open { // CRLF of the last chunk, then the next size line
		if n < 2 {
			return false
		}
		next = next[2:]
	}
	end := bytes.IndexByte(next, '\n')
	return end > 0 && (next[0] != '0' || bytes.Contains(next, []byte("\n\r\n")))
}

// step does one piece of work: a size line, or a copy of content.
func (b *body) step(dst []byte) ([]byte, error) {
	if b.frame == byChunks && b.left == 0 {
		return dst, b.nextChunk()
	}
	room := dst[len(dst):cap(dst)]
	if b.frame != byClose && int64(len(room)) > b.left {
		room = room[:b.left]
	}
	n, err := b.br.Read(room)
	dst = dst[:len(dst)+n]
	if b.frame == byClose {
		b.done = errors.Is(err, io.EOF)
		if b.done {
			err = nil
		}
		return dst, err
	}
	b.left -= int64(n)
	if b.left == 0 && b.frame == byLength {
		b.done = true
	}
	if n > 0 {
		err = nil
	}
	return dst, cut(err)
}

func (b *body) nextChunk() error {
	if b.open {
		if line, err := b.line(); err != nil {
			return err
		} else if len(line) != 0 {
			return errChunk
		}
		b.open = false
	}
	line, err := b.line()
	if err != nil {
		return err
	}
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		line = line[:i]
	}
	size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 40)
	if err != nil {
		return errChunk
	}
	if size > 0 {
		b.left, b.open = int64(size), true
		return nil
	}
	for range maxTrailers { // dropped
		if line, err = b.line(); err != nil {
			return err
		}
		if len(line) == 0 {
			b.done = true
			return nil
		}
	}
	return errChunk
}

func (b *body) line() ([]byte, error) {
	line, err := b.br.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, errChunk
		}
		return nil, cut(err)
	}
	if len(line) > maxChunkLine {
		return nil, errChunk
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// cut turns the plain end of a connection into the fault that it is inside a body.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
