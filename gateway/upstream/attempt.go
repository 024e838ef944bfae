package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/failure"
)

// Request is what is sent; the same for every attempt but for the parts that the endpoint decides.
type Request struct {
	Method string
	Path   string   // of the API table, begins with a slash
	Query  []byte   // as it came, without the question mark
	Header []byte   // ready lines, each ended by CRLF; without Host, Content-Length and the credential
	Body   [][]byte // pieces sent one after the other
	// First is when the first byte of the answer must have come; Between bounds each silence after it.
	First time.Time
	// Sent is when the request must have left; zero: by First.
	Sent    time.Time
	Between time.Duration
	// Elsewhere says where the request can go if the server turns out to be stuck before it answers.
	Elsewhere Elsewhere
}

// Elsewhere says where a request can go that waits in vain.
type Elsewhere uint8

// The places, the nearest one last.
const (
	Nowhere  Elsewhere = iota // it waits
	Beyond                    // to another pool or provider
	NextDoor                  // to another server of the pool, if one is in service
)

// Attempt is one try of a request at one server. Send, Read and Finish belong to one goroutine; Cancel to anybody.
type Attempt struct {
	server  *Server
	between time.Duration
	armed   time.Time     // read deadline in force
	sent    time.Time     // when the request began to leave
	idled   time.Duration // how long the connection had been idle before
	body    body
	br      *bufio.Reader

	// Head is the answer's status and headers, valid after Send.
	Head fasthttp.ResponseHeader

	mu    sync.Mutex // guards the fields below
	conn  *conn      // nil before and after the exchange, so that a late cancel never hits a pooled connection
	stop  func()     // ends the dial under way
	ended failure.Kind
	begun bool // something of the answer may go to the client
	goes  Elsewhere
}

// NewAttempt prepares a try at s.
func NewAttempt(s *Server) *Attempt { return &Attempt{server: s} }

// Cancel ends the attempt with kind by closing its connection, now or as soon as it has one. The first reason stays.
func (a *Attempt) Cancel(kind failure.Kind) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended != failure.None {
		return
	}
	a.ended = kind
	if a.conn != nil {
		_ = a.conn.Close()
	}
	if a.stop != nil {
		a.stop()
	}
}

// move ends the attempt as one at a stuck server, if it waits for its answer, can go elsewhere and allow lets it.
func (a *Attempt) move(nextDoor bool, allow func() bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended != failure.None || a.begun || a.conn == nil || a.goes == Nowhere || a.goes == NextDoor && !nextDoor || !allow() {
		return false
	}
	a.ended = failure.EngineStuck
	_ = a.conn.Close()
	return true
}

// begin notes that the answer has begun, so that the request cannot move any more; it is what move has made of it otherwise.
func (a *Attempt) begin() failure.Kind {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begun = true
	return a.ended
}

