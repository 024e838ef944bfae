package gateway

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

// commit sends the answer that dispatch has opened. From here on nothing can be tried again.
func (x *exchange) commit() {
	out := &x.ctx.Response
	head := &x.relay.Attempt.Head
	out.SetStatusCode(head.StatusCode())
	named := head.PeekAll("Connection")
	for name, value := range head.All() {
		if !keptBack(name) && !names(named, name) && (x.errand == nil || x.errand.passesBack(name)) {
			out.Header.AddBytesKV(name, value)
		}
	}
	if ct := x.contentType(head.ContentType()); len(ct) > 0 {
		out.Header.SetContentTypeBytes(ct)
	}
	x.stamp()
	x.rec.Status = head.StatusCode()
	if x.recording != nil {
		x.recording.ContentType = string(out.Header.ContentType())
		x.relay.Copy = x.recording.Write
	}
	if x.isWhole && x.responseID != "" {
		x.remember(x.responseID)
	}
	if x.isWhole && len(x.whole) <= oneWrite {
		x.commitWhole()
		return
	}
	if x.isWhole {
		x.relay.Hold(x.whole)
	}
	if x.relay.Stream != nil {
		out.Header.Set("Cache-Control", "no-cache")
		out.Header.Set("X-Accel-Buffering", "no")
	}
	out.SetBodyStream(x.relay, -1)
}

// contentType is the answer's: the engine's own, unless the answer was translated.
func (x *exchange) contentType(own []byte) []byte {
	if x.errand == nil {
		return own
	}
	switch _, translates := x.errand.sending.Translates(); {
	case !translates:
		return own
	case x.relay.Stream != nil:
		return []byte("text/event-stream; charset=utf-8")
	}
	return []byte("application/json")
}

// oneWrite is up to which size an answer leaves in one piece; longer ones are relayed, so that each piece has its own deadline.
const oneWrite = 1 << 20

// commitWhole sends an answer that was read to its end.
func (x *exchange) commitWhole() {
	x.relay.Abandon()
	if x.recording != nil {
		x.recording.Write(x.whole)
	}
	x.ctx.Response.SetBodyRaw(x.whole)
	x.rec.BytesOut = int64(len(x.whole))
	x.end(nil)
}

// sink takes the answer's text where it extends a prompt's chain; nil elsewhere.
func (x *exchange) sink() api.Sink {
	if x.pool == nil || x.builder == nil {
		return nil
	}
	return x
}

// stamp sets the headers that every answer carries, and when it must have left.
func (x *exchange) stamp() {
	x.Writing(time.Now())
	h := &x.ctx.Response.Header
	h.Set(headerRequestID, x.rec.ID)
	x.place.WriteTo(h)
	if x.rec.Pool != "" {
		h.Set("X-Warmlane-Target", x.rec.Pool)
		h.Set("X-Warmlane-Tries", strconv.Itoa(x.rec.Tries))
	}
	if x.rec.Hedged != "" {
		h.Set("X-Warmlane-Hedged", x.rec.Hedged)
	}
	if x.rec.Cache != "" {
		h.Set(headerCache, x.rec.Cache)
	}
	if x.rec.Similarity > 0 {
		h.Set(headerSimilarity, strconv.FormatFloat(x.rec.Similarity, 'f', -1, 64))
	}
	if x.g.draining.Load() {
		x.ctx.SetConnectionClose()
	}
	if x.explains() {
		h.Set("X-Warmlane-Decision", x.decision())
	}
}

func (x *exchange) explains() bool {
	return x.state.cfg.Observe.Explain && string(x.ctx.Request.Header.Peek(headerExplain)) == "1"
}

// decision is the routing decision in one line of JSON.
func (x *exchange) decision() string {
	d := struct {
		Pool         string   `json:"pool"`
		Endpoint     string   `json:"endpoint"`
		Policy       string   `json:"policy,omitempty"`
		Tries        int      `json:"tries"`
		Hedged       string   `json:"hedged,omitempty"`
		PassedOver   string   `json:"passed_over,omitempty"`
		Prompt       int      `json:"prompt_tokens,omitempty"`
		Matched      int      `json:"matched_tokens"`
		Cost         *float64 `json:"cost,omitempty"`
		RunnerUp     string   `json:"runner_up,omitempty"`
		RunnerUpCost *float64 `json:"runner_up_cost,omitempty"`
		Candidates   int      `json:"candidates,omitempty"`
		Queue        float64  `json:"queue_ms"`
		Guard        string   `json:"guard,omitempty"`
		App          string   `json:"app,omitempty"`
	}{Pool: x.rec.Pool, Endpoint: x.rec.Endpoint, Policy: x.rec.Policy, Tries: x.rec.Tries, Prompt: max(0, x.rec.PredictedPrompt)}
	d.Guard, d.PassedOver, d.App, d.Hedged = x.rec.Guard, x.rec.PassedOver, x.app, x.rec.Hedged
	d.Queue = float64(x.rec.Queue.Microseconds()) / 1000
	if x.lease != nil {
		why := x.lease.Decision()
		d.Matched, d.Candidates, d.RunnerUp = why.Matched, why.Candidates, why.RunnerUp
		d.Cost = finite(why.Cost)
		if why.RunnerUp != "" {
			d.RunnerUpCost = finite(why.RunnerUpCost)
		}
	}
	text, err := json.Marshal(d)
	if err != nil {
		return "{}"
	}
	return string(text)
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// refuse answers with the failure and ends the request. A client that has left gets nothing, and its connection is dropped.
func (x *exchange) refuse(fail *failure.Error) {
	if x.ended {
		return
	}
	if k := x.cancelled(); k != failure.None && fail.Kind != k {
		fail = failure.New(k, "The request was cancelled.").Because(fail)
	}
	if x.attempt != nil {
		x.attempt.Finish(false) // holds nothing any more, unless something panicked
	}
	if fail.Kind == failure.EngineRefused && fail.RetryAfter == 0 {
		fail.RetryAfter = time.Second
	}
	x.ctx.Response.Reset()
	writeFailure(x.ctx, x.ep.Family, fail)
	x.stamp()
	x.rec.Status = fail.HTTPStatus()
	if fail.Kind == failure.ClientGone || endsConnection(fail.Kind) || x.g.draining.Load() {
		x.ctx.SetConnectionClose()
	}
	x.rec.BytesOut = int64(len(x.ctx.Response.Body()))
	x.end(fail)
}

// writeFailure fills the response with the failure in the shape that family f's clients read.
func writeFailure(ctx *fasthttp.RequestCtx, f api.Family, fail *failure.Error) {
	out := &ctx.Response
	out.SetStatusCode(fail.HTTPStatus())
	out.Header.SetContentType("application/json")
	if fail.Events {
		out.Header.SetContentType("text/event-stream; charset=utf-8")
	}
	if fail.RetryAfter > 0 {
		out.Header.Set("Retry-After", strconv.Itoa(int(math.Ceil(fail.RetryAfter.Seconds()))))
		out.Header.Set("Retry-After-Ms", strconv.Itoa(int(math.Ceil(fail.RetryAfter.Seconds()*1000))))
	}
	if fail.Final {
		out.Header.Set("X-Should-Retry", "false")
	}
	body := fail.Body
	if body == nil {
		body = api.ErrorBody(f, fail)
	}
	out.SetBody(body)
}
