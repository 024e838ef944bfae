package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/url"
	"slices"
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

// Query returns the parameters of the query. Names that are not among known are failures: a slip must not widen what is asked for.
func (c *Call) Query(known ...string) (url.Values, *failure.Error) {
	all, err := url.ParseQuery(string(c.ctx.URI().QueryString()))
	if err != nil {
		return nil, failure.New(failure.BadRequest, "The query cannot be read: write special characters as %40 and the like.")
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(known, name) {
			return nil, failure.Bad(name, "There is no parameter %q here. There are: %s.", name, strings.Join(known, ", "))
		}
	}
	return all, nil
}

// Accepts reports whether the caller names the media type as one that it takes.
func (c *Call) Accepts(mediaType string) bool {
	for part := range strings.SplitSeq(string(c.ctx.Request.Header.Peek("Accept")), ",") {
		if kind, _, _ := strings.Cut(part, ";"); strings.EqualFold(strings.TrimSpace(kind), mediaType) {
			return true
		}
	}
	return false
}

// Document is an answer that is no JSON; browsers save it under its name.
type Document struct {
	Type, Name string
	Body       []byte
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
