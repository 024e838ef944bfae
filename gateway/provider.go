package gateway

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/provider"
	"github.com/warmlane/warmlane/gateway/route"
	"github.com/warmlane/warmlane/gateway/upstream"
)

// outside is a provider with what it takes to reach it.
type outside struct {
	*provider.Provider
	cfg    config.Provider
	server *upstream.Server
	budget upstream.Budget // of retries
	whole  *provider.Breaker
}

// outsideIdle is how long an unused connection to a provider is kept: their front ends close theirs after a minute and more, and a
// new one costs a handshake over a long way.
const outsideIdle = 30 * time.Second

// newOutside makes a provider. It takes over what old, which may be nil, knows of the keys that the two have in common.
func newOutside(cfg config.Provider, old *outside, log *slog.Logger) (*outside, error) {
	pc := provider.Config{
		Name: cfg.Name, Kind: cfg.Kind, BaseURL: cfg.BaseURL, Region: cfg.Region, APIVersion: cfg.APIVersion,
		Organization: cfg.Organization, Project: cfg.Project,
		OnRest: func(key int, why provider.KeyFate, rest time.Duration, cause string) {
			log.Warn("provider key rests", "provider", cfg.Name, "key", key, "reason", why.String(), "rest", rest.String(), "cause", cause)
		},
	}
	for _, k := range cfg.Keys {
		pc.Keys = append(pc.Keys, provider.Key{Secret: k.Key.Reveal(), Weight: k.Weight})
	}
	p, err := provider.New(pc)
	if err != nil {
		return nil, err
	}
	health := &cfg.Health
	whole := provider.NewBreaker(provider.BreakerConfig{After: health.EjectAfter, For: health.EjectFor.Std(), Max: health.EjectMax.Std()})
	if old != nil {
		p.Keys.Inherit(old.Keys)
		if old.cfg.BaseURL == cfg.BaseURL {
			whole.Inherit(old.whole)
		}
	}
	server, err := upstream.NewServer(upstream.Config{
		URL: cfg.BaseURL, Connect: cfg.Timeouts.Connect.Std(), Idle: outsideIdle, Proxy: http.ProxyFromEnvironment,
	})
	if err != nil {
		return nil, fmt.Errorf("provider %q: %w", cfg.Name, err)
	}
	return &outside{Provider: p, cfg: cfg, server: server, whole: whole}, nil
}

// errand is one attempt at a provider, with one of its keys.
type errand struct {
	to      *outside
	sending *provider.Sending
	key     *provider.Held
	sent    time.Time
}

// tryProvider sends the request to an outside service: with the next of its keys, and with another one should that be refused. more
// says that the route has a further target. A service that is out is asked all the same where nobody else can be, unless it cannot be
// reached at all.
func (x *exchange) tryProvider(t *route.Target, more bool) *failure.Error {
	p := x.state.providers[t.Provider]
	x.pool, x.errand = nil, nil
	x.rec.Pool, x.rec.Endpoint, x.rec.Policy, x.rec.PredictedCached = p.cfg.Name, p.cfg.BaseURL, "", -1
	x.lane = x.g.metrics.Lane(x.view.Model, p.cfg.Name)
	if !p.Takes(x.ep.Family) {
		return failure.Newf(failure.Unsupported, "The provider of this model does not serve %s.", x.ep.Path)
	}
	sending, fail := p.Prepare(&provider.Asked{
		Endpoint: x.ep, View: x.view, Body: x.body, ContentType: x.ctx.Request.Header.ContentType(), ID: x.rec.ID,
		Model: t.ModelFor(x.view.Model, nil), WantsUsage: x.asksUsage(),
	})
	if fail != nil {
		return fail
	}
	now := time.Now()
	if away := p.whole.Away(now); away != nil && (away.Kind == failure.ConnectFailed || more && passesOn(x.route.FallbackOn, away)) {
		return away
	}
	p.budget.Request(now)
	fail = x.tryKeys(p, sending, more)
	switch out, back := p.whole.Settle(x.body, now, time.Now(), fail); {
	case out:
		x.g.log.Warn("provider is left alone", "provider", p.cfg.Name, "failure", fail.Kind.String(), "cause", fail.Err)
	case back:
		x.g.log.Info("provider is back", "provider", p.cfg.Name)
	}
	return fail
}

