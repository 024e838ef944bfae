package engine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// call is one HTTP request for generation: a sequence for each choice.
type call struct {
	life    *life
	family  family
	id      string
	model   string
	created int64
	usage   streamOptions
	prompt  int // tokens of all prompts together
	seqs    []sequence
	watch   *watch
	wake    chan struct{} // tells the writer that a sequence moved on
	gone    chan struct{} // closed when the client left

	mu  sync.Mutex // guards cut and what deliver writes
	cut bool       // end now, as if complete
}

// sequence is one choice of a call.
type sequence struct {
	call   *call
	req    Request
	answer answer

	ready  int           // tokens that came out; guarded by call.mu, like the times
	first  time.Duration // when the first one came out
	end    time.Duration // when the last one came out
	cached int           // prompt tokens found in the cache
	sent   int           // the writer's
}

// deliver books a token and wakes the writer.
func (q *sequence) deliver(e Event) {
	q.call.mu.Lock()
	q.ready = e.Index
	if e.Index == 1 {
		q.first, q.cached = e.At, e.Request.Cached
	}
	if e.Last {
		q.end = e.At
		if q.answer.cut {
			q.call.life.lengthEnds.Add(1)
		}
	}
	q.call.mu.Unlock()
	q.call.signal()
}

func (c *call) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// state returns what the writer of sequence i may know now.
func (c *call) state(i int) (ready int, finished bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seqs[i].ready, c.seqs[i].end != 0
}

func (c *call) isCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// finished reports whether every sequence has come to its end.
func (c *call) finished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.seqs {
		if c.seqs[i].end == 0 {
			return false
		}
	}
	return true
}

// wait blocks until all sequences have finished; false: client, stream or engine ended before.
func (c *call) wait() bool {
	for !c.finished() {
		select {
		case <-c.wake:
			if c.isCut() {
				return false
			}
		case <-c.gone:
			return false
		case <-c.life.dead:
			return false
		}
	}
	return true
}

// counts returns the usage figures so far.
func (c *call) counts() (prompt, completion, cached int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.seqs {
		completion += c.seqs[i].ready
		cached = max(cached, c.seqs[i].cached)
	}
	return c.prompt, completion, min(cached, c.prompt)
}

// emitted books the lag of a first or last token that is being written now.
func (c *call) emitted(i int, last bool) {
	now := c.life.now()
	c.mu.Lock()
	due := c.seqs[i].first
	if last {
		due = c.seqs[i].end
	}
	arrived := c.seqs[i].req.Arrived
	c.mu.Unlock()
	c.life.s.lag.add(arrived, due, max(now, due))
}

// newCall prepares a call for prompts, n answers to each; nothing is submitted yet.
func (l *life) newCall(ctx *fasthttp.RequestCtx, f family, b *body, prompts [][]uint32, key func(prompt int) uint64) (*call, *problem) {
	longest, total := 0, 0
	for _, p := range prompts {
		longest = max(longest, len(p))
		total += len(p)
	}
	want, p := l.s.limits(b, longest)
	if p != nil {
		return nil, p
	}
	n := 1
	if b.N != nil {
		n = *b.N
	}
	model, root := l.s.model(b)
	c := &call{
		life: l, family: f, model: model, created: time.Now().Unix(), prompt: total,
		id:   f.prefix() + requestID(ctx),
		seqs: make([]sequence, n*len(prompts)),
		wake: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	if b.StreamOptions != nil {
		c.usage = *b.StreamOptions
	}
	for i := range c.seqs {
		prompt := prompts[i/n]
		q := &c.seqs[i]
		q.call = c
		q.answer = newAnswer(key(i/n)+uint64(i%n), l.s.cfg.OutputMean, want, f == completionFamily)
		tokens := make([]uint32, 0, len(prompt)+len(q.answer.words))
		tokens = q.answer.appendTokens(append(tokens, prompt...))
		q.req = Request{
			Prompt: len(prompt), Output: len(q.answer.words), Tag: q,
			Blocks: HashBlocks(make([]uint64, 0, len(tokens)/16), root, tokens, 16),
		}
	}
	return c, nil
}

// model returns the name to answer with and the root of the hash chain: adapters and salts have caches of their own,
// aliases share one.
func (s *Server) model(b *body) (name string, root uint64) {
	name = b.Model
	fill(&name, s.cfg.Model)
	root = hashString(1, "")
	for _, adapter := range s.cfg.Adapters {
		if adapter == name {
			root = hashString(2, adapter)
		}
	}
	if b.CacheSalt != nil {
		root = hashString(root, *b.CacheSalt)
	}
	return name, root
}

// requestID returns the id that the request brought, or a new one.
func requestID(ctx *fasthttp.RequestCtx) string {
	if id := ctx.Request.Header.Peek("X-Request-Id"); len(id) > 0 {
		return string(id)
	}
	return fmt.Sprintf("%016x", rand.Uint64())
}

// run submits the call and answers it, streamed or whole. The watch lives until the answer is out.
func (c *call) run(ctx *fasthttp.RequestCtx, stream bool) {
	l := c.life
	c.watch = startWatch(ctx.Conn(), func() {
		close(c.gone)
		l.leave(c)
	})
	if p := l.submit(c); p != nil {
		c.watch.stop()
		c.refuse(ctx, p, stream)
		return
	}
	if stream {
		ctx.SetContentType("text/event-stream; charset=utf-8")
		ctx.Response.ImmediateHeaderFlush = true
		ctx.SetBodyStream(&eventStream{call: c}, -1)
		return
	}
	ok := c.wait()
	c.watch.stop()
	l.leave(c)
	if !ok {
		ctx.SetConnectionClose()
		l.s.fail(ctx, internalError("EngineCore encountered an issue. See stack trace (above) for the root cause."))
		return
	}
	for i := range c.seqs {
		c.emitted(i, true)
	}
	c.orca(ctx)
	writeJSON(ctx, 200, c.appendWhole(nil))
}

// refuse answers a call that was not admitted.
func (c *call) refuse(ctx *fasthttp.RequestCtx, p *problem, stream bool) {
	s := c.life.s
	if s.cfg.Dialect == SGLang && p.status == 503 {
		p.message, p.kind = "The request queue is full.", "SERVICE_UNAVAILABLE"
	}
	if stream && (s.cfg.RejectInStream || s.cfg.Dialect == SGLang) && p.status == 503 {
		ctx.SetContentType("text/event-stream; charset=utf-8")
		ctx.SetBody(p.appendEvent(nil, s.cfg.Dialect))
		return
	}
	s.fail(ctx, p)
}

// orca adds the load report that a client may ask for on whole answers.
func (c *call) orca(ctx *fasthttp.RequestCtx) {
	c.life.mu.Lock()
	g := c.life.gauges
	c.life.mu.Unlock()
	switch string(ctx.Request.Header.Peek("endpoint-load-metrics-format")) {
	case "TEXT":
		ctx.Response.Header.Set("endpoint-load-metrics", fmt.Sprintf(
			"TEXT named_metrics.num_requests_waiting=%s, named_metrics.kv_cache_usage_perc=%s", number(float64(g.Waiting)), number(g.KVUse)))
	case "JSON":
		ctx.Response.Header.Set("endpoint-load-metrics", fmt.Sprintf(
			`JSON {"named_metrics": {"num_requests_waiting": %s, "kv_cache_usage_perc": %s}}`, number(float64(g.Waiting)), number(g.KVUse)))
	}
}
