package upstream

import "sync"

// bufferSize is what one read of a stream can carry: several dozen events.
const bufferSize = 16 << 10

type buffer struct{ b []byte }

type bufferPool struct{ p sync.Pool }

// buffers are shared by every server of the process: they hold nothing between uses.
var buffers bufferPool

func (p *bufferPool) get() *buffer {
	if b, ok := p.p.Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, 0, bufferSize)}
}

func (p *bufferPool) put(b *buffer) {
	if cap(b.b) == bufferSize {
		p.p.Put(b)
	}
}
