// Package failure is the one table that maps whatever can go wrong with a request to what the client sees
// (status, OpenAI error type and code), whether another endpoint may be tried, and the label under which it is counted.
//
// It imports nothing of ours, so every room of the gateway can speak of failures in the same words.
package failure

import (
	"cmp"
	"fmt"
	"time"
)

// Retry says whether a failed attempt may be repeated on another endpoint or target.
type Retry uint8

const (
	// RetryNever marks failures that are the client's own or that came after the first event.
	RetryNever Retry = iota
	// RetryAlways marks attempts whose work never reached an engine: repeating them costs nothing.
	RetryAlways
	// RetryBudgeted marks attempts that an engine accepted but that sent no byte: repeated within the retry budget.
	RetryBudgeted
)

// Kind names one way to fail. The zero Kind is no failure.
type Kind uint8

// The kinds, in the order in which a request can meet them.
const (
	None              Kind = iota
	BadFraming             // the HTTP message itself is ambiguous or malformed
	HeadersTooLarge        // request line and headers exceed the limit
	RequestTimeout         // the client sent its request too slowly
	PathNotFound           // no such path
	MethodNotAllowed       // the path exists with another method
	Unauthorized           // no key, or one that nobody has
	Forbidden              // the key is good but may not do this
	BodyTooLarge           // the body exceeds max_body
	MemoryFull             // bodies in memory exceed max_body_total
	BadMediaType           // content type that the path does not take
	BadRequest             // malformed JSON or a field of the wrong kind
	ModelNotFound          // nobody serves this model
	ModelUnknown           // the engine or provider does not know this model
	ContextLength          // the prompt is too long for the engine or provider
	Unsupported            // the engine or provider cannot do what the request asks for
	ResponseNotFound       // a response id that is unknown or whose endpoint is gone
	RateLimited            // a configured limit refuses
	ContentRefused         // a content rule refuses the request or its answer
	QuotaUsedUp            // a configured quota of the calendar, or for ever, refuses
	LimitsAway             // a limit cannot be counted and refuses therefore
	Draining               // this gateway is shutting down
	NoEndpoint             // no endpoint can take the request
	Saturated              // every endpoint is at its cap or pauses, and the request may not wait
	QueueFull              // too many requests wait for an endpoint already
	QueueTimeout           // no endpoint had room within the longest wait
	ConnectFailed          // the endpoint could not be reached
	SendFailed             // the connection broke while the request was sent
	ConnectionLost         // the connection ended before a first byte of answer
	FirstEventTimeout      // nothing came within the first-event time
	EngineStuck            // the engine gives no sign of work, and the request is to go elsewhere
	EngineRefused          // capacity refusal: 429, 503 or the same inside a stream's first event
	KeysRefused            // a provider refuses the gateway's key, and no other key is in use
	EngineGone             // the engine says that it is shutting down
	EngineError            // the engine answered 5xx, or an error as the first event
	BadAnswer              // the endpoint's answer is not HTTP, or is too large in its head
	StreamCut              // the stream broke after its first event
	StreamIncomplete       // the stream ended cleanly but without its family's end
	StreamStalled          // the stream fell silent
	EngineDead             // the stream's endpoint refuses connections: it is dead
	EngineStreamError      // the engine sent an error event in mid stream
	GatewayStopping        // the drain time is over; what is left ends
	ClientGone             // the client left
	ClientStalled          // the client did not read its answer in time
	Outrun                 // another attempt of the same request was faster; never the end of a request
	Internal               // our own fault
)

// Entry is what the table says about a kind.
type Entry struct {
	Status int    // HTTP status while the head is not yet sent
	Type   string // OpenAI error type
	Code   string // OpenAI error code
	Label  string // metric label and access-log word
	Retry  Retry
}

const (
	invalid   = "invalid_request_error"
	server    = "server_error"
	authError = "authentication_error"
)

