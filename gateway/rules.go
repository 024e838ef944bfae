package gateway

import (
	"strconv"
	"strings"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/guard"
)

// guardInput looks at the request's texts. What is masked is masked for all that follows.
func (x *exchange) guardInput() *failure.Error {
	if x.state.guard == nil {
		return nil
	}
	s := x.subject(x.view.Model)
	x.guard = x.state.guard.For(&s)
	if x.guard == nil || x.ep.Multipart {
		return nil
	}
	body, refusal := x.guard.Input(x.body)
	x.rec.Guard = ruled(x.guard)
	if refusal != nil {
		return x.refused(refusal)
	}
	if len(body) == len(x.body) && &body[0] == &x.body[0] {
		return nil
	}
	view, fail := api.Read(x.ep, x.ctx.Request.Header.ContentType(), body)
	if fail != nil {
		return fail
	}
	view.Model = x.view.Model // the app's name was behind it
	if x.place != nil && x.place.MaxTokens > 0 {
		view.Bound(x.place.MaxTokens)
	}
	x.body, x.view = body, view
	return nil
}

// guardOutput looks at an answer that is whole, and lets the relay look at one that comes in pieces.
func (x *exchange) guardOutput() *failure.Error {
	if !x.guard.ChecksOutput() || !generates(x.ep.Family) && x.ep.Family != api.ResponseByID {
		return nil
	}
	switch {
	case x.relay.Stream != nil:
		n := 1
		if x.view != nil {
			n = x.view.N
		}
		if s := x.guard.Stream(x.ep.Family, n, x.voice()); s != nil {
			x.relay.Editor = s
		}
	case x.isWhole:
		body, refusal := x.guard.Output(x.ep.Family, x.whole)
		if refusal != nil {
			return x.unsaid(x.refused(refusal))
		}
		x.whole = body
	case !isMedia(x.relay.Attempt.Head.ContentType(), "audio/"):
		return x.unsaid(failure.New(failure.ContentRefused, "The answer is too long to be checked."))
	}
	return nil
}

// unsaid gives up an answer that has come and must not go out. The engine has worked for it all the same.
func (x *exchange) unsaid(fail *failure.Error) *failure.Error {
	x.relay.Abandon()
	return fail
}

// voice names an answer that a rule gives.
func (x *exchange) voice() api.Refusal {
	r := api.Refusal{ID: x.rec.ID, Created: x.rec.Time.Unix()}
	if x.view != nil {
		r.Model = x.view.Model
	}
	return r
}

// refused is the answer to a request that a rule refuses: an error, or a whole answer with the rule's words in it.
func (x *exchange) refused(r *guard.Refusal) *failure.Error {
	fail := r.Failure()
	if r.Answer && x.view != nil {
		said := x.voice()
		said.Text = r.Message
		if body := api.RefusalAnswer(x.ep.Family, &said, x.view.Stream); body != nil {
			fail.Status, fail.Body, fail.Events, fail.Final = 200, body, x.view.Stream, false
		}
	}
	return fail
}

// ruled tells in a word which rules found how much, such as "pii=mask:2".
func ruled(s *guard.Session) string {
	notes := s.Notes()
	if len(notes) == 0 {
		return ""
	}
	var b strings.Builder
	for i, n := range notes {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(n.Rule + "=" + n.Action + ":" + strconv.Itoa(n.Count))
		if n.Side == "output" {
			b.WriteString(":output")
		}
	}
	return b.String()
}
