package gateway

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/route"
	"github.com/warmlane/warmlane/gateway/upstream"
	"github.com/warmlane/warmlane/tokenize"
)

const (
	// maxTries bounds the endpoints that one request visits in one pool, all but one of which cost it nothing but a refusal.
	maxTries = 32
	// longestFirstEvent bounds the first-event time however long the predicted wait.
	longestFirstEvent = 120 * time.Second
	// plainFirstEvent is the time for embeddings, rerank and other answers without generation.
	plainFirstEvent = 25 * time.Second
)

// tryPool tries the endpoints of a pool until one answers. rest are the targets behind it.
func (x *exchange) tryPool(t *route.Target, rest []route.Target) *failure.Error {
	p := x.state.pools[t.Pool]
	model := t.ModelFor(x.view.Model, p.lists)
	x.enterPool(p, model)
	if x.tooLong(t, rest) {
		return promptTooLong()
	}
	x.request.Elsewhere = len(rest) > 0 && slices.Contains(x.route.FallbackOn, config.Failed429)
	p.budget.Request(time.Now())
	body := x.bodyFor(model)
	var last *failure.Error
	for {
		lease, err := x.choose(p)
		if err != nil {
			if last != nil && last.Kind != failure.ConnectFailed && errors.Is(err, balancer.ErrNoEndpoint) {
				return last
			}
			return unavailable(err, last)
		}
		x.take(lease)
		server := p.servers[lease.Endpoint().Index()]
		last = x.tryEndpoint(p, server, body)
		if last == nil {
			return nil
		}
		x.settleLease(last, time.Now())
		p.nudge()
		if !x.repeat(p, server, last, len(rest) > 0) {
			return last
		}
	}
}

// enterPool makes the prompt's blocks as this pool's engines will see them, under the name by which they know the model.
func (x *exchange) enterPool(p *pool, model string) {
	x.pool, x.errand = p, nil
	x.rec.Pool, x.rec.Policy = p.Name(), p.PolicyName()
	x.lane = x.g.metrics.Lane(x.view.Model, p.Name())
	x.buildPrompt(model, p.tokens)
	x.rec.PredictedPrompt = x.prompt.Tokens
	x.request = balancer.Request{
		Prompt: &x.prompt, MaxTokens: x.view.MaxTokens, Session: x.session(p), Priority: x.priority,
		Model: model, Whole: !x.view.Stream, Only: x.held(p),
	}
}

// buildPrompt makes the prompt's blocks.
func (x *exchange) buildPrompt(model string, tokens *tokenize.Estimator) {
	x.ensureBuilder()
	x.builder.Reset()
	x.view.Source.Model = model
	x.prompt = x.builder.Build(&x.view.Source, tokens)
}

func (x *exchange) ensureBuilder() {
	if x.builder != nil {
		return
	}
	x.builder, _ = x.g.builders.Get().(*tokenize.Builder)
	if x.builder == nil {
		x.builder = new(tokenize.Builder)
	}
}

// session is the conversation by the caller's own word: a header that the pool names, a body field, or the user.
func (x *exchange) session(p *pool) string {
	for _, name := range p.cfg.Session.Headers {
		if id := x.ctx.Request.Header.Peek(name); len(id) > 0 {
			return string(id)
		}
	}
	if x.view.Session != "" {
		return x.view.Session
	}
	return x.view.User
}

// bodyFor is the request's body with the model's name at the target, asking for usage where the client did not.
func (x *exchange) bodyFor(model string) [][]byte {
	return x.view.Splice(x.body, model, x.asksUsage())
}

// asksUsage says whether usage is asked for in the client's stead: its chunk is taken out of the stream again.
func (x *exchange) asksUsage() bool {
	return x.view.Stream && !x.view.IncludeUsage && (x.ep.Family == api.Chat || x.ep.Family == api.Completions)
}

func (x *exchange) take(l *balancer.Lease) {
	x.lease = l
	d := l.Decision()
	x.rec.Endpoint, x.rec.PredictedCached = l.Endpoint().URL(), d.Matched
}

