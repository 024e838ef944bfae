package api

// Sink takes the answer of choice 0 as it comes: decoded text and tool calls, what a later turn sends back.
// Reasoning does not reach it. The slices are valid during the call only.
type Sink interface {
	// Text takes a piece of answer text.
	Text(decoded []byte)
	// Tool takes a piece of a tool call: the name comes with the first piece of its arguments only.
	Tool(name, args []byte)
}

// Usage is what an engine counted, in tokens; -1 where it did not tell.
type Usage struct {
	// Prompt is the whole prompt, cached tokens included.
	Prompt int
	// Cached is the part of the prompt that was taken from the engine's cache.
	Cached int
	// Output is the answer, reasoning included, over all choices.
	Output int
}

// NoUsage is the usage of an engine that told nothing.
var NoUsage = Usage{Prompt: -1, Cached: -1, Output: -1}

// StreamError is an error that an engine sent inside an answer of status 200.
type StreamError struct {
	Message, Type string
	// Code is the HTTP status that the engine named, 0 if none.
	Code int
}

// Error returns the engine's words.
func (e *StreamError) Error() string { return e.Message }

// Stream follows a stream of server-sent events: what is complete, what it says, what may go to the client.
type Stream struct {
	// Events counts the events with output (text, reasoning, tool calls) so far.
	Events int
	// LastTokens is the output tokens of the last Feed: by the engine's running count if it sends one, else its events.
	LastTokens int
	// FirstEvent says that an event of the engine (not a comment) has come whole.
	FirstEvent bool
	// Complete says that the stream is complete by its family's rule.
	Complete bool
	// Terminated says that the last event of the family has come: the response ends here.
	Terminated bool
	// Reasoned says that the answer holds reasoning, which a later turn's prompt does not repeat.
	Reasoned bool
	// Err is the error that the engine sent in the stream, nil if none.
	Err *StreamError
	// Usage is what the engine counted, so far.
	Usage Usage
	// ResponseID is the id of the answer, "" until it is known.
	ResponseID string
}

// NewStream returns the state of a stream of f with n choices. With dropUsage the usage chunk, which the client
// did not ask for, is taken out.
func NewStream(f Family, n int, dropUsage bool) *Stream { return &Stream{Usage: NoUsage} }

// Feed takes what the engine sent and returns what goes to the client now. The result aliases in or the Stream and
// is valid until the next Feed. sink may be nil.
func (s *Stream) Feed(in []byte, sink Sink) (out []byte) { return in }