var table = [...]Entry{
	None:              {200, "", "", "", RetryNever},
	BadFraming:        {400, invalid, "bad_http_message", "bad_framing", RetryNever},
	HeadersTooLarge:   {431, invalid, "headers_too_large", "headers_too_large", RetryNever},
	RequestTimeout:    {408, invalid, "request_timeout", "request_timeout", RetryNever},
	PathNotFound:      {404, invalid, "path_not_found", "path_not_found", RetryNever},
	MethodNotAllowed:  {405, invalid, "method_not_allowed", "method_not_allowed", RetryNever},
	Unauthorized:      {401, authError, "invalid_api_key", "unauthorized", RetryNever},
	Forbidden:         {403, "permission_error", "model_not_allowed", "forbidden", RetryNever},
	BodyTooLarge:      {413, invalid, "body_too_large", "body_too_large", RetryNever},
	MemoryFull:        {503, server, "gateway_memory_full", "memory_full", RetryNever},
	BadMediaType:      {415, invalid, "unsupported_media_type", "bad_media_type", RetryNever},
	BadRequest:        {400, invalid, "invalid_request", "bad_request", RetryNever},
	ModelNotFound:     {404, invalid, "model_not_found", "model_not_found", RetryNever},
	ModelUnknown:      {404, invalid, "model_not_found", "model_unknown", RetryNever},
	ContextLength:     {400, invalid, "context_length_exceeded", "context_length", RetryNever},
	Unsupported:       {400, invalid, "unsupported_parameter", "unsupported", RetryNever},
	ResponseNotFound:  {404, invalid, "response_not_found", "response_not_found", RetryNever},
	RateLimited:       {429, "requests", "rate_limit_exceeded", "rate_limited", RetryNever},
	ContentRefused:    {400, invalid, "content_filter", "content_refused", RetryNever},
	QuotaUsedUp:       {429, "insufficient_quota", "insufficient_quota", "quota_used_up", RetryNever},
	LimitsAway:        {503, server, "limits_away", "limits_away", RetryNever},
	Draining:          {503, server, "gateway_draining", "draining", RetryNever},
	NoEndpoint:        {503, server, "no_endpoint_available", "no_endpoint", RetryNever},
	Saturated:         {503, server, "engines_busy", "saturated", RetryNever},
	QueueFull:         {429, server, "queue_full", "queue_full", RetryNever},
	QueueTimeout:      {429, server, "queue_timeout", "queue_timeout", RetryNever},
	ConnectFailed:     {502, server, "engine_unreachable", "connect_failed", RetryAlways},
	SendFailed:        {502, server, "engine_connection_lost", "send_failed", RetryBudgeted},
	ConnectionLost:    {502, server, "engine_connection_lost", "connection_lost", RetryBudgeted},
	FirstEventTimeout: {504, server, "engine_timeout", "first_event_timeout", RetryBudgeted},
	EngineStuck:       {504, server, "engine_timeout", "engine_stuck", RetryBudgeted},
	EngineRefused:     {503, server, "engines_busy", "engine_refused", RetryAlways},
	KeysRefused:       {503, server, "provider_unavailable", "keys_refused", RetryAlways},
	EngineGone:        {503, server, "engine_shutting_down", "engine_gone", RetryAlways},
	EngineError:       {502, server, "engine_error", "engine_error", RetryBudgeted},
	BadAnswer:         {502, server, "engine_bad_answer", "bad_answer", RetryBudgeted},
	StreamCut:         {502, server, "stream_cut", "stream_cut", RetryNever},
	StreamIncomplete:  {502, server, "stream_incomplete", "stream_incomplete", RetryNever},
	StreamStalled:     {504, server, "stream_stalled", "stream_stalled", RetryNever},
	EngineDead:        {502, server, "engine_dead", "engine_dead", RetryNever},
	EngineStreamError: {502, server, "engine_error", "engine_stream_error", RetryNever},
	GatewayStopping:   {503, server, "gateway_stopping", "gateway_stopping", RetryNever},
	ClientGone:        {499, "", "", "client_gone", RetryNever},
	ClientStalled:     {499, "", "", "client_stalled", RetryNever},
	Outrun:            {500, server, "internal_error", "outrun", RetryNever},
	Internal:          {500, server, "internal_error", "internal", RetryNever},
}

// Entry returns the table's line for k.
func (k Kind) Entry() Entry {
	if int(k) >= len(table) {
		return table[Internal]
	}
	return table[k]
}

// String returns the metric label of k.
func (k Kind) String() string { return k.Entry().Label }

// Kinds returns every kind but None, in table order.
func Kinds() []Kind {
	kinds := make([]Kind, 0, len(table)-1)
	for k := range table[1:] {
		kinds = append(kinds, Kind(k+1))
	}
	return kinds
}

// Error is one failure of one request, with the words for its caller. Message is short, human and names no host:
// Dify shows it to end users.
type Error struct {
	Kind       Kind
	Message    string
	Param      string        // the field at fault, "" if none
	Status     int           // overrides the table's status when an engine's own status is passed on; 0 = the table's
	Type       string        // overrides the table's type; "" = the table's
	Code       string        // overrides the table's code; "" = the table's
	Answered   int           // the status with which an engine or provider answered; 0 = none
	RetryAfter time.Duration // when to come back; 0 = not told
	Final      bool          // a retry is useless: sent as x-should-retry: false
	Body       []byte        // an engine's own error body in OpenAI's shape, passed on as it is; nil = made from the above
	Events     bool          // Body is a stream of events
	Err        error         // the cause, for the log only
}

// New makes a failure of kind k with a message for the caller.
func New(k Kind, message string) *Error { return &Error{Kind: k, Message: message} }

// Newf is New with a format.
func Newf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// Bad is a BadRequest about one field.
func Bad(param, format string, args ...any) *Error {
	return &Error{Kind: BadRequest, Message: fmt.Sprintf(format, args...), Param: param}
}

// Because returns e with its cause set, for the log.
func (e *Error) Because(err error) *Error {
	e.Err = err
	return e
}

// After returns e with the time after which a retry makes sense.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// HTTPStatus is the status for the client while the head is not yet sent.
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	return e.Kind.Entry().Status
}

// ErrorType is the type of OpenAI's error object.
func (e *Error) ErrorType() string { return cmp.Or(e.Type, e.Kind.Entry().Type) }

// Error returns label, message and cause, for the log.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Kind, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Kind, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