// Ended returns why the attempt was cancelled, None if it was not.
func (a *Attempt) Ended() failure.Kind {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// Send connects, sends r and reads the answer's head. A reused connection that breaks before the first byte is replaced once by a
// fresh one. After an error the attempt holds nothing.
func (a *Attempt) Send(r *Request) *failure.Error {
	a.between = r.Between
	a.mu.Lock()
	a.goes = r.Elsewhere
	a.mu.Unlock()
	used, fail := a.exchange(r, false)
	if fail == nil {
		return nil
	}
	a.Finish(false)
	if used && a.wasStale(fail) {
		a.server.idle.dropAsOld(a.idled, a.sent)
		// A server that now refuses has died of something: the first failure tells more.
		_, again := a.exchange(r, true)
		if again == nil {
			return nil
		}
		a.Finish(false)
		if again.Kind != failure.ConnectFailed {
			fail = again
		}
	}
	if kind := a.Ended(); kind != failure.None {
		return unbegun(kind, fail.Err)
	}
	return fail
}

// stalePromptly is within which time of sending a stale connection shows: the engine had closed it before.
const stalePromptly = 100 * time.Millisecond

// wasStale says whether a pooled connection broke because the engine had closed it, not because of this request.
func (a *Attempt) wasStale(fail *failure.Error) bool {
	return (fail.Kind == failure.SendFailed || fail.Kind == failure.ConnectionLost) && a.Ended() == failure.None &&
		time.Since(a.sent) < stalePromptly
}

// exchange does one round on one connection; used tells whether that connection was a pooled one.
func (a *Attempt) exchange(r *Request, fresh bool) (used bool, fail *failure.Error) {
	if err := a.connect(fresh); err != nil {
		return false, failure.New(failure.ConnectFailed, "The inference engine cannot be reached.").Because(err)
	}
	c := a.conn
	used = c.used
	c.used, c.got = true, false
	if !a.arm(r.First) {
		return used, failure.New(failure.ConnectionLost, "The connection to the inference engine was lost.")
	}
	a.sent = time.Now()
	if err := a.write(r); err != nil {
		return used, a.unsent(err)
	}
	return used, a.readHead()
}

// unsent is what a failed write means. An engine that refuses a request before it has read it all answers and closes: then its
// answer counts.
func (a *Attempt) unsent(err error) *failure.Error {
	switch {
	case isTimeout(err):
		return failure.New(failure.FirstEventTimeout, "The inference engine does not take the request.").Because(err)
	case !lost(err) || !a.arm(time.Now().Add(stalePromptly)):
	case a.readHead() == nil && a.Head.StatusCode() >= 400:
		return nil
	}
	return failure.New(failure.SendFailed, "The connection to the inference engine broke while sending.").Because(err)
}

// connect takes a live pooled connection or dials one, and registers it so that it can be cancelled.
func (a *Attempt) connect(fresh bool) error {
	c := a.pooled(fresh)
	if c == nil {
		var err error
		if c, err = a.dial(); err != nil {
			return err
		}
	}
	a.mu.Lock()
	a.conn, a.stop = c, nil
	ended := a.ended
	a.mu.Unlock()
	a.server.enter(a)
	if ended != failure.None {
		return errCancelled
	}
	return nil
}

var errCancelled = errors.New("cancelled")

// pooled is an idle connection that seems to live, nil if there is none or a fresh one is wanted.
func (a *Attempt) pooled(fresh bool) *conn {
	for !fresh {
		now := time.Now()
		c := a.server.idle.get(now)
		if c == nil {
			return nil
		}
		if !c.stale() {
			a.idled = now.Sub(c.since)
			return c
		}
		_ = c.Close()
	}
	return nil
}

// dial opens a connection within the connect timeout, or until the attempt is cancelled.
func (a *Attempt) dial() (*conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), a.server.connect)
	defer cancel()
	a.mu.Lock()
	a.stop = cancel
	ended := a.ended
	a.mu.Unlock()
	if ended != failure.None {
		return nil, errCancelled
	}
	return a.server.dial(ctx)
}

// arm sets the read deadline.
func (a *Attempt) arm(t time.Time) bool {
	a.armed = t
	return a.conn.SetReadDeadline(t) == nil
}

// smallRequest is up to which size head and body leave in one write.
const smallRequest = 32 << 10

func (a *Attempt) write(r *Request) error {
	length := 0
	for _, p := range r.Body {
		length += len(p)
	}
	buf := buffers.get()
	defer buffers.put(buf)
	head := a.head(buf.b[:0], r, length)
	by := r.First
	if !r.Sent.IsZero() && r.Sent.Before(by) {
		by = r.Sent
	}
	_ = a.conn.SetWriteDeadline(by)
	if length <= smallRequest {
		for _, p := range r.Body {
			head = append(head, p...)
		}
		_, err := a.conn.Write(head)
		return err
	}
	if _, err := a.conn.Write(head); err != nil {
		return err
	}
	for _, p := range r.Body {
		if len(p) == 0 {
			continue
		}
		if _, err := a.conn.Write(p); err != nil {
			return err
		}
	}
	return nil
}

