package upstream

import (
	"bytes"
	"strconv"
	"time"

	"github.com/tidwall/gjson"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

// What engines say when they are full, inside an answer whose status does not tell (realengines.md 1.3, engines.md 2 and 3).
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

func says(body []byte, texts [][]byte) bool {
	for _, t := range texts {
		if bytes.Contains(body, t) {
			return true
		}
	}
	return false
}

// judge is the failure that an answer of this status and body stands for; nil for 2xx and 3xx. Statuses below 500 that are the
// caller's own fault become a BadRequest that carries the engine's status and words.
func judge(status int, retryAfter []byte, body []byte) *failure.Error {
	if status < 400 {
		return nil
	}
	e := failure.New(failure.EngineError, words(body, "The inference engine failed."))
	e.Status = status
	if gjson.GetBytes(body, "error").IsObject() {
		e.Body = append([]byte(nil), body...)
	}
	switch {
	case says(body, goneTexts):
		e.Kind = failure.EngineGone
	case status == 429 || status == 503 || says(body, fullTexts):
		e.Kind = failure.EngineRefused
		e.RetryAfter = parseRetryAfter(retryAfter)
	case status == 401 || status == 403:
		// The credential is the gateway's: the caller must not take it for his own.
		e.Message, e.Status, e.Body = "The inference engine refused the gateway's credential.", 0, nil
	case status < 500 && status != 408 && status != 424:
		e.Kind = failure.BadRequest
	}
	return e
}

// judgeEvent is the same for an error that came as the first event of a stream of status 200.
func judgeEvent(se *api.StreamError) *failure.Error {
	status := se.Code
	if status < 400 || status > 599 {
		status = 500
	}
	e := judge(status, nil, []byte(se.Message+" "+se.Type))
	e.Message = se.Message
	return e
}

// words finds the engine's own message in whatever shape it has.
func words(body []byte, otherwise string) string {
	for _, path := range []string{"error.message", "message", "error", "detail"} {
		if m := gjson.GetBytes(body, path); m.Type == gjson.String && m.Str != "" {
			if len(m.Str) > 2000 {
				return m.Str[:2000]
			}
			return m.Str
		}
	}
	return otherwise
}

// parseRetryAfter reads whole seconds, the only form that engines use.
func parseRetryAfter(v []byte) time.Duration {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(v)), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
