package engine

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// problem is an error answer: vLLM's {"error":{...}}, or the flat form of SGLang.
type problem struct {
	status  int
	kind    string // "BadRequestError" for what the engine refuses, "Bad Request" for what the body's schema refuses
	message string
	param   string // empty: null
}

func badRequest(param, format string, args ...any) *problem {
	return &problem{status: 400, kind: "BadRequestError", message: fmt.Sprintf(format, args...), param: param}
}

// invalidBody is what the schema's check says of a body, in the words of pydantic.
func invalidBody(kind, at, message, input string) *problem {
	return &problem{
		status: 400, kind: "Bad Request", param: at,
		message: fmt.Sprintf("1 validation error:\n  {'type': '%s', 'loc': '%s', 'msg': '%s', 'input': '%s'}", kind, at, message, input),
	}
}

func busy() *problem {
	return &problem{
		status: 503, kind: "Service Unavailable",
		message: "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.",
	}
}

func internalError(message string) *problem {
	return &problem{status: 500, kind: "InternalServerError", message: message}
}

// appendJSON appends the error object in the dialect's form.
func (p *problem) appendJSON(dst []byte, dialect Dialect) []byte {
	if dialect == SGLang {
		dst = append(dst, `{"object":"error",`...)
		return append(p.appendFields(dst), '}')
	}
	dst = append(dst, `{"error":{`...)
	return append(p.appendFields(dst), `}}`...)
}

func (p *problem) appendFields(dst []byte) []byte {
	dst = append(dst, `"message":`...)
	dst = appendString(dst, p.message)
	dst = append(dst, `,"type":`...)
	dst = appendString(dst, p.kind)
	dst = append(dst, `,"param":`...)
	if p.param == "" {
		dst = append(dst, "null"...)
	} else {
		dst = appendString(dst, p.param)
	}
	dst = append(dst, `,"code":`...)
	return strconv.AppendInt(dst, int64(p.status), 10)
}

// appendEvent appends the error as the only event of a stream. Engines write this one with another serialiser than
// their normal chunks: with blanks after colons and commas.
func (p *problem) appendEvent(dst []byte, dialect Dialect) []byte {
	object := ""
	if dialect == SGLang {
		object = `"object": "error", `
	}
	dst = fmt.Appendf(dst, `data: {"error": {%s"message": %s, "type": %s, "param": null, "code": %d}}`,
		object, appendString(nil, p.message), appendString(nil, p.kind), p.status)
	return append(dst, "\n\ndata: [DONE]\n\n"...)
}

// appendString appends text as a JSON string, without escaping what HTML would want escaped.
func appendString(dst []byte, text string) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return append(dst, `""`...)
	}
	return append(dst, strings.TrimSuffix(b.String(), "\n")...)
}

func (s *Server) fail(ctx *fasthttp.RequestCtx, p *problem) {
	writeJSON(ctx, p.status, p.appendJSON(nil, s.cfg.Dialect))
}

func writeJSON(ctx *fasthttp.RequestCtx, status int, body []byte) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}
