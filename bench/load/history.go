package load

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// history is the messages of one session so far, already in JSON.
type history struct {
	messages []byte // elements of the array, without the brackets
	before   int    // length of messages before the last say
}

func newHistory(system string) *history {
	h := &history{}
	if system != "" {
		h.add("system", system)
	}
	return h
}

func (h *history) say(text string)  { h.before = len(h.messages); h.add("user", text) }
func (h *history) hear(text string) { h.add("assistant", text) }

// unsay takes back the last say: its answer failed.
func (h *history) unsay() { h.messages = h.messages[:h.before] }

func (h *history) add(role, text string) {
	if len(h.messages) > 0 {
		h.messages = append(h.messages, ',')
	}
	h.messages = append(h.messages, `{"role":"`...)
	h.messages = append(h.messages, role...)
	h.messages = append(h.messages, `","content":`...)
	h.messages = append(h.messages, quoted(text)...)
	h.messages = append(h.messages, '}')
}

// body is the request for the next answer.
func (h *history) body(cfg *Config) []byte {
	b := make([]byte, 0, len(h.messages)+256)
	b = append(b, `{"model":`...)
	b = append(b, quoted(cfg.Model)...)
	b = append(b, `,"messages":[`...)
	b = append(b, h.messages...)
	b = append(b, `],"stream":true,"stream_options":{"include_usage":true}`...)
	if cfg.OutputTokens > 0 {
		b = append(b, `,"max_tokens":`...)
		b = strconv.AppendInt(b, int64(cfg.OutputTokens), 10)
	}
	if cfg.IgnoreEOS {
		b = append(b, `,"ignore_eos":true`...)
	}
	if cfg.Temperature != nil {
		b = append(b, `,"temperature":`...)
		b = strconv.AppendFloat(b, *cfg.Temperature, 'g', -1, 64)
	}
	return append(b, '}')
}

func quoted(text string) []byte {
	q, err := json.Marshal(text)
	if err != nil {
		panic(fmt.Sprintf("BUG: a string has no JSON form: %v", err))
	}
	return q
}