// tryKeys sends the request with one key after the other until one is not refused.
func (x *exchange) tryKeys(p *outside, sending *provider.Sending, more bool) (fail *failure.Error) {
	var tried []*provider.Held
	for again := 1; len(tried) < maxTries; {
		key := p.Keys.Take(time.Now(), tried)
		if key == nil {
			return p.Resting(fail)
		}
		fail = x.tryKey(&errand{to: p, sending: sending, key: key, sent: time.Now()})
		switch {
		case fail == nil:
			return nil
		case fail.Kind == failure.KeysRefused:
			tried = append(tried, key)
		case again == 0 || !x.onceMore(p, fail, more):
			return fail
		default:
			again--
		}
	}
	return p.Resting(fail)
}

// onceMore says whether a request that failed at a provider, though not for its key, is sent there a second time: after a connection
// that broke, which may have been an old one, and after another failure if there is no further target. It waits where it should.
func (x *exchange) onceMore(p *outside, fail *failure.Error, more bool) bool {
	switch fail.Kind {
	case failure.SendFailed, failure.ConnectionLost:
	case failure.ConnectFailed, failure.EngineError:
		if more {
			return false
		}
	default:
		return false
	}
	if !p.budget.Retry(time.Now()) {
		x.g.metrics.RetryDenied(p.cfg.Name)
		return false
	}
	return x.wait(leastWait + rand.N(mostWait-leastWait))
}

// tryKey makes one attempt with one key.
func (x *exchange) tryKey(e *errand) *failure.Error {
	credential, err := e.to.Authorize(e.sending, e.key)
	if err != nil {
		fail := failure.New(failure.KeysRefused, "The provider's key cannot be used.").Because(err)
		e.to.Settle(e.key, e.sent, fail, provider.KeyRefused)
		return fail
	}
	x.errand = e
	s := e.sending
	fail := x.attemptAt(e.to.server, &upstream.Request{
		Method: s.Method, Path: s.Path, Query: s.Query, Body: s.Body, Header: append(s.Header[:len(s.Header):len(s.Header)], credential...),
	}, e.to.cfg.Timeouts)
	if fail != nil {
		x.errand = nil
	}
	return fail
}

// prepare makes the relay judge and translate what the provider answers.
func (e *errand) prepare(r *upstream.Relay) {
	r.Verdict = func(status int, head *fasthttp.ResponseHeader, body []byte) *failure.Error {
		return e.to.Judge(e.sending, e.key, e.sent, status, head.Peek, body)
	}
	r.Redact = e.to.Redact
	if reply, translates := e.sending.Translates(); translates {
		r.Decoder = reply.Decoder()
	}
}

// streamed says whether an answer of this content type is a stream of events.
func (e *errand) streamed(contentType []byte, asked bool) bool {
	if _, translates := e.sending.Translates(); translates {
		return asked && !isMedia(contentType, "application/json")
	}
	return isMedia(contentType, "text/event-stream")
}

// answer is a whole answer in OpenAI's form.
func (e *errand) answer(body []byte, whole bool) ([]byte, *failure.Error) {
	reply, translates := e.sending.Translates()
	switch {
	case !translates:
		return body, nil
	case !whole:
		return nil, failure.New(failure.BadAnswer, "The provider's answer is too long.")
	}
	return reply.Answer(body)
}

// opened notes that an answer has begun, or come whole: the key is good.
func (e *errand) opened() { e.to.Settle(e.key, e.sent, nil, provider.KeyFine) }

// inside is the failure that an error inside an answer of status 200 stands for, before anything of it was sent.
func (e *errand) inside(se *api.StreamError) *failure.Error {
	return e.to.JudgeInside(e.key, e.sent, se)
}

// passesBack says whether a header of a provider's answer goes to the client: what describes the body, and nothing about accounts,
// limits and front ends.
func (e *errand) passesBack(name []byte) bool {
	if _, translates := e.sending.Translates(); translates {
		return false
	}
	switch string(name) {
	case "Content-Encoding", "Content-Disposition", "Content-Language", "Openai-Processing-Ms", "Openai-Version":
		return true
	}
	return false
}
