package gateway

import (
	"bytes"
	"time"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/upstream"
)

// maxWhole is up to which size an answer that is no stream is read before anything is sent, so that a cut one can be retried.
const maxWhole = 8 << 20

// opening is what one attempt has brought before anything goes to the client. Only that of the attempt whose answer is sent becomes the
// request's own.
type opening struct {
	relay      *upstream.Relay
	whole      []byte // an answer that is not relayed but was read whole
	isWhole    bool
	responseID string // of an answer that was read whole
	usage      api.Usage
	reasoned   bool      // the answer holds reasoning: the next turn does not extend what the engine has cached
	at         time.Time // when the first event, or the whole answer, was here
}

// openAnswer reads what must be known before anything is sent: the first event of a stream, or the whole of another answer. sink, which may
// be nil, takes its text.
func (x *exchange) openAnswer(a *upstream.Attempt, sink api.Sink) (opening, *failure.Error) {
	r := &upstream.Relay{Attempt: a, Follower: x, Family: x.ep.Family, Mistake: x.mistake}
	o := opening{relay: r, usage: api.NoUsage}
	streamed := isMedia(a.Head.ContentType(), "text/event-stream")
	if x.errand != nil {
		x.errand.prepare(r)
		streamed = x.errand.streamed(a.Head.ContentType(), x.view.Stream)
	}
	fail := r.Refused()
	switch {
	case fail != nil:
	case streamed:
		n := 1
		if x.view != nil {
			n = x.view.N
		}
		r.Stream = api.NewStream(x.ep.Family, n, x.view != nil && x.asksUsage())
		r.Sink = sink
		if fail = r.Open(); fail != nil && r.Stream.Err != nil && x.errand != nil {
			fail = x.errand.inside(r.Stream.Err)
		}
	case isMedia(a.Head.ContentType(), "audio/"):
	default:
		o.whole, o.isWhole, fail = r.Whole(maxWhole)
		if x.errand != nil && fail == nil {
			o.whole, fail = x.errand.answer(o.whole, o.isWhole)
		}
		if o.isWhole && fail == nil {
			fail = x.inspect(&o, sink)
		}
	}
	if fail != nil {
		r.Abandon()
		return opening{}, fail
	}
	o.at = time.Now()
	return o, nil
}

func isMedia(contentType []byte, prefix string) bool {
	return len(contentType) >= len(prefix) && bytes.EqualFold(contentType[:len(prefix)], []byte(prefix))
}

// inspect reads an answer that came whole: what it used, what it says, and whether it is an error or a piece of one after all.
func (x *exchange) inspect(o *opening, sink api.Sink) *failure.Error {
	a := o.relay.Attempt
	answer, ok := api.Inspect(x.ep.Family, o.whole, sink)
	switch {
	case !ok && a.EndsByClose() && isMedia(a.Head.ContentType(), "application/json"):
		return failure.New(failure.ConnectionLost, "The inference engine broke off its answer.")
	case !ok && answersObject(x.ep.Family) && (len(o.whole) == 0 || isMedia(a.Head.ContentType(), "application/json")):
		return failure.New(failure.BadAnswer, "The inference engine's answer is malformed.")
	case !ok:
		return nil
	case answer.Err != nil && x.errand != nil:
		return x.errand.inside(answer.Err)
	case answer.Err != nil:
		return upstream.Judge(answer.Err)
	}
	o.usage, o.reasoned = answer.Usage, answer.Reasoned
	if x.ep.Family == api.Responses {
		o.responseID = answer.ID
	}
	return nil
}

// answersObject says whether every whole answer of the family is a JSON object.
func answersObject(f api.Family) bool {
	switch f {
	case api.Chat, api.Completions, api.Responses, api.Messages, api.Embeddings:
		return true
	}
	return false
}

// opened takes the answer that will be sent. Its first event is here, or it is here as a whole.
func (x *exchange) opened(o *opening) {
	x.opening = *o
	if x.errand != nil {
		x.errand.opened()
	}
	x.last = o.at
	x.rec.TTFT = o.at.Sub(x.rec.Time)
	if x.lease != nil && !x.isWhole {
		x.lease.FirstToken(o.at)
	}
}
