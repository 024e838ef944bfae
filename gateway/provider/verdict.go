package provider

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/warmlane/warmlane/gateway/failure"
)

// Judge is the failure that an answer of status >= 300 stands for, from a service that speaks OpenAI's protocol, and what it says
// about the key. header returns a header of the answer, nil if absent. Words about keys and accounts stay with the gateway: they go
// into the cause, for its log.
func (k *Kind) Judge(status int, header func(name string) []byte, body []byte, now time.Time) (*failure.Error, KeyFate) {
	said := readError(body)
	e, fate := k.judge(status, said, header, now)
	if said.inShape && fate == KeyFine && e.Kind != failure.BadAnswer {
		e.Body = append([]byte(nil), body...)
	}
	return e, fate
}

// judge is Judge of an error that was read already.
func (k *Kind) judge(status int, said saidError, header func(name string) []byte, now time.Time) (*failure.Error, KeyFate) {
	e := failure.New(failure.EngineError, said.message)
	e.Status, e.Code = status, said.code
	if said.message == "" {
		e.Message = "The provider failed."
	}
	fate := k.fate(status, &said)
	switch {
	case fate != KeyFine:
		e.Kind, e.Code = failure.KeysRefused, ""
		e.Message, e.Status = "The provider refuses the gateway's key.", 0
		if fate == KeyLimited {
			e.Message, e.Status = "The provider's limit is reached. Please try again.", http.StatusTooManyRequests
		}
		e.RetryAfter = restTold(header, now)
		e.Err = &keyRefusal{status, said}
	case status < 400:
		e.Kind, e.Status, e.Message = failure.BadAnswer, 0, "The provider answered with a redirect."
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable, status == statusOverloaded:
		e.Kind, e.RetryAfter = failure.EngineRefused, restTold(header, now)
	case status == http.StatusNotFound:
		e.Kind = failure.ModelNotFound
	case status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		e.Kind = failure.Unsupported
	case status < 500 && status != http.StatusRequestTimeout && status != http.StatusFailedDependency:
		e.Kind = failure.BadRequest
		if said.tooLong() {
			e.Kind, e.Code = failure.ContextLength, ""
		}
	}
	return e, fate
}

// tooLong says whether the prompt exceeds the model's context.
func (s *saidError) tooLong() bool {
	words := strings.ToLower(s.message)
	return s.code == failure.ContextLength.Entry().Code || // OpenAI
		strings.Contains(words, "context length") || // most
		strings.Contains(words, "range of input length should be") // DashScope
}

// statusOverloaded is what Anthropic and its imitators answer when they are full.
const statusOverloaded = 529

// fate is what an error says about the key.
func (k *Kind) fate(status int, said *saidError) KeyFate {
	switch {
	case outOfCredit(said):
		return KeyRefused
	case status == http.StatusUnauthorized, status == http.StatusPaymentRequired:
		return KeyRefused
	case status == http.StatusForbidden && !k.PromptForbidden && said.code != "model_not_found":
		return KeyRefused
	case status == http.StatusTooManyRequests && !ofThisRequest(said):
		return KeyLimited
	}
	return KeyFine
}

// outOfCredit says whether an account is empty or closed, which services tell with statuses from 400 to 429.
func outOfCredit(said *saidError) bool {
	for _, word := range []string{said.code, said.kind} {
		switch word {
		case "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated", // OpenAI, DashScope
			"Arrearage", "AllocationQuota.FreeTierOnly", // DashScope: help.aliyun.com/zh/model-studio/error-code
			"exceeded_current_quota_error", // Moonshot
			"1112", "1113",                 // Zhipu: account locked, no credit
			"30001",               // SiliconFlow
			"AccountOverdueError": // Volcengine
			return true
		}
	}
	return false
}

// ofThisRequest says whether a 429 is about the request itself, or about the whole service, so that other requests with the same key
// are welcome: were it taken for the key's, one long prompt could stop everybody.
func ofThisRequest(said *saidError) bool {
	return strings.HasPrefix(said.message, "Request too large") || // OpenAI: more tokens than a minute has
		said.kind == "engine_overloaded_error" || // Moonshot
		said.code == "1305" // Zhipu: the model has too many requests, whoever sends them
}

// saidError is an error in a service's own words.
type saidError struct {
	message, kind, code string
	inShape             bool // the body has OpenAI's shape
}

// readError finds the parts of an error: {"error":{"message","type","code"}} as OpenAI has it, flat as SiliconFlow, DashScope's own
// gateway and Mistral have it, or a list of what is wrong with which field (Mistral's 422).
func readError(body []byte) saidError {
	if !gjson.ValidBytes(body) {
		return saidError{}
	}
	all := gjson.ParseBytes(body)
	at := all.Get("error")
	said := saidError{inShape: at.IsObject()}
	if !said.inShape {
		at = all
	}
	said.kind, said.code = at.Get("type").String(), at.Get("code").String()
	for _, path := range []string{"message", "error", "message.detail.0.msg", "detail.0.msg", "detail", "msg"} {
		if m := at.Get(path); m.Type == gjson.String && m.Str != "" {
			said.message = clip(m.Str)
			break
		}
	}
	return said
}

// longestWords bounds what is told of an error's words.
const longestWords = 2000

func clip(text string) string {
	if len(text) > longestWords {
		return strings.ToValidUTF8(text[:longestWords], "")
	}
	return text
}

// keyRefusal is the cause of a key's refusal.
type keyRefusal struct {
	status int
	said   saidError
}

func (r *keyRefusal) Error() string {
	return strings.Join(strings.Fields("status "+strconv.Itoa(r.status)+" "+r.said.kind+" "+r.said.code+": "+r.said.message), " ")
}

// restTold is how long the service wants to be left alone, 0 if it does not tell: by Retry-After-Ms, Retry-After (seconds or a date),
// or by the reset time of those of its limits that are used up.
func restTold(header func(name string) []byte, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(text(header, "Retry-After-Ms"), 64); err == nil {
		return seconds(ms / 1000)
	}
	if told := failure.ParseRetryAfter(header("Retry-After"), now); told > 0 {
		return told
	}
	var rest time.Duration
	for _, limit := range []string{"Requests", "Tokens"} {
		left := text(header, "X-Ratelimit-Remaining-"+limit)
		if n, err := strconv.ParseFloat(left, 64); left == "" || err == nil && n <= 0 {
			rest = max(rest, parseReset(text(header, "X-Ratelimit-Reset-"+limit), now))
		}
	}
	if rest == 0 {
		rest = parseReset(text(header, "X-Ratelimit-Reset"), now)
	}
	return rest
}

func text(header func(name string) []byte, name string) string {
	return string(bytes.TrimSpace(header(name)))
}

// parseReset reads a reset time: a duration (6m0s, 12ms), seconds from now, or seconds or milliseconds since 1970.
func parseReset(v string, now time.Time) time.Duration {
	if d, err := time.ParseDuration(v); err == nil {
		return seconds(d.Seconds())
	}
	n, err := strconv.ParseFloat(v, 64)
	switch {
	case err != nil:
		return 0
	case n > 1e11:
		return seconds(n/1000 - float64(now.Unix()))
	case n > 1e9:
		return seconds(n - float64(now.Unix()))
	}
	return seconds(n)
}
