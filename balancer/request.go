package balancer

import (
	"time"

	"github.com/warmlane/warmlane/tokenize"
)

// Request is what one caller wants, over all its attempts. The pool notes in it which endpoints have been tried, so
// the same Request is passed to every [Pool.Choose] made for that caller. One goroutine at a time.
type Request struct {
	// Prompt is the hashed prompt. It and its Blocks must not change until the last lease of the request has ended.
	// nil means a request of unknown length without blocks.
	Prompt *tokenize.Prompt
	// MaxTokens is the caller's limit on the answer in tokens; 0 when there is none.
	MaxTokens int
	// Session names the conversation for sticky policies; "" when unknown.
	Session string
	// Priority orders queued requests, lower first as in vLLM; see [LastPriority].
	Priority int
	// Model is the model or adapter as the engine will see it. Endpoints known to serve other models only are left
	// out. "" fits any endpoint.
	Model string
	// Only is the one endpoint that can serve the request, by URL, such as the one that holds a stored response; "" = any.
	Only string
	// Whole tells that the answer comes in one piece, so that no first token will be seen. Its prefill is then
	// believed done when the estimate says so.
	Whole bool
	// Elsewhere tells that the caller has other engines to go to: the request does not wait for endpoints that pause after a refusal for
	// want of capacity, or are in doubt after one.
	Elsewhere bool

	waited time.Duration // in the pool's queue so far
	tried  []int32
	counts []counted
	room   [4]int32
	id     uint64
}

// counted is a failure of this request that was held against an endpoint.
type counted struct {
	endpoint int32
	serial   uint64
}

// Tries is the number of endpoints that the request has been sent to.
func (r *Request) Tries() int { return len(r.tried) }

func (r *Request) hasTried(endpoint int) bool {
	for _, t := range r.tried {
		if int(t) == endpoint {
			return true
		}
	}
	return false
}

func (r *Request) noteTry(endpoint int) {
	if r.tried == nil {
		r.tried = r.room[:0]
	}
	r.tried = append(r.tried, int32(endpoint))
}

func (r *Request) tokens() int {
	if r.Prompt == nil || r.Prompt.Tokens < 1 {
		return 1
	}
	return r.Prompt.Tokens
}

// tooLong tells that the request and its answer are longer than e can take, while the longest context of the pool is longer.
func (r *Request) tooLong(e *Endpoint, longest int) bool {
	most := e.scraped.load.MaxModelLen
	return most > 0 && most < longest && r.tokens()+r.MaxTokens > most
}

func (r *Request) blocks() []uint64 {
	if r.Prompt == nil {
		return nil
	}
	return r.Prompt.Blocks
}

func (r *Request) tokensIn(blocks int) int {
	if r.Prompt == nil || blocks <= 0 {
		return 0
	}
	return r.Prompt.TokensIn(blocks)
}
