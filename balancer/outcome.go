package balancer

import "time"

// Cause is how a lease ended.
type Cause uint8

// The causes. Which of them count against an endpoint is told at each.
const (
	// OK is a complete answer.
	OK Cause = iota
	// ClientGone is a caller that left. Before the first token it is a weak sign against the endpoint.
	ClientGone
	// ClientError is a 4xx of the caller's own making. Counts nothing.
	ClientError
	// Refused is a dial that was refused or that found no host. Two in a row eject.
	Refused
	// Stale is a pooled connection that the engine had closed. Counts nothing.
	Stale
	// Reset is a connection that broke before the first event.
	Reset
	// ServerError is a 5xx other than a capacity refusal.
	ServerError
	// Timeout is a first event that did not come in time.
	Timeout
	// Stalled is a stream that fell silent.
	Stalled
	// Cut is an answer that broke off after it had begun.
	Cut
	// Capacity is a refusal for want of capacity. It pauses the endpoint and is never a failure.
	Capacity
	// Gone is an engine that says it is shutting down. Ejects at once.
	Gone
	// Cancelled is an attempt that the gateway gave up for reasons of its own. Counts nothing.
	Cancelled
	causes // number of causes
)

var causeNames = [causes]string{
	"ok", "client_gone", "client_error", "refused", "stale", "reset", "server_error", "timeout", "stalled", "cut",
	"capacity", "gone", "cancelled",
}

// String is the cause as a metric label.
func (c Cause) String() string {
	if c < causes {
		return causeNames[c]
	}
	return "unknown"
}

// failure tells whether the cause counts against the endpoint when the request is not itself to blame.
func (c Cause) failure() bool {
	switch c {
	case Reset, ServerError, Timeout, Stalled, Cut:
		return true
	default:
		return false
	}
}

// Outcome is what is known of an attempt when it ends. Token counts are the engine's own; -1 means not told.
type Outcome struct {
	Cause        Cause
	PromptTokens int
	CachedTokens int
	OutputTokens int
	// Answer holds the hashes of the full blocks that the answer adds behind the prompt's.
	Answer []uint64
	// RetryAfter is the time a capacity refusal asked for; 0 when it named none.
	RetryAfter time.Duration
	// Streamed tells that the answer came event by event.
	Streamed bool
}
