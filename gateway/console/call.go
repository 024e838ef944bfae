package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/failure"
)

// Call is one call of the admin API. It is valid until its handler returns.
type Call struct {
	ctx    *fasthttp.RequestCtx
	params map[string]string
}

// Param returns the part of the path that stands for {name} in the pattern, unescaped.
func (c *Call) Param(name string) string { return c.params[name] }

// Decode reads the JSON body into v. Unknown fields, values of the wrong type and anything after the value are failures, and so
// is a body that is not called JSON: a web page could send it.
func (c *Call) Decode(v any) *failure.Error {
	if kind, _, _ := strings.Cut(string(c.ctx.Request.Header.ContentType()), ";"); !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		return failure.New(failure.BadMediaType, "The admin API takes bodies of content type application/json.")
	}
	decoder := json.NewDecoder(bytes.NewReader(c.ctx.PostBody()))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		return failure.New(failure.BadRequest, "The body goes on after its JSON value.")
	}
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return failure.New(failure.BadRequest, "This call needs a JSON body.")
	case errors.As(err, &wrong):
		return failure.Bad(wrong.Field, "The field %q cannot be a %s.", wrong.Field, wrong.Value)
	default:
		return failure.Newf(failure.BadRequest, "The body cannot be read: %s.", strings.TrimPrefix(err.Error(), "json: "))
	}
}

// match compares the parts of a path, still escaped, with the pattern's.
func (e *entry) match(segments []string) (params map[string]string, ok bool) {
	if len(segments) != len(e.segments) {
		return nil, false
	}
	for i, want := range e.segments {
		got, err := url.PathUnescape(segments[i])
		if err != nil {
			return nil, false
		}
		name, isParam := strings.CutPrefix(want, "{")
		switch {
		case isParam && got != "":
			if params == nil {
				params = make(map[string]string, 1)
			}
			params[strings.TrimSuffix(name, "}")] = got
		case got != want:
			return nil, false
		}
	}
	return params, true
}
