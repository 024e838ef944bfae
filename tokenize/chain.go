package tokenize

import (
	"github.com/cespare/xxhash/v2"
)

// chain cuts a byte sequence into blocks and hashes each over its parent (the parent's hash is the seed).
type chain struct {
	hash   xxhash.Digest
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
	c.hash.ResetWithSeed(c.parent)
	c.hash.Write(b)
	c.parent = c.hash.Sum64()
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
	t := TextOf(raw)
	for p := t.Next(); p != nil; p = t.Next() {
		if len(p) == 1 {
			c.writeByte(p[0])
			continue
		}
		c.write(p)
	}
}
