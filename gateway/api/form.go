package api

import (
	"bytes"
	"mime"
	"strings"

	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/tokenize"
)

// Bounds of a multipart body. The uploaded file itself is bounded by the body.
const (
	maxParts      = 1000
	maxPartHeader = 16 << 10
	maxFieldValue = 1 << 10 // of the fields that are read
)

// readForm reads the fields of a multipart form (RFC 7578). Files are stepped over; the body stays as it is.
func (v *View) readForm(contentType, body []byte) *failure.Error {
	kind, params, err := mime.ParseMediaType(string(contentType))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return failure.New(failure.BadMediaType, "This path takes multipart/form-data with a boundary.").Because(err)
	}
	v.form = true
	parts := parts{body: body, delimiter: []byte("\r\n--" + params["boundary"])}
	if !parts.start() {
		return failure.New(failure.BadRequest, "The form does not start with its boundary.")
	}
	for range maxParts {
		more, reason := parts.next()
		if reason != "" {
			return failure.New(failure.BadRequest, reason)
		}
		if !more {
			return v.checkForm()
		}
		if fail := v.field(&parts); fail != nil {
			return fail
		}
	}
	return failure.Newf(failure.BadRequest, "The form has more than %d parts.", maxParts)
}

func (v *View) checkForm() *failure.Error {
	if v.Model == "" {
		return failure.Bad("model", "model is missing: name the model that shall answer in a form field.")
	}
	v.Source = tokenize.Source{Form: tokenize.Plain, Model: v.Model}
	return nil
}

func (v *View) field(p *parts) *failure.Error {
	name := p.name()
	value := p.value.of(p.body)
	switch name {
	case "model", "stream", "user":
	default:
		return nil
	}
	if len(value) > maxFieldValue {
		return failure.Bad(name, "%s is longer than %d bytes.", name, maxFieldValue)
	}
	text := string(bytes.ToValidUTF8(bytes.TrimSpace(value), []byte("\ufffd")))
	switch name {
	case "model":
		v.Model = text
		v.models = append(v.models, p.value)
	case "user":
		v.User = text
	case "stream":
		switch strings.ToLower(text) {
		case "true", "1", "on", "yes":
			v.Stream = true
		case "false", "0", "off", "no", "":
			v.Stream = false
		default:
			return failure.Bad("stream", "stream must be true or false.")
		}
	}
	return nil
}

// parts iterates over the parts of a multipart body and knows where they are in it, which mime/multipart does not tell.
type parts struct {
	body      []byte
	delimiter []byte
	pos       int
	header    span
	value     span
}

// start steps over the first boundary and what may stand before it.
func (p *parts) start() bool {
	opening := p.delimiter[2:]
	if bytes.HasPrefix(p.body, opening) {
		p.pos = len(opening)
		return true
	}
	i := bytes.Index(p.body, p.delimiter)
	p.pos = i + len(p.delimiter)
	return i >= 0
}

// next steps to the next part. It returns why it cannot, or more == false after the closing boundary.
func (p *parts) next() (more bool, reason string) {
	rest := p.body[p.pos:]
	if bytes.HasPrefix(rest, []byte("--")) {
		return false, ""
	}
	lineEnd := bytes.IndexByte(rest, '\n')
	if lineEnd < 0 || len(bytes.Trim(rest[:lineEnd], " \t\r")) > 0 {
		return false, "The form ends without its closing boundary."
	}
	p.pos += lineEnd + 1
	rest = p.body[p.pos:]
	p.header = span{p.pos, p.pos}
	if !bytes.HasPrefix(rest, []byte("\r\n")) { // a part without any header starts with the blank line
		i := bytes.Index(rest[:min(len(rest), maxPartHeader)], []byte("\r\n\r\n"))
		if i < 0 {
			return false, "A part of the form has no end of its header."
		}
		p.header.end = p.pos + i
		p.pos += i + 2
	}
	p.pos += 2
	i := bytes.Index(p.body[p.pos:], p.delimiter)
	if i < 0 {
		return false, "The form ends without its closing boundary."
	}
	p.value = span{p.pos, p.pos + i}
	p.pos += i + len(p.delimiter)
	return true, ""
}

// name returns the name of the current part's field, "" for files and for parts that have none.
func (p *parts) name() string {
	for line := range bytes.SplitSeq(p.header.of(p.body), []byte("\r\n")) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !bytes.EqualFold(bytes.TrimSpace(key), []byte("Content-Disposition")) {
			continue
		}
		_, params, err := mime.ParseMediaType(string(value))
		if _, file := params["filename"]; err != nil || file {
			return ""
		}
		return params["name"]
	}
	return ""
}
