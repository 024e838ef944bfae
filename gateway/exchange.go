package gateway

import (
	"net/netip"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/cache"
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/guard"
	"github.com/warmlane/warmlane/gateway/identity"
	"github.com/warmlane/warmlane/gateway/limit"
	"github.com/warmlane/warmlane/gateway/observe"
	"github.com/warmlane/warmlane/gateway/route"
	"github.com/warmlane/warmlane/gateway/upstream"
	"github.com/warmlane/warmlane/tokenize"
)

// exchange is one request on its way and everything that belongs to it. It is used by the goroutine of its connection, but for
// cancel. end releases it all, once, on every path.
type exchange struct {
	g     *Gateway
	state *state
	ctx   *fasthttp.RequestCtx
	rec   observe.Record

	ep       api.Endpoint
	consumer identity.Consumer
	app      string // the application that calls, by the name after the model's @ or X-Dify-App-Id; "" = it does not say
	body     []byte
	view     *api.View
	priority int // in a pool's queue
	route    *route.Route
	place    *limit.Reservation // nil: no limit matched
	guard    *guard.Session     // nil: no rule looks at it
	expected int                // tokens of the prompt, as limits were told

	recording *cache.Recording // of the answer, for equal requests; nil: none
	recited   bool             // the answer came from the cache

	builder *tokenize.Builder // pooled; its blocks belong to the lease until end
	prompt  tokenize.Prompt
	request balancer.Request
	repeats repeats
	bound   time.Duration // of the target on a stream's first event, 0 for none
	within  time.Duration // of the target on an answer in one piece, 0 for none
	beyond  bool          // a further target takes what waited here in vain
	pool    *pool         // of the attempt in hand, nil at a provider
	lease   *balancer.Lease
	errand  *errand // of the attempt in hand, nil at a pool
	opening         // of the answer that is sent
	lines   []byte  // header lines for the engines
	lane    *observe.Lane
	last    time.Time // of the last event
	passed  int       // output tokens that came after the first event
	armed   time.Time // write deadline in force

	watch *watch
	ended bool

	mu      sync.Mutex // guards the fields below
	attempt *upstream.Attempt
	second  *upstream.Attempt // beside it, where the pool hedges
	gone    failure.Kind      // why the request was cancelled
	parked  chan struct{}     // closed when it is cancelled in a queue
}

// begin takes a request in.
func (g *Gateway) begin(ctx *fasthttp.RequestCtx) *exchange {
	x := &exchange{g: g, ctx: ctx, opening: opening{usage: api.NoUsage}}
	x.rec = observe.NewRecord(time.Now(), requestID(&ctx.Request.Header))
	x.rec.Path = string(pathOf(&ctx.Request.Header))
	g.metrics.Began()
	g.enter(x)
	return x
}

// cancel ends the request for the reason k, in whatever phase it is. It may be called from any goroutine until end.
func (x *exchange) cancel(k failure.Kind) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone == failure.None {
		x.gone = k
	}
	for _, a := range []*upstream.Attempt{x.attempt, x.second} {
		if a != nil {
			a.Cancel(k)
		}
	}
	x.unpark()
}

// hold makes a the attempt that cancel ends; false when the request was cancelled before.
func (x *exchange) hold(a *upstream.Attempt) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.attempt = a
	return x.gone == failure.None
}

// holdSecond is hold for an attempt beside that one.
func (x *exchange) holdSecond(a *upstream.Attempt) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.second = a
	return x.gone == failure.None
}

func (x *exchange) cancelled() failure.Kind {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.gone
}

// watchClient begins to look for the client's leaving.
func (x *exchange) watchClient() {
	x.watch = newWatch(x.ctx.Conn(), x.state.cfg.Server.HalfClose, func() { x.cancel(failure.ClientGone) })
	if x.watch != nil {
		x.g.watcher.add(x.watch)
	}
}

// Progress is told by the relay that output of n tokens came.
func (x *exchange) Progress(now time.Time, n int) {
	if n <= 0 {
		return
	}
	if x.lease != nil {
		x.lease.Token(now, n)
	}
	x.lane.InterToken(now.Sub(x.last))
	x.last = now
	x.passed += n
}

// Writing arms the deadline of the next write to the client, at most once in half its time.
func (x *exchange) Writing(now time.Time) {
	patience := x.state.cfg.Server.WriteTimeout.Std()
	if x.armed.Sub(now) < patience/2 {
		x.armed = now.Add(patience)
		_ = x.ctx.SetWriteDeadline(x.armed)
	}
}

