package gateway

import (
	"cmp"
	"context"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
	"github.com/warmlane/warmlane/tokenize"
)

// bytesPerToken is how long a token is in an answer that came whole without usage, its JSON included.
const bytesPerToken = 6

// admit takes the request's place in its limits.
func (x *exchange) admit() *failure.Error {
	if len(x.state.cfg.Limits) == 0 {
		return nil
	}
	q := limit.Query{
		Subject:   x.subject(x.view.Model),
		Generates: writes(x.ep.Family), Choices: x.view.N, MaxTokens: x.view.MaxTokens,
	}
	if x.state.limits.ReadsPrompt() {
		x.expected = x.estimatePrompt()
		q.Prompt = x.expected
	}
	fail := x.reserve(&q)
	if x.place != nil && x.place.MaxTokens > 0 {
		x.view.Bound(x.place.MaxTokens)
	}
	return fail
}

// reserve asks the limits for the request's place.
func (x *exchange) reserve(q *limit.Query) *failure.Error {
	if len(x.state.cfg.Limits) == 0 {
		return nil
	}
	place, fail := x.state.limits.Reserve(context.Background(), q)
	x.place = place
	return fail
}

// writes says whether answers of the family are text that counts as output.
func writes(f api.Family) bool {
	return f == api.Chat || f == api.Completions || f == api.Responses || f == api.Messages
}

// estimatePrompt is how many tokens the prompt has, as the first target's engines are known to count.
func (x *exchange) estimatePrompt() int {
	var estimator *tokenize.Estimator
	if p := x.state.pools[x.route.Targets[0].Pool]; p != nil {
		estimator = p.tokens
	}
	x.ensureBuilder()
	x.builder.Reset()
	return x.builder.Build(&x.view.Source, estimator).Tokens
}

// settleLimits gives back what the request has set aside and not used.
func (x *exchange) settleLimits(fail *failure.Error) {
	if x.place == nil {
		return
	}
	used, _ := x.used()
	x.place.Settle(used, fail == nil)
}

// used is what the request used, by the engine's count where it told one and by our own elsewhere: estimated says that some of it is. One
// that no engine has answered, or answered with an error, used nothing.
func (x *exchange) used() (u limit.Use, estimated bool) {
	if x.recited {
		return limit.Use{Recalled: true}, false
	}
	if x.relay == nil || x.relay.Attempt.Head.StatusCode() >= 400 || !works(x.ep.Family) {
		return limit.Use{}, false
	}
	u = limit.Use{Input: x.usage.Prompt, Cached: max(0, x.usage.Cached), Output: x.usage.Output}
	if u.Input < 0 {
		u.Input = x.ownPrompt()
		estimated = u.Input > 0
	}
	if u.Output < 0 && writes(x.ep.Family) {
		u.Output = len(x.whole) / bytesPerToken
		if x.relay.Stream != nil {
			u.Output = x.relay.Stream.Counted
		}
		estimated = estimated || u.Output > 0
	}
	u.Output = max(0, u.Output)
	return u, estimated
}

// works says whether an answer of the family costs an engine tokens: those that count tokens, and those of before, do not.
func works(f api.Family) bool {
	switch f {
	case api.CountTokens, api.Tokenize, api.Detokenize, api.ResponseByID:
		return false
	}
	return true
}

// ownPrompt is our own count of the prompt's tokens.
func (x *exchange) ownPrompt() int {
	if x.expected == 0 && x.prompt.Tokens == 0 && x.view != nil && x.route != nil {
		x.expected = x.estimatePrompt()
	}
	return cmp.Or(x.expected, x.prompt.Tokens)
}
