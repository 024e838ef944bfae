package engine

import (
	"fmt"
	"strconv"
)

// family is an API whose answers are generated text.
type family uint8

const (
	chatFamily family = iota
	completionFamily
	embeddingFamily
)

func (f family) prefix() string {
	return [...]string{"chatcmpl-", "cmpl-", "embd-"}[f]
}

// appendHead opens a chunk up to its list of choices.
func (c *call) appendHead(dst []byte, object string) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, c.id)
	dst = append(dst, `,"object":"`...)
	dst = append(dst, object...)
	dst = append(dst, `","created":`...)
	dst = strconv.AppendInt(dst, c.created, 10)
	dst = append(dst, `,"model":`...)
	dst = appendString(dst, c.model)
	return append(dst, `,"choices":[`...)
}

func (c *call) appendChunkHead(dst []byte) []byte {
	dst = append(dst, "data: "...)
	if c.family == chatFamily {
		return c.appendHead(dst, "chat.completion.chunk")
	}
	return c.appendHead(dst, "text_completion")
}

// appendRole writes the first chunk of a choice.
func (c *call) appendRole(dst []byte, i int) []byte {
	dst = c.appendChunkHead(dst)
	dst = fmt.Appendf(dst, `{"index":%d,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]`, i)
	dst = c.appendRunningUsage(dst, 0)
	return append(dst, ",\"prompt_token_ids\":null,\"prompt_text\":null}\n\n"...)
}

// appendTokens writes the chunk with the tokens from up to to of choice i.
func (c *call) appendTokens(dst []byte, i, from, to int, last bool) []byte {
	q := &c.seqs[i]
	dst = c.appendChunkHead(dst)
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(i), 10)
	if c.family == chatFamily {
		dst = append(dst, `,"delta":{"content":"`...)
		dst = q.answer.appendText(dst, from, to)
		dst = append(dst, `"},"logprobs":null,"finish_reason":`...)
		dst = append(dst, q.reason(last)...)
		if last {
			dst = append(dst, `,"stop_reason":null`...)
		}
	} else {
		dst = append(dst, `,"text":"`...)
		dst = q.answer.appendText(dst, from, to)
		dst = append(dst, `","logprobs":null,"finish_reason":`...)
		dst = append(dst, q.reason(last)...)
		dst = append(dst, `,"stop_reason":null,"prompt_token_ids":null`...)
	}
	dst = append(dst, `,"token_ids":null}]`...)
	dst = c.appendRunningUsage(dst, to)
	if last && !c.usage.IncludeUsage && c.family == chatFamily {
		dst = append(dst, `,"system_fingerprint":"`+fingerprint+`"`...)
	}
	return append(dst, "}\n\n"...)
}

// fingerprint imitates vLLM's system_fingerprint.
const fingerprint = "vllm-0.32.0-51a7e11d"

// reason returns the JSON of finish_reason.
func (q *sequence) reason(last bool) string {
	switch {
	case !last:
		return "null"
	case q.answer.cut:
		return `"length"`
	}
	return `"stop"`
}

// appendRunningUsage writes the usage of a chunk when every chunk shall have one.
func (c *call) appendRunningUsage(dst []byte, completion int) []byte {
	if !c.usage.IncludeUsage || !c.usage.ContinuousUsage {
		return dst
	}
	return fmt.Appendf(dst, `,"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d,"completion_tokens_details":null}`,
		c.prompt, c.prompt+completion, completion)
}

// appendFinalUsage writes the chunk without choices that carries the usage.
func (c *call) appendFinalUsage(dst []byte) []byte {
	dst = c.appendChunkHead(dst)
	dst = append(dst, "],"...)
	dst = c.appendUsage(dst, "")
	return append(dst, `},"system_fingerprint":"`+fingerprint+"\"}\n\n"...)
}

// appendUsage opens the usage object; more goes into the token details.
func (c *call) appendUsage(dst []byte, more string) []byte {
	prompt, completion, cached := c.counts()
	dst = fmt.Appendf(dst, `"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d`, prompt, prompt+completion, completion)
	if c.life.s.cfg.NoTokenDetails {
		if more != "" {
			dst = append(dst, `,"prompt_tokens_details":null`...)
		}
		return dst
	}
	return fmt.Appendf(dst, `,"prompt_tokens_details":{"cached_tokens":%d,"created_cache_tokens":%d%s}`, cached, max(prompt/16*16-cached, 0), more)
}

// appendWhole writes the answer that is not streamed.
func (c *call) appendWhole(dst []byte) []byte {
	object, tail := "text_completion", ""
	if c.family == chatFamily {
		object, tail = "chat.completion", `,"prompt_logprobs":null,"prompt_token_ids":null,"prompt_text":null`
	}
	dst = c.appendHead(dst, object)
	for i := range c.seqs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = c.appendChoice(dst, i)
	}
	dst = append(dst, `],"service_tier":null,"system_fingerprint":"`+fingerprint+`",`...)
	dst = c.appendUsage(dst, `,"multimodal_tokens":null`)
	dst = append(dst, `,"completion_tokens_details":null}`...)
	dst = append(dst, tail...)
	return append(dst, `,"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}`...)
}

func (c *call) appendChoice(dst []byte, i int) []byte {
	q := &c.seqs[i]
	dst = fmt.Appendf(dst, `{"index":%d,`, i)
	if c.family == chatFamily {
		dst = append(dst, `"message":{"role":"assistant","content":"`...)
		dst = q.answer.appendText(dst, 0, len(q.answer.words))
		dst = append(dst, `","refusal":null,"annotations":null,"audio":null,"function_call":null,"reasoning":null},"logprobs":null,"finish_reason":`...)
		dst = append(dst, q.reason(true)...)
		return append(dst, `,"stop_reason":null,"token_ids":null,"routed_experts":null}`...)
	}
	dst = append(dst, `"text":"`...)
	dst = q.answer.appendText(dst, 0, len(q.answer.words))
	dst = append(dst, `","logprobs":null,"finish_reason":`...)
	dst = append(dst, q.reason(true)...)
	return append(dst, `,"stop_reason":null,"token_ids":null,"prompt_logprobs":null,"prompt_token_ids":null,"routed_experts":null}`...)
}
