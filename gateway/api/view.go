package api

import (
	"bytes"
	"errors"
	"unicode/utf8"

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
	// Session is the conversation the client names (session_id, prompt_cache_key, conversation), "" if absent.
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

	bounds  []span // values of max_tokens, max_completion_tokens and max_output_tokens
	bound   int    // output tokens to be asked for where the client set no limit, 0 = none
	models  []span // values of model members: one, or more where the name came twice
	options span   // value of the last stream_options
	open    int    // index after the body's opening brace
	form    bool   // the body is multipart
}

// span is a piece of the body.
type span struct{ start, end int }

func (s span) of(body []byte) []byte { return body[s.start:s.end] }

// maxChoices bounds n, as vLLM does.
const maxChoices = 16384

// Read reads a request body in one scan. Whatever is wrong with it is a failure that names the fault. Requests
// without a body (GET, cancel) have an empty view.
func Read(ep Endpoint, contentType, body []byte) (*View, *failure.Error) {
	v := &View{Family: ep.Family, N: 1}
	switch {
	case ep.Method == get || ep.Cancel:
		return v, nil
	case len(body) == 0:
		return nil, failure.New(failure.BadRequest, "The request has no body.")
	case ep.Multipart:
		return v, v.readForm(contentType, body)
	}
	if fail := wantJSON(contentType); fail != nil {
		return nil, fail
	}
	if fail := v.readJSON(body); fail != nil {
		return nil, fail
	}
	return v, nil
}

func wantJSON(contentType []byte) *failure.Error {
	kind, _, _ := bytes.Cut(contentType, []byte(";"))
	kind = bytes.TrimSpace(kind)
	if len(kind) == 0 || bytes.Contains(bytes.ToLower(kind), []byte("json")) {
		return nil
	}
	return failure.Newf(failure.BadMediaType, "The content type %q is not taken here; send application/json.", clip(kind))
}

// members are the raw values that routing needs.
type members struct {
	model, stream, options, n, maxTokens, maxCompletion, maxOutput            []byte
	user, priority, metadata, session, cacheKey, conversation, previous       []byte
	background, streamFormat                                                  []byte
	messages, system, instructions, tools, functions, prompt, input, salt     []byte
	args, documents, query, text1, text2, data1, data2, queries, tokens, text []byte
}

func (v *View) readJSON(body []byte) *failure.Error {
	w := tokenize.Walk(body, tokenize.MaxDepth)
	if k := w.Kind(); k != tokenize.Object {
		return notAnObject(body, k)
	}
	v.open = bytes.IndexByte(body, '{') + 1
	var m members
	for w.Next() {
		m.take(v, &w)
	}
	if err := w.Err(); err != nil {
		return malformed(body, err)
	}
	return v.fill(&m)
}

// take notes a member. Of several of one name the last one counts, as with the engines' parsers.
func (m *members) take(v *View, w *tokenize.Walker) {
	at := span{w.Offset, w.Offset + len(w.Value)}
	switch string(w.Key) {
	case "model":
		m.model = w.Value
		v.models = append(v.models, at)
	case "stream_options":
		m.options = w.Value
		v.options, v.HasStreamOptions = at, true
	case "max_tokens", "max_completion_tokens", "max_output_tokens":
		v.bounds = append(v.bounds, at)
		*m.place(w.Key) = w.Value
	default:
		if p := m.place(w.Key); p != nil {
			*p = w.Value
		}
	}
}

// place returns where the value of that name goes, nil if nobody needs it.
func (m *members) place(key []byte) *[]byte {
	switch string(key) {
	case "stream":
		return &m.stream
	case "n":
		return &m.n
	case "max_tokens":
		return &m.maxTokens
	case "max_completion_tokens":
		return &m.maxCompletion
	case "max_output_tokens":
		return &m.maxOutput
	case "user":
		return &m.user
	case "priority":
		return &m.priority
	case "metadata":
		return &m.metadata
	case "session_id":
		return &m.session
	case "prompt_cache_key":
		return &m.cacheKey
	case "conversation":
		return &m.conversation
	case "previous_response_id":
		return &m.previous
	case "background":
		return &m.background
	case "stream_format":
		return &m.streamFormat
	}
	return m.promptPlace(key)
}

// promptPlace is place for what makes the prompt.
func (m *members) promptPlace(key []byte) *[]byte {
	switch string(key) {
	case "messages":
		return &m.messages
	case "system":
		return &m.system
	case "instructions":
		return &m.instructions
	case "tools":
		return &m.tools
	case "functions":
		return &m.functions
	case "prompt":
		return &m.prompt
	case "input":
		return &m.input
	case "cache_salt":
		return &m.salt
	case "chat_template_kwargs":
		return &m.args
	case "documents":
		return &m.documents
	case "query":
		return &m.query
	case "queries":
		return &m.queries
	case "text_1":
		return &m.text1
	case "text_2":
		return &m.text2
	case "data_1":
		return &m.data1
	case "data_2":
		return &m.data2
	case "tokens":
		return &m.tokens
	case "content":
		return &m.text
	}
	return nil
}

func notAnObject(body []byte, k tokenize.Kind) *failure.Error {
	if len(bytes.TrimSpace(body)) == 0 {
		return failure.New(failure.BadRequest, "The request has no body.")
	}
	if err := tokenize.Validate(body, tokenize.MaxDepth); err != nil {
		return malformed(body, err)
	}
	return failure.Newf(failure.BadRequest, "The request body must be a JSON object, not %s.", k)
}

func malformed(body []byte, err error) *failure.Error {
	if bytes.HasPrefix(body, []byte("\ufeff")) {
		return failure.New(failure.BadRequest, "The request body starts with a byte order mark, which JSON does not allow.").Because(err)
	}
	var syntax *tokenize.SyntaxError
	if errors.As(err, &syntax) && !utf8.Valid(body[syntax.Offset:min(len(body), syntax.Offset+utf8.UTFMax)]) && !utf8.Valid(body) {
		return failure.Newf(failure.BadRequest, "The request body is not UTF-8: %s.", syntax).Because(err)
	}
	return failure.Newf(failure.BadRequest, "The request body is not valid JSON: %s.", err).Because(err)
}

// clip shortens what is quoted in an error text.
func clip(b []byte) []byte {
	const most = 100
	if len(b) > most {
		return append(bytes.ToValidUTF8(b[:most], nil), "..."...)
	}
	return b
}