// unavailable is the failure of a pool that gives no lease.
func unavailable(err error, last *failure.Error) *failure.Error {
	var down *balancer.Unavailable
	var full *balancer.Saturated
	var crowd *balancer.QueueFull
	var late *balancer.QueueTimeout
	switch {
	case errors.Is(err, errCancelled):
		return failure.New(failure.ClientGone, "The client left.")
	case errors.As(err, &crowd):
		return failure.New(failure.QueueFull, "Too many requests wait for an inference engine. Please try again.").After(crowd.RetryAfter).Because(err)
	case errors.As(err, &late):
		return failure.New(failure.QueueTimeout, "All inference engines were busy for too long. Please try again.").After(late.RetryAfter).Because(err)
	case errors.As(err, &full):
		return failure.New(failure.Saturated, "All inference engines are busy. Please try again.").After(full.RetryAfter).Because(err)
	case errors.As(err, &down) && down.Paused:
		return failure.New(failure.Saturated, "All inference engines are busy. Please try again.").After(down.RetryAfter).Because(err)
	case errors.As(err, &down):
		if last != nil && last.Kind != failure.ConnectFailed {
			return last
		}
		return failure.New(failure.NoEndpoint, "No inference engine is available at the moment. Please try again.").After(down.RetryAfter).Because(err)
	default:
		return failure.New(failure.NoEndpoint, "No inference engine serves this request.").After(time.Second).Because(err)
	}
}

// tryServer sends the request to an engine and opens its answer.
func (x *exchange) tryServer(s *upstream.Server, path string, body [][]byte, t config.Timeouts) *failure.Error {
	r := x.requestFor(path, body)
	return x.attemptAt(s, &r, t)
}

func (x *exchange) requestFor(path string, body [][]byte) upstream.Request {
	return upstream.Request{
		Method: x.ep.Method, Path: path, Query: queryOf(&x.ctx.Request.Header), Header: x.forward(), Body: body,
		Elsewhere: x.elsewhere(),
	}
}

// attemptAt makes one attempt, whose times are set here, and takes the answer that it opens.
func (x *exchange) attemptAt(s *upstream.Server, r *upstream.Request, t config.Timeouts) *failure.Error {
	a := upstream.NewAttempt(s)
	if !x.hold(a) {
		return failure.New(failure.ClientGone, "The client left.")
	}
	x.rec.Tries++
	o, fail := x.send(a, r, t, x.lease, x.sink())
	if fail == nil {
		x.opened(&o)
	}
	return fail
}

// send sends the request and opens the answer. It changes nothing of x.
func (x *exchange) send(a *upstream.Attempt, r *upstream.Request, t config.Timeouts, l *balancer.Lease, sink api.Sink) (opening, *failure.Error) {
	now := time.Now()
	r.First, r.Sent, r.Between = now.Add(x.firstEvent(t, l)), now.Add(max(x.bound, t.FirstEvent.Std())), t.BetweenEvents.Std()
	if fail := a.Send(r); fail != nil {
		return opening{}, fail
	}
	return x.openAnswer(a, sink)
}

// elsewhere is where the request can go from the attempt that is about to begin, the first one of its endpoint.
func (x *exchange) elsewhere() upstream.Elsewhere {
	switch {
	case x.beyond:
		return upstream.Beyond
	case x.ep.Family == api.ResponseByID:
	case x.pool != nil && x.request.Only == "" && x.repeats.extra < mostExtra && x.request.Tries() < len(x.pool.servers):
		return upstream.NextDoor
	}
	return upstream.Nowhere
}

// forward are the header lines for every attempt, made once.
func (x *exchange) forward() []byte {
	if x.lines == nil {
		x.lines = forwardHeader(make([]byte, 0, 512), &x.ctx.Request.Header, x.rec.ID)
	}
	return x.lines
}

// firstEvent is how long the first byte of the answer may take: it grows with the wait that the balancer predicts.
func (x *exchange) firstEvent(t config.Timeouts, l *balancer.Lease) time.Duration {
	d := t.FirstEvent.Std()
	switch {
	case x.ep.Family == api.ResponseByID:
		return d
	case !generates(x.ep.Family):
		return min(d, plainFirstEvent)
	case x.view != nil && !x.view.Stream:
		return cmp.Or(x.within, t.Answer.Std())
	case x.bound > 0:
		return x.bound
	case l != nil:
		return max(d, min(longestFirstEvent, d+x.pool.TTFTEstimate(l)))
	}
	return d
}

func generates(f api.Family) bool {
	switch f {
	case api.Chat, api.Completions, api.Responses, api.Messages, api.Transcriptions, api.Translations, api.Speech:
		return true
	}
	return false
}
