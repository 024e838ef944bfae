package api

import (
	"strconv"
	"unicode/utf8"

	"github.com/warmlane/warmlane/gateway/failure"
)

// ErrorBody returns e as an error object of family f, the body of an answer with e's status: OpenAI's, and where Anthropic's API is
// spoken, Anthropic's with OpenAI's code and param beside it.
func ErrorBody(f Family, e *failure.Error) []byte {
	head, kind := `{"error":{"message":`, e.ErrorType()
	if f == Messages || f == CountTokens {
		head, kind = `{"type":"error","error":{"message":`, anthropicType(e.HTTPStatus())
	}
	out := appendString([]byte(head), e.Message)
	out = appendString(append(out, `,"type":`...), kind)
	out = append(out, `,"param":`...)
	if e.Param == "" {
		out = append(out, "null"...)
	} else {
		out = appendString(out, e.Param)
	}
	out = appendString(append(out, `,"code":`...), errorCode(e))
	return append(out, "}}"...)
}

// ErrorEvent returns e as the last event of a stream of family f that has already begun, in the form that the
// family's clients raise as an error. Should the client have got a part of an event before ([Stream.Partial]), a
// blank line has to go out first.
func ErrorEvent(f Family, e *failure.Error) []byte {
	head := "data: "
	switch f {
	case Messages:
		head = "event: error\ndata: "
	case Responses, ResponseByID:
		out := []byte("event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"object\":\"response\",\"status\":\"failed\",\"error\":{\"code\":")
		out = appendString(out, errorCode(e))
		out = appendString(append(out, `,"message":`...), e.Message)
		return append(out, "}}}\n\n"...)
	}
	return append(append([]byte(head), ErrorBody(f, e)...), "\n\n"...)
}

func errorCode(e *failure.Error) string {
	if e.Code != "" {
		return e.Code
	}
	return e.Kind.Entry().Code
}

// anthropicTypes are the error types of Anthropic's API by HTTP status.
var anthropicTypes = [...]struct {
	status int
	name   string
}{
	{400, "invalid_request_error"},
	{401, "authentication_error"},
	{403, "permission_error"},
	{404, "not_found_error"},
	{413, "request_too_large"},
	{429, "rate_limit_error"},
	{500, "api_error"},
	{503, "overloaded_error"},
	{504, "timeout_error"},
	{529, "overloaded_error"},
}

func anthropicType(status int) string {
	for _, t := range anthropicTypes {
		if t.status == status {
			return t.name
		}
	}
	if status < 500 {
		return "invalid_request_error"
	}
	return "api_error"
}

// anthropicStatus is the first status of an error type, 0 if it is unknown.
func anthropicStatus(name string) int {
	for _, t := range anthropicTypes {
		if t.name == name {
			return t.status
		}
	}
	return 0
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, `\n`...)
		case r < 0x20:
			out = append(out, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return append(out, '"')
}

// number returns the integer that the raw JSON number says, or none if it is no number. What int cannot hold, or
// has a fraction, is cut.
func number(raw []byte, none int) int {
	if len(raw) == 0 || raw[0] != '-' && raw[0]-'0' > 9 {
		return none
	}
	if n := small(raw); n >= 0 {
		return n
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil && f == 0 {
		return none
	}
	return int(max(-1<<53, min(1<<53, f)))
}

// small reads up to 15 digits, -1 if raw is anything else.
func small(raw []byte) int {
	if len(raw) > 15 {
		return -1
	}
	n := 0
	for _, c := range raw {
		if c-'0' > 9 {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}
