package balancer

import (
	"math/rand/v2"
	"time"
)

// Policy chooses among candidates. It is a pure function of the view: it keeps no state between calls and may be
// called for several pools at once. Randomness comes from the view.
type Policy interface {
	// Name is the name by which configuration and reports call the policy.
	Name() string
	// Pick returns the positions in v.Candidates of its choice and of the runner-up, -1 for a runner-up that is not
	// there. It sets the Cost of every candidate that it scored; lower is better. v has at least one candidate.
	Pick(v *View) (best, runnerUp int)
}

// Sampler is implemented by policies that lose little when a large pool shows them only the holders of the prompt,
// the least loaded endpoints and a random few. Others always see every endpoint.
type Sampler interface {
	// Samples is true when a sample of a large pool is enough.
	Samples() bool
}

// View is one choice to be made: the request and the endpoints that may take it. It is valid during one Pick.
type View struct {
	Now time.Time
	// Tokens is L, the length of the prompt in tokens.
	Tokens float64
	// Answer is o, the expected length of the answer in tokens, never more than the request allows.
	Answer float64
	// MaxTokens is the caller's limit, 0 when there is none.
	MaxTokens int
	// Blocks is the hash chain of the prompt, for policies that hash.
	Blocks []uint64
	// Session is the caller's conversation, "" when unknown.
	Session string
	// Last is the index of the endpoint that the pool chose last, -1 before the first.
	Last int
	// Endpoints is the number of endpoints of the pool, usable or not.
	Endpoints int
	// Candidates are the endpoints that passed the hard filters, in rising order of Index.
	Candidates []Candidate
	// Rand is the pool's seeded source.
	Rand *rand.Rand
}

// Candidate is what is known about one endpoint at the moment of a choice. Tokens are the gateway's estimates,
// times are seconds. Unknown values are NaN unless told otherwise.
type Candidate struct {
	// Index is the endpoint's position in the pool.
	Index int
	// Cost is set by the policy.
	Cost float64

	// InFlight is n, the requests in flight: ours, those of gateways that share with us, and a faded guess of foreign
	// ones. Own is n without the guess.
	InFlight, Own float64
	// Decoding is d, those of them past the first token.
	Decoding float64
	// Pending is A, the uncached tokens sent and not yet answered by a first token. It, Decoding, Context and Distinct
	// reckon foreign requests in as the pool's usual ones.
	Pending float64
	// Context is X, the tokens in flight: prompts and what was answered so far.
	Context float64

	// Matched is the part of the prompt that the endpoint is believed to hold, scaled by the trust in the index;
	// Blocks the number of full blocks behind it, unscaled.
	Matched float64
	Blocks  int
	// Uncached is u = L - Matched. Bought is u', the same less the credit for popular blocks; equal to Uncached
	// where the pool reckons no credit.
	Uncached, Bought float64

	// Distinct is D: Context with shared blocks counted once. New are the prompt's tokens in full blocks that nobody
	// in flight there has, Tail those below a full block. NaN when not counted.
	Distinct, New, Tail float64
	// KV is K, the capacity of the endpoint's KV memory in tokens, 0 when the engine did not tell.
	KV float64
	// KVUse is the scraped use of that memory, 0..1. Waiting and Running are the engine's own gauges.
	KVUse, Waiting, Running float64

	// Step is W, the seconds of an engine step with nothing in context. PerContext is b, what a token of context
	// adds to it. Rate is r, prefill tokens a second. Floor is al, seconds to a first token with nothing to prefill.
	Step, PerContext, Rate, Floor float64

	// Failing is the decayed number of recent failures; Penalty the same in seconds.
	Failing, Penalty float64
	// Weight is the configured share for policies that honour one, 1 by default.
	Weight float64
	// Sent is the number of requests dispatched there since start.
	Sent uint64
	// Key is a hash of the endpoint's URL, for policies that place by hash: the same after a reload, in another order
	// and in every gateway.
	Key uint64
	// Session tells that this conversation's last request went here.
	Session bool
}

// Decision is the record of one choice, for explanations, logs and metrics.
type Decision struct {
	Policy string
	// Matched and Uncached are the predicted tokens in and not in the chosen endpoint's cache.
	Matched, Uncached int
	// Cost is the policy's own measure of the choice: seconds for policies that reckon in seconds.
	Cost float64
	// RunnerUp is the URL of the second best, "" when there was none, RunnerUpCost its cost.
	RunnerUp     string
	RunnerUpCost float64
	// Candidates is the number of endpoints scored. BestMatched is the longest match among all candidates.
	Candidates  int
	BestMatched int
}
