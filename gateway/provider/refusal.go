package provider

import (
	"strings"
	"time"

	"github.com/warmlane/warmlane/gateway/failure"
)

// maxRetryAfter bounds what is believed of a provider's Retry-After.
const maxRetryAfter = 24 * time.Hour

// refusal is a provider's error, whatever its protocol.
type refusal struct {
	status     int    // HTTP, as it came or as the protocol's table has it for the type
	kind       string // its type in the provider's own words
	message    string
	retryAfter time.Duration
	badKey     bool // the type says that the key is at fault, whatever the status
}

// tooLong are the words of providers for a prompt that exceeds the model's context. They are looked for in refusals of status 400 and
// 413 only.
var tooLong = []string{
	"prompt is too long",               // Anthropic, and Claude at Bedrock
	"exceed context limit",             // Anthropic: input length and `max_tokens` exceed context limit
	"input token count",                // Gemini: The input token count (N) exceeds the maximum number of tokens allowed (M).
	"input is too long",                // Bedrock: Input is too long for requested model.
	"too many input tokens",            // Bedrock
	"maximum context length",           // Mistral and others at Bedrock
	"exceeds the maximum input length", // Titan at Bedrock
}

// judge is the failure that a refusal stands for, and what it says about the key.
func (r *refusal) judge() (*failure.Error, KeyFate) {
	words := strings.ToLower(r.message)
	switch {
	case r.status < 400:
		return failure.New(failure.BadAnswer, "The provider answered with a redirect."), KeyFine
	case r.badKey, r.status == 401, r.status == 402, r.status == 403, r.status == 400 && strings.Contains(words, "credit balance is too low"):
		// The key is the gateway's: its words may quote it, and the caller must not take it for his own.
		return failure.New(failure.KeysRefused, "The provider refuses the gateway's key.").Because(r.cause()), KeyRefused
	case r.status == 429:
		e := failure.New(failure.KeysRefused, "The provider's limit is reached. Please try again.").After(r.retryAfter).Because(r.cause())
		e.Status = 429
		return e, KeyLimited
	case r.status == 503, r.status == 529:
		return r.fail(failure.EngineRefused, 503), KeyFine
	case r.status == 404:
		return r.fail(failure.ModelNotFound, 404), KeyFine
	case r.status == 408, r.status == 504:
		return r.fail(failure.EngineError, 504), KeyFine
	case r.status == 501:
		return r.fail(failure.Unsupported, 501), KeyFine
	case r.status == 424, r.status >= 500:
		return r.fail(failure.EngineError, 502), KeyFine
	}
	e := r.fail(failure.BadRequest, r.status)
	for _, t := range tooLong {
		if strings.Contains(words, t) {
			e.Kind = failure.ContextLength
		}
	}
	return e, KeyFine
}

// cause is what the log says of a refused key.
func (r *refusal) cause() error {
	return &keyRefusal{r.status, saidError{message: clip(r.message), kind: r.kind}}
}

func (r *refusal) fail(k failure.Kind, status int) *failure.Error {
	e := failure.New(k, clip(r.message))
	if e.Message == "" {
		e.Message = "The provider failed."
	}
	e.Status, e.RetryAfter = status, r.retryAfter
	return e
}

// readRetryAfter reads a Retry-After header. Without a clock a date says nothing; these providers use seconds.
func readRetryAfter(v []byte) time.Duration { return failure.ParseRetryAfter(v, time.Time{}) }

// malformedAnswer is the failure of an answer that is not what the protocol says.
func malformedAnswer(err error) *failure.Error {
	return failure.New(failure.BadAnswer, "The provider's answer is malformed.").Because(err)
}
