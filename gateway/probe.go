package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/upstream"
	"github.com/warmlane/warmlane/tokenize"
)

// runProbes does the probes that the pool's balancer asks for, until ctx ends.
func (g *Gateway) runProbes(ctx context.Context, p *pool) {
	var probing sync.WaitGroup
	defer probing.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-p.wake:
		}
		now := time.Now()
		for _, due := range p.Due(now) {
			probing.Go(func() { g.probe(ctx, p, due) })
		}
		g.moveStuck(p, now)
		g.tellOuts(p, now)
		timer.Reset(max(10*time.Millisecond, time.Until(p.Wake(now))))
	}
}

// moveStuck lets requests go elsewhere that wait for an endpoint which is found stuck, as many as the budget of retries has room for; the
// others wait on until it has.
func (g *Gateway) moveStuck(p *pool, now time.Time) {
	stuck, others := p.Stuck()
	for _, e := range stuck {
		n := p.servers[e.Index()].Move(others > 0, func() bool { return p.budget.Retry(now) })
		if n > 0 {
			g.log.Warn("endpoint is stuck", "pool", p.Name(), "endpoint", e.URL(), "requests_moved", n)
		}
	}
}

// probe does one and tells the balancer. Open streams of an engine that is found dead are ended: it may keep them open for ever.
func (g *Gateway) probe(ctx context.Context, p *pool, due balancer.Probe) {
	if due.Kind == balancer.ProbeHealth {
		due.Timeout = p.cfg.Health.Timeout.Std()
	}
	ctx, cancel := context.WithTimeout(ctx, due.Timeout)
	defer cancel()
	server, how := p.servers[due.Endpoint.Index()], p.spoken.Load()
	if how == nil && (due.Proof || p.cfg.Health.Generate && due.Kind != balancer.ProbeDial) {
		how = &spoken{api.Chat, p.served()}
	}
	var err error
	switch {
	case due.Kind == balancer.ProbeDial:
		err = server.Reach(ctx)
	case how != nil && (due.Kind == balancer.ProbeGenerate || p.cfg.Health.Generate):
		if err = g.generate(ctx, p, how, server, due); errors.Is(err, errNotTaken) {
			err = get(ctx, server, p.cfg.Health.Path, due.Timeout)
		}
	default: // nobody knows that the engines generate at all
		err = get(ctx, server, p.cfg.Health.Path, due.Timeout)
	}
	if refused := new(failure.Error); errors.As(err, &refused) && refused.Kind == failure.ConnectFailed {
		err = fmt.Errorf("%w: %w", balancer.ErrRefused, err)
	}
	if p.Probed(due, err, time.Now()) {
		n := server.EndAll(failure.EngineDead)
		g.log.Warn("endpoint is dead", "pool", p.Name(), "endpoint", due.Endpoint.URL(), "streams_ended", n, "err", err)
	}
}

// get asks for a path and wants a status below 400.
func get(ctx context.Context, s *upstream.Server, path string, timeout time.Duration) error {
	return exchangeOnce(ctx, s, &upstream.Request{Method: "GET", Path: path, First: time.Now().Add(timeout), Between: timeout})
}

// exchangeOnce makes a request of the gateway's own and reads the answer away.
func exchangeOnce(ctx context.Context, s *upstream.Server, r *upstream.Request) error {
	a := upstream.NewAttempt(s)
	defer context.AfterFunc(ctx, func() { a.Cancel(failure.FirstEventTimeout) })()
	if fail := a.Send(r); fail != nil {
		return fail
	}
	relay := &upstream.Relay{Attempt: a}
	defer relay.Abandon()
	if status := a.Head.StatusCode(); status >= 400 {
		return fmt.Errorf("status %d", status)
	}
	if _, _, fail := relay.Whole(1 << 20); fail != nil {
		return fail
	}
	return nil
}

