package gateway

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/route"
	"github.com/warmlane/warmlane/tokenize"
)

// dispatch tries the targets of the route in order until one answers. Nothing has gone to the client yet. Where none does, the client hears
// of the last one; but a last one that could not serve the request at all says less than one before it that may do so later.
func (x *exchange) dispatch() *failure.Error {
	order := x.order()
	var able *failure.Error // of a target that serves such requests
	for i := range order {
		t, rest := &order[i], order[i+1:]
		fail := x.try(t, rest)
		if fail == nil {
			return nil
		}
		if able == nil || unable(able.Kind) || !unable(fail.Kind) {
			able = fail
		}
		if len(rest) == 0 || !passesOn(x.route.FallbackOn, fail) || x.cancelled() != failure.None {
			return able
		}
		x.passOver(t, fail)
	}
	return failure.New(failure.Internal, "The route has no target.")
}

func (x *exchange) try(t *route.Target, rest []route.Target) *failure.Error {
	x.bound, x.within = t.FirstEvent, t.Answer
	x.beyond = len(rest) > 0 && slices.Contains(x.route.FallbackOn, config.FailedTimeout)
	if t.Pool != "" {
		return x.tryPool(t, rest)
	}
	if t.Context > 0 && x.builder == nil {
		x.buildPrompt(x.view.Model, tokenize.NewEstimator())
	}
	if x.tooLong(t, rest) {
		return promptTooLong()
	}
	return x.tryProvider(t, len(rest) > 0)
}

func promptTooLong() *failure.Error {
	return failure.New(failure.ContextLength, "The prompt is too long for this model.")
}

// order is the route's targets as this request tries them.
func (x *exchange) order() []route.Target {
	if !x.route.Weighted() {
		return x.route.Targets
	}
	key := ""
	switch x.route.Sticky {
	case "consumer":
		key = x.consumer.Name
	case "user":
		key = x.view.User
	case "session":
		key = x.conversation()
	}
	if key == "" {
		return x.route.Order(rand.Float64())
	}
	const bits = 53 // of a float64 below 1
	return x.route.Order(float64(xxhash.Sum64String(x.route.Name+"\x00"+key)>>(64-bits)) / (1 << bits))
}

// conversation is the session as the first pool of the route that knows it sees it.
func (x *exchange) conversation() string {
	for i := range x.route.Targets {
		if p := x.state.pools[x.route.Targets[i].Pool]; p != nil {
			if id := x.session(p); id != "" {
				return id
			}
		}
	}
	if x.view.Session != "" {
		return x.view.Session
	}
	return x.view.User
}

// passOver notes why the next target is tried.
func (x *exchange) passOver(t *route.Target, fail *failure.Error) {
	x.g.metrics.PassedOn(t.Name(), fail.Kind.String())
	var b strings.Builder
	b.WriteString(x.rec.PassedOver)
	if b.Len() > 0 {
		b.WriteString(", ")
	}
	b.WriteString(t.Name() + "=" + fail.Kind.String())
	x.rec.PassedOver = b.String()
}

// unable says whether a failure tells that the target cannot serve such a request, now or later.
func unable(k failure.Kind) bool {
	switch k {
	case failure.ModelUnknown, failure.ModelNotFound, failure.Unsupported, failure.ContextLength:
		return true
	}
	return false
}

// passesOn says whether a failure is one of those for which the route names a further target. A model that the target does not know, or
// something else that it has not, has cost nothing and always is; of prompts that are too long the route has its own word.
func passesOn(on []config.FailedBy, fail *failure.Error) bool {
	if unable(fail.Kind) && fail.Kind != failure.ContextLength || errors.Is(fail.Err, balancer.ErrNoEndpoint) {
		return true
	}
	by := failedBy(fail.Kind)
	return by != 0 && slices.Contains(on, by) || fail.Answered != 0 && slices.Contains(on, config.FailedBy(fail.Answered))
}

func failedBy(k failure.Kind) config.FailedBy {
	switch k {
	case failure.ConnectFailed, failure.SendFailed, failure.ConnectionLost, failure.NoEndpoint:
		return config.FailedConnect
	case failure.FirstEventTimeout, failure.EngineStuck:
		return config.FailedTimeout
	case failure.EngineRefused, failure.KeysRefused, failure.Saturated:
		return config.Failed429
	case failure.EngineError, failure.EngineGone, failure.BadAnswer:
		return config.Failed5xx
	case failure.QueueFull, failure.QueueTimeout:
		return config.FailedQueue
	case failure.ContextLength:
		return config.FailedContext
	default:
		return 0
	}
}

// tooLong says whether the prompt and the answer that it asks for are longer than t can take, as far as that is known, and one of the
// targets behind it can take them.
func (x *exchange) tooLong(t *route.Target, rest []route.Target) bool {
	if len(rest) == 0 || !slices.Contains(x.route.FallbackOn, config.FailedContext) {
		return false
	}
	need := x.prompt.Tokens + x.view.MaxTokens
	fits := func(t route.Target) bool {
		most := x.state.contextOf(&t)
		return most == 0 || need <= most
	}
	return !fits(*t) && slices.ContainsFunc(rest, fits)
}

// contextOf is the longest prompt and answer together, in tokens, that the target takes; 0 where it is not known.
func (s *state) contextOf(t *route.Target) int {
	if p := s.pools[t.Pool]; t.Context == 0 && p != nil {
		return p.LongestContext()
	}
	return t.Context
}
