package gateway

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/failure"
)

// maxHeaders bounds the header lines of a request. Clients behind proxies send about thirty; llama.cpp's server takes a hundred.
const maxHeaders = 100

// misframed refuses a head that two readers could see differently. The server is more lenient than that: it joins continued lines,
// takes a bare LF for the end of one, ignores codings it does not know to be chunked, and has dropped Content-Length where
// Transfer-Encoding stands beside it. So the head is looked at as it came.
func misframed(h *fasthttp.RequestHeader) *failure.Error {
	switch target := h.RequestURI(); {
	case len(target) == 0 || target[0] != '/':
		return failure.New(failure.BadFraming, "The request's target must be a path. This is no forward proxy.")
	case !visible(target):
		return failure.New(failure.BadFraming, "The request's target holds bytes that must be percent-encoded.")
	}
	if v := string(h.Protocol()); v != "HTTP/1.1" && v != "HTTP/1.0" {
		return failure.New(failure.BadFraming, "The request must be HTTP/1.1 or HTTP/1.0.")
	}
	return misframedLines(h.RawHeaders())
}

func misframedLines(raw []byte) *failure.Error {
	length, coding := false, false
	for n := 0; len(raw) > 0; n++ {
		text, rest, ok := bytes.Cut(raw, []byte("\r\n"))
		switch {
		case !ok || bytes.IndexByte(text, '\n') >= 0:
			return failure.New(failure.BadFraming, "A header line does not end with CRLF.")
		case len(text) == 0 && len(rest) == 0:
			return nil
		case n >= maxHeaders:
			return failure.Newf(failure.HeadersTooLarge, "The request has more than %d header lines.", maxHeaders)
		}
		name, value, ok := bytes.Cut(text, []byte(":"))
		if !ok || !token(name) {
			return failure.New(failure.BadFraming, "A header line has no valid name.")
		}
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length || !digits(bytes.Trim(value, " \t")) {
				return failure.New(failure.BadFraming, "The request's Content-Length is not one number.")
			}
			length = true
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			if coding || !bytes.EqualFold(bytes.Trim(value, " \t"), []byte("chunked")) {
				return failure.New(failure.BadFraming, "The request's Transfer-Encoding is not chunked.")
			}
			coding = true
		}
		if length && coding {
			return failure.New(failure.BadFraming, "The request has both Content-Length and Transfer-Encoding.")
		}
		raw = rest
	}
	return nil
}

// visible says whether all of s is printable ASCII without blanks.
func visible(s []byte) bool {
	for _, c := range s {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// token says whether s can be the name of a header.
func token(s []byte) bool {
	for _, c := range s {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("-_!#$%&'*+.^`|~", c) < 0 {
			return false
		}
	}
	return len(s) > 0
}

func digits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}
