package tokenize

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// chain cuts a byte sequence into blocks and chains their hashes: a block's is the xxhash64 of its
// parent's hash and of the xxhash64 of its own bytes.
type chain struct {
	parent uint64
	blocks []uint64
	total  int // bytes written so far
	n      int // bytes in tail
	tail   [BlockBytes]byte
}

func (c *chain) start(seed uint64) {
	c.parent, c.blocks, c.total, c.n = seed, c.blocks[:0], 0, 0
}

func (c *chain) block(b []byte) {
	c.parent = mix(c.parent, xxhash.Sum64(b))
	c.blocks = append(c.blocks, c.parent)
}

func (c *chain) write(p []byte) {
	c.total += len(p)
	if c.n > 0 {
		k := copy(c.tail[c.n:], p)
		c.n += k
		p = p[k:]
		if c.n < BlockBytes {
			return
		}
		c.block(c.tail[:])
		c.n = 0
	}
	for len(p) >= BlockBytes {
		c.block(p[:BlockBytes])
		p = p[BlockBytes:]
	}
	c.n = copy(c.tail[:], p)
}

func (c *chain) writeByte(b byte) {
	c.total++
	c.tail[c.n] = b
	c.n++
	if c.n == BlockBytes {
		c.block(c.tail[:])
		c.n = 0
	}
}

func (c *chain) writeString(s string) {
	for len(s) > 0 {
		k := copy(c.tail[c.n:], s)
		c.n += k
		c.total += k
		s = s[k:]
		if c.n == BlockBytes {
			c.block(c.tail[:])
			c.n = 0
		}
	}
}

// text writes the decoded text of the string literal raw.
func (c *chain) text(raw []byte) {
	if len(raw) < 2 || raw[0] != '"' {
		return
	}
	rest := raw[1 : len(raw)-1]
	for len(rest) > 0 {
		if rest[0] == '\\' {
			rest = c.escape(rest)
			continue
		}
		if n, more := c.shortRun(rest); n > 0 {
			rest = rest[n:]
			if !more {
				continue
			}
		}
		run := rest
		if i := bytes.IndexByte(rest, '\\'); i >= 0 {
			run = rest[:i]
		}
		c.write(run)
		rest = rest[len(run):]
	}
}

// shortRunBytes is the length up to which a run between escapes is copied while it is looked for. Code has an
// escape every few bytes, prose one a line; longer runs are worth a search of their own, and are hashed where they stand.
const shortRunBytes = 128

// shortRun copies the run before the next escape into the tail, eight bytes a step, as far as the tail reaches.
// It returns the bytes taken and whether the run may go on.
func (c *chain) shortRun(p []byte) (n int, more bool) {
	limit := min(len(p), BlockBytes-1-c.n, shortRunBytes)
	for ; n+8 <= limit; n += 8 {
		x := binary.LittleEndian.Uint64(p[n:])
		binary.LittleEndian.PutUint64(c.tail[c.n+n:], x)
		y := x ^ everyByte*'\\'
		if hit := (y - everyByte) & ^y & highBits; hit != 0 {
			n += bits.TrailingZeros64(hit) / 8
			c.n += n
			c.total += n
			return n, false
		}
	}
	c.n += n
	c.total += n
	return n, true
}

// escape writes what the escape at the start of p means and returns what follows it.
func (c *chain) escape(p []byte) []byte {
	r, size := Unescape(p)
	if r < utf8.RuneSelf {
		c.writeByte(byte(r))
		return p[size:]
	}
	var out [utf8.UTFMax]byte
	c.write(out[:utf8.EncodeRune(out[:], r)])
	return p[size:]
}