// generate asks an endpoint for a few tokens, so that its speed stays known, or for one to see that it works. It carries its own
// request id and a lease, by which the learner sees it, and stands in no report.
func (g *Gateway) generate(ctx context.Context, p *pool, how *spoken, s *upstream.Server, due balancer.Probe) error {
	prompt := tokenize.Prompt{Tokens: probePrompt}
	tokens := probeAnswer
	if due.Kind == balancer.ProbeHealth {
		tokens = 1
	}
	lease := p.ProbeLease(due, &balancer.Request{Prompt: &prompt, MaxTokens: tokens, Model: how.model}, time.Now())
	o := balancer.Outcome{PromptTokens: -1, CachedTokens: -1, OutputTokens: -1, Streamed: true}
	err := g.generateWith(ctx, how, tokens, s, due.Timeout, lease)
	if err != nil {
		o.Cause = balancer.Cancelled // the probe's own error tells the balancer what it must know
	}
	if errors.Is(err, errNotTaken) {
		p.spoken.CompareAndSwap(how, nil) // until a caller is answered again
	}
	lease.End(o, time.Now())
	return err
}

// errNotTaken is an engine that works but does not take the probe: an adapter may have been unloaded.
var errNotTaken = errors.New("the engine does not take the generation")

func (g *Gateway) generateWith(
	ctx context.Context, how *spoken, tokens int, s *upstream.Server, timeout time.Duration, lease *balancer.Lease,
) error {
	a := upstream.NewAttempt(s)
	defer context.AfterFunc(ctx, func() { a.Cancel(failure.FirstEventTimeout) })()
	path, prompt := how.ask()
	body := fmt.Appendf(nil, `{"model":%q,%s,"max_tokens":%d,"stream":true,"temperature":0}`, how.model, prompt, tokens)
	fail := a.Send(&upstream.Request{
		Method: "POST", Path: path, Body: [][]byte{body}, First: time.Now().Add(timeout), Between: timeout,
		Header: []byte("Content-Type: application/json\r\nX-Request-Id: warmlane-probe-" + newID() + "\r\n"),
	})
	if fail != nil {
		return fail
	}
	defer a.Finish(true)
	switch status := a.Head.StatusCode(); {
	case status >= 500 || status == fasthttp.StatusTooManyRequests:
		return fmt.Errorf("status %d", status)
	case status >= 400:
		return fmt.Errorf("%w: status %d", errNotTaken, status)
	}
	stream := api.NewStream(how.family, 1, false)
	buf := make([]byte, 0, 4<<10)
	for {
		got, err := a.Read(buf[:0])
		stream.Feed(got, nil)
		now := time.Now()
		if stream.FirstEvent && stream.Err == nil {
			lease.FirstToken(now) // only the first call counts
		}
		if stream.LastTokens > 0 {
			lease.Token(now, stream.LastTokens)
		}
		switch {
		case stream.Err != nil:
			return stream.Err
		case err == nil:
		case !errors.Is(err, io.EOF):
			return err
		case !stream.Complete:
			return errors.New("the generation ended too early")
		default:
			return nil
		}
	}
}

const (
	probePrompt = 32
	probeAnswer = 8
	probeText   = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen " +
		"seventeen eighteen nineteen twenty one two three four five six seven eight"
)

// spoken is a way in which the engines of a pool have answered with a generation.
type spoken struct {
	family api.Family // Chat or Completions
	model  string     // as the engines know it
}

// ask is the path and the prompt of a probe.
func (s *spoken) ask() (path, prompt string) {
	if s.family == api.Chat {
		return "/v1/chat/completions", fmt.Sprintf(`"messages":[{"role":"user","content":%q}]`, probeText)
	}
	return "/v1/completions", fmt.Sprintf(`"prompt":%q`, probeText)
}

// answered notes an answer, by which generation probes are made. The pool's own model goes before adapters, which only some engines may have.
func (p *pool) answered(f api.Family, model string) {
	if f != api.Chat && f != api.Completions {
		return
	}
	known := p.spoken.Load()
	if known == nil || known.model != model && model == p.served() {
		p.spoken.Store(&spoken{f, model})
	}
}

// served is the model's name as the engines know it.
func (p *pool) served() string {
	if p.cfg.ServedModel != "" {
		return p.cfg.ServedModel
	}
	return p.cfg.Name
}
