package upstream

import (
	"bufio"
	"sync"
	"time"
)

// idle keeps the unused connections of one server; the one that was used last goes out first.
type idle struct {
	keep time.Duration // how long one stays

	mu     sync.Mutex // guards the fields below
	conns  []*conn    // by since, oldest first
	timer  *time.Timer
	closed bool // nothing is kept any more
}

// get takes the connection out that was put in last, nil if there is none.
func (i *idle) get(now time.Time) *conn {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.expire(now)
	n := len(i.conns)
	if n == 0 {
		return nil
	}
	c := i.conns[n-1]
	i.conns[n-1] = nil
	i.conns = i.conns[:n-1]
	return c
}

// put keeps c for later use.
func (i *idle) put(c *conn, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		_ = c.Close()
		return
	}
	c.since = now
	i.conns = append(i.conns, c)
	if len(i.conns) == 1 {
		i.arm(i.keep)
	}
}

// shortIdle is below which time idle a connection was closed for a reason of its own: engines' time-outs are seconds.
const shortIdle = time.Second

// dropAsOld closes what has been idle for as long as a connection that the engine had closed after that time.
func (i *idle) dropAsOld(age time.Duration, now time.Time) {
	if age < shortIdle {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dropUntil(now.Add(-age))
}

// dropAll closes every idle connection; with forGood those that come back later as well.
func (i *idle) dropAll(forGood bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = i.closed || forGood
	for _, c := range i.conns {
		_ = c.Close()
	}
	i.conns = nil
}

func (i *idle) expire(now time.Time) { i.dropUntil(now.Add(-i.keep)) }

func (i *idle) dropUntil(since time.Time) {
	n := 0
	for n < len(i.conns) && !i.conns[n].since.After(since) {
		_ = i.conns[n].Close()
		n++
	}
	if n > 0 {
		i.conns = append(i.conns[:0], i.conns[n:]...)
		clear(i.conns[len(i.conns):cap(i.conns)])
	}
}

// arm has what is too old closed after d.
func (i *idle) arm(d time.Duration) {
	if i.timer == nil {
		i.timer = time.AfterFunc(d, i.sweep)
	} else {
		i.timer.Reset(d)
	}
}

func (i *idle) sweep() {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	i.expire(now)
	if len(i.conns) > 0 {
		i.arm(max(time.Millisecond, i.conns[0].since.Add(i.keep).Sub(now)))
	}
}

// readSize holds an answer's head, whose longest line engines keep below 16 KiB.
const readSize = 16 << 10

// readers are shared by every server of the process: they hold nothing between uses.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readSize) }}

func acquireReader(c *conn) *bufio.Reader {
	br, ok := readers.Get().(*bufio.Reader)
	if !ok {
		br = bufio.NewReaderSize(nil, readSize)
	}
	br.Reset(c)
	return br
}

func releaseReader(br *bufio.Reader) {
	br.Reset(nil)
	readers.Put(br)
}
