package upstream

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

// What engines say when they are full, inside an answer whose status does not tell. The texts are in each one's source.
var fullTexts = [][]byte{
	[]byte("currently busy and cannot accept"), // vLLM
	[]byte("queue is full"),                    // SGLang
	[]byte("is overloaded"),                    // TGI
	[]byte("no slot available"),                // llama.cpp
	[]byte("server busy"),                      // Ollama
}

// What engines say when they are about to go away: a vLLM that drains answers /health 200 and every request like this.
var goneTexts = [][]byte{
	[]byte("cannot schedule new futures after shutdown"),
	[]byte("EngineCore encountered an issue"),
	[]byte("EngineDeadError"),
}

// What engines say when a prompt, or it and the answer that it asks for, is too long for them (OpenAI's own code is the first).
var longTexts = [][]byte{
	[]byte("context_length_exceeded"),
	[]byte("maximum context length"),               // vLLM, SGLang, OpenAI
	[]byte("longer than the maximum model length"), // vLLM
	[]byte("cannot be greater than max_model_len"), // vLLM, of max_tokens
	[]byte("longer than the model's context"),      // SGLang
	[]byte("exceeds the maximum allowed length"),   // SGLang
	[]byte("exceed_context_size_error"),            // llama.cpp
	[]byte("inputs tokens + max_new_tokens"),       // TGI
}

// What engines say of requests for which they, or their models, were not made or not started.
var lackTexts = [][]byte{
	[]byte("is not a multimodal model"),                              // vLLM
	[]byte("At most 0 "),                                             // vLLM: At most 0 image(s) may be provided in one prompt.
	[]byte("tool choice requires --enable-auto-tool-choice"),         // vLLM
	[]byte("The model does not support "),                            // vLLM: ... Chat Completions API, Embeddings API
	[]byte("does not support tools"),                                 // Ollama
	[]byte("does not support image"),                                 // Ollama, LMDeploy
	[]byte(`"unsupported_parameter"`), []byte(`"unsupported_value"`), // OpenAI's codes
}

// lacks is the kind of a refusal of this status and body that only says what this engine or provider has not; None for others. Such words
// may quote the caller, so nothing is concluded from them but that another target might take the request.
func lacks(status int, body []byte) failure.Kind {
	switch {
	case status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		return failure.Unsupported
	case status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge && status != http.StatusUnprocessableEntity:
		return failure.None
	case says(body, longTexts):
		return failure.ContextLength
	case says(body, lackTexts):
		return failure.Unsupported
	}
	return failure.None
}

func says(body []byte, texts [][]byte) bool {
	for _, t := range texts {
		if bytes.Contains(body, t) {
			return true
		}
	}
	return false
}

// judge is the failure that an answer of this status and body stands for; nil for 2xx. body is nil where it could not be read whole.
// Statuses that are the caller's own fault become a BadRequest with the engine's status and words.
func judge(status int, retryAfter []byte, body []byte) *failure.Error {
	if status < 300 {
		return nil
	}
	e := failure.New(failure.EngineError, words(body, "The inference engine failed."))
	e.Status, e.Answered = status, status
	if gjson.ValidBytes(body) && gjson.GetBytes(body, "error").IsObject() {
		e.Body = append([]byte(nil), body...)
	}
	switch {
	case status < 400:
		// A client would follow with its body and key, past the gateway.
		return failure.New(failure.BadAnswer, "The inference engine answered with a redirect.")
	case status >= 500 && says(body, goneTexts):
		e.Kind = failure.EngineGone
	case status == 429 || status == 503 || status >= 500 && says(body, fullTexts):
		e.Kind = failure.EngineRefused
		e.RetryAfter = failure.ParseRetryAfter(retryAfter, time.Now())
	case status == 401 || status == 403:
		// The credential is the gateway's: the caller must not take it for his own.
		e.Message, e.Status, e.Body = "The inference engine refused the gateway's credential.", 0, nil
	case status == 404:
		e.Kind = failure.ModelUnknown
	case lacks(status, body) != failure.None:
		e.Kind = lacks(status, body)
	case status < 500 && status != 408 && status != 424:
		e.Kind = failure.BadRequest
	}
	return e
}

// Judge is the failure that an error inside an answer of status 200 stands for, as long as nothing of it has been sent.
func Judge(se *api.StreamError) *failure.Error {
	status := se.Code
	if status < 400 || status > 599 {
		status = 500
	}
	e := judge(status, nil, []byte(se.Message+" "+se.Type))
	if status != 401 && status != 403 {
		e.Message = se.Message
	}
	return e
}

// words finds the engine's own message in whatever shape it has.
func words(body []byte, otherwise string) string {
	for _, path := range []string{"error.message", "message", "error", "detail"} {
		if m := gjson.GetBytes(body, path); m.Type == gjson.String && m.Str != "" {
			if len(m.Str) > 2000 {
				return strings.ToValidUTF8(m.Str[:2000], "")
			}
			return m.Str
		}
	}
	return otherwise
}
