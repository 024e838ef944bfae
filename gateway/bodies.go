package gateway

import (
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// bodies counts the request bodies in memory, from the moment their head announces them. A head stands for its connection: the
// server uses it again for that connection's next request.
type bodies struct {
	mu   sync.Mutex // guards the fields below
	held map[*fasthttp.RequestHeader]bodyHeld
	sum  int64
}

type bodyHeld struct {
	size  int
	until time.Time // when a body on its way has arrived or been given up; zero once it is here
}

// smallBody is up to which size a body is not counted: a connection costs as much.
const smallBody = 64 << 10

func newBodies() *bodies { return &bodies{held: map[*fasthttp.RequestHeader]bodyHeld{}} }

// hold counts n bytes for h until release, in place of what was counted for it before. It is false, and nothing is counted, when that
// makes more than most. until bounds how long a body may be on its way; zero for one that is here.
func (b *bodies) hold(h *fasthttp.RequestHeader, n int, until time.Time, most int64) bool {
	if n <= smallBody {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(h)
	if b.sum+int64(n) > most {
		b.forget(time.Now())
	}
	if b.sum+int64(n) > most {
		return false
	}
	b.held[h] = bodyHeld{n, until}
	b.sum += int64(n)
	return true
}

// forget drops bodies whose connections ended on their way.
func (b *bodies) forget(now time.Time) {
	for h, body := range b.held {
		if !body.until.IsZero() && now.After(body.until) {
			b.drop(h)
		}
	}
}

// release ends what hold counted for h.
func (b *bodies) release(h *fasthttp.RequestHeader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(h)
}

func (b *bodies) drop(h *fasthttp.RequestHeader) {
	b.sum -= int64(b.held[h].size)
	delete(b.held, h)
}
