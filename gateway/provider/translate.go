// Package provider knows outside services: where they are, what they speak, and with which of several keys.
package provider

import (
	"time"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

// Translator turns OpenAI's chat/completions (and embeddings, where the provider has them) into the protocol of one kind of
// provider and the answers back. It is pure: no I/O, no clock, no credential. One Translator serves all requests of a provider.
//
// What its user does around it, for each attempt:
//
//  1. Takes tells whether the API family can be translated; if not, the target is left out.
//  2. Request makes the Call. A failure is the caller's own or what the provider lacks (400), and no reason to cool a key.
//  3. The request goes to the provider's base URL (BaseURL unless configured) + Call.Path + "?" + Call.Query, with Call.Header,
//     Content-Length and Host. Nothing of the client's headers is needed; its credentials must not go.
//  4. Authorize makes the header lines of the credential, after everything else is known: Bedrock signs path, query and body.
//  5. Status >= 300: Call.Failure judges head and body, in place of the rules for engines.
//  6. A status of 2xx to a Query with Stream, unless its content type is JSON: the body's bytes go through Call.Decoder, whose output
//     is an OpenAI stream with usage chunk and [DONE], for api.Stream as usual (which takes the usage chunk out again, judges the
//     end, and finds errors sent in the stream). The client's content type is text/event-stream.
//  7. Any other 2xx: Call.Answer turns the whole body into OpenAI's JSON, for api.Inspect as usual. The client's content type is
//     application/json. None of the provider's headers passes.
type Translator interface {
	// Takes says whether requests of that family can be translated.
	Takes(f api.Family) bool
	// Request translates a request. Whatever the provider cannot do, and what may not be left out silently, is Unsupported.
	Request(q *Query) (*Call, *failure.Error)
	// BaseURL is where the service is found, "" if that depends on the account.
	BaseURL() string
	// Authorize returns the header lines, each ended by CRLF, that prove key for this call to host at this time.
	Authorize(c *Call, host, key string, now time.Time) ([]byte, error)
}

// Query is one request in OpenAI's form.
type Query struct {
	Family api.Family
	Body   []byte // as the client sent it, valid JSON
	Model  string // its name at the provider
	Stream bool
	ID     string    // the gateway's request id: names the answer where the provider does not
	Now    time.Time // the answer's time of creation
}

// Call is a translated request and the way back of its answer.
type Call struct {
	Method string
	Path   string // with a slash at the start, model names escaped
	Query  string // without the question mark
	Header []byte // ready lines, each ended by CRLF; without Host, Content-Length and the credential
	Body   []byte
	Reply
}

// Reply translates the answers to one Call. It belongs to one attempt.
type Reply interface {
	// Answer turns a whole 2xx answer into OpenAI's. A failure means that the answer makes no sense, or is an error after all.
	Answer(body []byte) ([]byte, *failure.Error)
	// Decoder turns a stream into OpenAI's.
	Decoder() Decoder
	// Failure judges an answer of status >= 300. header returns a header of it, nil if absent.
	Failure(status int, header func(name string) []byte, body []byte) (*failure.Error, KeyFate)
}

// Decoder turns the bytes of a provider's stream into OpenAI's server-sent events. One Decoder is for one goroutine.
//
// Each event goes out as soon as it has come whole. An error in the stream goes out as data: {"error":{...}} without choices, with
// status_code as the HTTP status it stands for, and ends the stream. A stream that ends without its protocol's end gets neither
// a finish_reason nor [DONE], so that api.Stream finds it incomplete. Memory is bounded; an event that is too long is an error.
type Decoder interface {
	// Feed takes what the provider sent. The result is valid until the next call.
	Feed(in []byte) []byte
}

// KeyFate is what an answer says about the key that was used.
type KeyFate uint8

const (
	// KeyFine is a key that is not at fault.
	KeyFine KeyFate = iota
	// KeyLimited is a key whose rate or quota is used up for now; the failure's RetryAfter tells for how long, 0 if the provider
	// did not tell.
	KeyLimited
	// KeyRefused is a key that is wrong, revoked, or without the right, or the credit, for this.
	KeyRefused
)

// Options are what a kind needs to know of its provider.
type Options struct {
	// Region is the AWS region of a Bedrock provider.
	Region string
}

// translations are the kinds that speak another protocol than OpenAI's.
var translations = map[string]func(Options) Translator{
	"anthropic": newAnthropic,
	"gemini":    newGemini,
	"bedrock":   newBedrock,
}

// Translation returns the translator of a kind: anthropic, gemini or bedrock. It is false for kinds that speak OpenAI's protocol.
func Translation(kind string, o Options) (Translator, bool) {
	if translator, ok := translations[kind]; ok {
		return translator(o), true
	}
	return nil, false
}
