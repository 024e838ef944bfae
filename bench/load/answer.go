package load

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// answer is one streamed answer, as far as it came.
type answer struct {
	start, first, last time.Time // request start; first token, zero = none; last event that belongs to the answer
	end                time.Time // end of the exchange

	text     string
	finished bool // a finish_reason was seen
	done     bool // [DONE] was seen
	tokens   int  // events that carried a token

	prompt, cached, output int // from usage; -1 unknown
	failure                *Failure
}

// read takes the stream apart; arrived is called after each read. A nil error means that the stream ended cleanly.
func (a *answer) read(body io.Reader, arrived func()) error {
	a.prompt, a.cached, a.output = -1, -1, -1
	var text strings.Builder
	events := newEvents(body)
	for {
		data, err := events.next(arrived)
		if err != nil {
			a.text = text.String()
			if a.done || errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		a.event(data, events.at, &text)
	}
}

// event takes one event's data, which arrived at now.
func (a *answer) event(data []byte, now time.Time, text *strings.Builder) {
	if bytes.Equal(data, []byte("[DONE]")) {
		a.done = true
		return
	}
	choice := gjson.GetBytes(data, "choices.0")
	if !choice.Exists() {
		a.aside(data)
		return
	}
	delta := choice.Get("delta")
	content := delta.Get("content").String()
	if content != "" {
		text.WriteString(content)
	}
	if content != "" || thought(delta) {
		a.tokens++
		a.last = now
		if a.first.IsZero() {
			a.first = now
		}
	}
	if choice.Get("finish_reason").String() != "" {
		a.finished, a.last = true, now
	}
	if bytes.Contains(data, []byte(`"usage"`)) {
		a.usage(data)
	}
}

// thought reports a token that is not text of the answer: reasoning, or a part of a tool call.
func thought(delta gjson.Result) bool {
	for _, field := range []string{"reasoning_content", "reasoning", "tool_calls.0.function.name", "tool_calls.0.function.arguments"} {
		if delta.Get(field).String() != "" {
			return true
		}
	}
	return false
}

// aside takes an event that is no part of the text: usage, an error, or something to ignore.
func (a *answer) aside(data []byte) {
	if !gjson.ValidBytes(data) {
		a.firstFailure(&Failure{Kind: KindBadAnswer, Message: "an event is not JSON: " + string(data[:min(len(data), 100)])})
		return
	}
	if e := gjson.GetBytes(data, "error"); e.Exists() && e.Type != gjson.Null {
		message := e.Get("message").String()
		if message == "" {
			message = e.String()
		}
		a.firstFailure(&Failure{Kind: KindErrorEvent, Message: message})
		return
	}
	a.usage(data)
}

func (a *answer) usage(data []byte) {
	u := gjson.GetBytes(data, "usage")
	if !u.IsObject() {
		return
	}
	for _, f := range []struct {
		path string
		to   *int
	}{
		{"prompt_tokens", &a.prompt},
		{"completion_tokens", &a.output},
		{"prompt_tokens_details.cached_tokens", &a.cached},
	} {
		if v := u.Get(f.path); v.Type == gjson.Number {
			*f.to = int(v.Int())
		}
	}
}

func (a *answer) firstFailure(f *Failure) {
	if a.failure == nil {
		a.failure = f
	}
}

// fail ends the answer with f, unless the stream itself already said why.
func (a *answer) fail(f *Failure) *answer {
	a.end = time.Now()
	a.firstFailure(f)
	return a
}

// complete ends the answer after a clean end of the stream.
func (a *answer) complete() *answer {
	a.end = time.Now()
	if !a.finished {
		a.firstFailure(&Failure{Kind: KindIncomplete, Message: "the stream ended without a finish_reason"})
	}
	return a
}

// outputTokens is how many tokens the answer has; counted says that no usage told it. Neither events nor words can be
// more than the tokens, so the larger of both is the better guess.
func (a *answer) outputTokens() (n int, counted bool) {
	if a.output >= 0 {
		return a.output, false
	}
	return max(a.tokens, len(strings.Fields(a.text))), true
}

// timeToFirst is the time to the first token; an answer of no token has it at its finish_reason.
func (a *answer) timeToFirst() time.Duration {
	if a.first.IsZero() {
		return a.last.Sub(a.start)
	}
	return a.first.Sub(a.start)
}

func (a *answer) latency() time.Duration { return a.last.Sub(a.start) }