func (a *Attempt) head(dst []byte, r *Request, length int) []byte {
	dst = append(dst, r.Method...)
	dst = append(dst, ' ')
	dst = append(dst, a.server.base...)
	dst = append(dst, r.Path...)
	if len(r.Query) > 0 {
		dst = append(dst, '?')
		dst = append(dst, r.Query...)
	}
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, a.server.host...)
	dst = append(dst, "\r\n"...)
	dst = append(dst, a.server.lines...)
	dst = append(dst, r.Header...)
	if length > 0 || r.Method == fasthttp.MethodPost {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(length), 10)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// maxInterim bounds the 1xx answers before the real one.
const maxInterim = 16

func (a *Attempt) readHead() *failure.Error {
	a.br = acquireReader(a.conn)
	for range maxInterim {
		if err := a.Head.Read(a.br); err != nil {
			return a.headFault(err)
		}
		if s := a.Head.StatusCode(); s >= 200 {
			a.body.start(a.br, a.Head.ContentLength(), s == 204 || s == 304)
			return nil
		}
	}
	return failure.New(failure.BadAnswer, "The inference engine sent no final answer.")
}

func (a *Attempt) headFault(err error) *failure.Error {
	switch {
	case isTimeout(err):
		return failure.New(failure.FirstEventTimeout, "The inference engine did not answer in time.").Because(err)
	case !a.conn.got || lost(err):
		return failure.New(failure.ConnectionLost, "The connection to the inference engine was lost before it answered.").Because(err)
	default:
		return failure.New(failure.BadAnswer, "The inference engine's answer is not valid HTTP.").Because(err)
	}
}

// EndsByClose says whether only the end of the connection ends the body, so that a cut one cannot be told from a whole one.
func (a *Attempt) EndsByClose() bool { return a.body.frame == byClose }

// Read appends to dst what has come, waiting at most Between (or until First before the first byte); see body.read.
func (a *Attempt) Read(dst []byte) ([]byte, error) { return a.body.read(dst) }

// Keep arms the deadline for the next silence, which may last an eighth longer (at most a second) so that the timer is touched
// seldom.
func (a *Attempt) Keep(now time.Time) {
	slack := min(time.Second, a.between/8)
	if left := a.armed.Sub(now); a.between <= 0 || left >= a.between && left <= a.between+slack {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn != nil {
		a.armed = now.Add(a.between + slack)
		_ = a.conn.SetReadDeadline(a.armed)
	}
}

// Finish gives the connection back: to the pool when reuse is true, the answer was read to its end and neither side asked to close.
func (a *Attempt) Finish(reuse bool) {
	a.mu.Lock()
	c := a.conn
	a.conn = nil
	cancelled := a.ended != failure.None
	a.mu.Unlock()
	if c == nil {
		return
	}
	a.server.leave(a)
	reuse = reuse && !cancelled && a.body.done && a.body.frame != byClose && a.br.Buffered() == 0 && !a.Head.ConnectionClose()
	if a.br != nil {
		releaseReader(a.br)
		a.br = nil
	}
	if reuse { // a deadline left behind would make the idle connection look dead
		_ = c.SetReadDeadline(time.Time{})
	}
	a.server.release(c, reuse)
}

// Drain finishes an answer whose last event was already relayed: what follows is only the framing's end. It never keeps the client
// waiting: bytes already here are read at once, a missing end is awaited aside for at most 100 ms.
func (a *Attempt) Drain() {
	if a.body.done || a.body.ready() && a.drainOnce() {
		a.Finish(true)
		return
	}
	a.mu.Lock()
	if a.conn != nil {
		_ = a.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	}
	a.mu.Unlock()
	go func() { // owned by the attempt; ends within 100 ms
		a.drainOnce()
		a.Finish(true)
	}()
}

func (a *Attempt) drainOnce() bool {
	buf := buffers.get()
	defer buffers.put(buf)
	for {
		p, err := a.body.read(buf.b[:0])
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		if len(p) == cap(p) {
			return false
		}
		if !a.body.ready() && !a.body.done {
			return false
		}
	}
}