// Closed is told by the relay that the answer has ended.
func (x *exchange) Closed(fail *failure.Error, sent int64) {
	x.rec.BytesOut = sent
	if s := x.relay.Stream; s != nil {
		x.usage, x.reasoned = s.Usage, s.Reasoned
		if s.ResponseID != "" && x.ep.Family == api.Responses {
			x.remember(s.ResponseID)
		}
	}
	x.end(fail)
}

// Text and Tool take the answer as it passes: it extends the prompt's chain for the next turn.
func (x *exchange) Text(decoded []byte) { x.builder.AnswerText(decoded) }

// Tool is the part of Text for tool calls.
func (x *exchange) Tool(name, args []byte) { x.builder.AnswerTool(name, args) }

// end settles everything that the request holds, whatever the end.
func (x *exchange) end(fail *failure.Error) {
	if x.ended {
		return
	}
	x.ended = true
	x.watch.stop()
	now := time.Now()
	defer x.leave() // the last of what follows comes first; each is done whatever becomes of the others
	defer x.record(fail, now)
	defer x.g.bodies.release(&x.ctx.Request.Header)
	defer x.account(fail)
	defer x.settleLimits(fail)
	defer x.keepAnswer(fail == nil, now)
	x.settleLease(fail, now)
}

func (x *exchange) leave() {
	x.g.leave(x)
	if x.builder != nil {
		x.g.builders.Put(x.builder)
		x.builder = nil
	}
}

// settleLease gives the endpoint back, with what is known of the answer.
func (x *exchange) settleLease(fail *failure.Error, now time.Time) {
	if x.lease == nil {
		return
	}
	o := balancer.Outcome{
		PromptTokens: x.usage.Prompt, CachedTokens: x.usage.Cached, OutputTokens: x.usage.Output,
		Streamed: x.view != nil && x.view.Stream,
	}
	if fail != nil {
		o.Cause, o.RetryAfter = upstream.CauseOf(fail.Kind), fail.RetryAfter
	} else {
		x.pool.answered(x.ep.Family, x.request.Model)
		if !x.reasoned {
			o.Answer = x.builder.AnswerBlocks()
		}
	}
	if x.usage.Prompt > 0 && x.prompt.Bytes > 0 {
		x.pool.tokens.Observe(x.prompt.Bytes, x.usage.Prompt)
	}
	x.lease.End(o, now)
	x.lease = nil
}

// record writes the access line and the metrics.
func (x *exchange) record(fail *failure.Error, now time.Time) {
	r := &x.rec
	r.Total = now.Sub(r.Time)
	r.PromptTokens, r.CachedTokens, r.OutputTokens = x.usage.Prompt, x.usage.Cached, x.usage.Output
	if x.guard != nil {
		r.Guard = ruled(x.guard)
	}
	if fail != nil {
		r.Failure = fail.Kind.String()
		if fail.Err != nil {
			r.Cause = fail.Err.Error()
		}
		r.Ended = endedBy(fail.Kind)
	}
	x.g.metrics.Record(r)
	x.g.access.Write(r)
	x.trace()
}

func endedBy(k failure.Kind) observe.Ender {
	switch k {
	case failure.ClientGone, failure.ClientStalled:
		return observe.EndedByClient
	case failure.StreamCut, failure.StreamIncomplete, failure.EngineStreamError, failure.EngineError, failure.EngineDead,
		failure.ConnectionLost, failure.EngineGone, failure.EngineRefused, failure.ConnectFailed, failure.SendFailed, failure.BadAnswer,
		failure.KeysRefused, failure.EngineStuck:
		return observe.EndedByEngine
	default:
		return observe.EndedByGateway
	}
}

// subject is the request as conditions look at it.
func (x *exchange) subject(model string) config.Subject {
	return config.Subject{
		Model: model, Path: x.rec.Path, Consumer: x.consumer.Name, User: x.user(), App: x.app, Route: x.rec.Route,
		IP: x.clientIP(), Headers: &x.ctx.Request.Header, Args: x.ctx.QueryArgs(),
	}
}

// user is who calls on the consumer's behalf: by its token, else by the request's own word.
func (x *exchange) user() string {
	if x.consumer.User != "" || x.view == nil {
		return x.consumer.User
	}
	return x.view.User
}

func (x *exchange) clientIP() netip.Addr {
	return clientIP(x.ctx, x.state.cfg.Server.TrustedProxies)
}
