package gateway

import (
	"bytes"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/route"
)

// handle is the whole way of a request. Each step is one call; the first that fails ends it.
func (g *Gateway) handle(ctx *fasthttp.RequestCtx) {
	x := g.begin(ctx)
	defer x.rescue()
	if fail := x.serve(); fail != nil {
		x.refuse(fail)
	}
}

func (x *exchange) serve() *failure.Error {
	if fail := x.match(); fail != nil {
		return fail
	}
	if fail := x.identify(); fail != nil {
		return fail
	}
	if x.ep.Own {
		return x.answerOwn()
	}
	if x.ep.Family == api.ResponseByID {
		return x.serveStored()
	}
	if fail := x.readBody(); fail != nil {
		return fail
	}
	if fail := x.findRoute(); fail != nil {
		return fail
	}
	if fail := x.admit(); fail != nil {
		return fail
	}
	if fail := x.guardInput(); fail != nil {
		return fail
	}
	x.watchClient()
	if answered, fail := x.recall(); answered || fail != nil {
		return fail
	}
	if fail := x.dispatch(); fail != nil {
		return fail
	}
	if fail := x.guardOutput(); fail != nil {
		return fail
	}
	x.commit()
	return nil
}

// match finds what the path means and refuses messages whose framing is ambiguous.
func (x *exchange) match() *failure.Error {
	h := &x.ctx.Request.Header
	ep, fail := matchHead(h)
	x.ep = ep
	x.rec.Family = ep.Family.String()
	return fail
}

// matchHead is match on the head alone, so that it can also be asked before the body is read.
func matchHead(h *fasthttp.RequestHeader) (api.Endpoint, *failure.Error) {
	if fail := misframed(h); fail != nil {
		return api.Endpoint{}, fail
	}
	path := pathOf(h)
	ep, ok := api.Find(path)
	switch coding := h.Peek("Content-Encoding"); {
	case !ok:
		return ep, failure.Newf(failure.PathNotFound, "There is no %s here. The OpenAI-compatible API is under /v1/.", printable(path))
	case !ep.Takes(h.Method()):
		return ep, failure.Newf(failure.MethodNotAllowed, "%s takes %s requests only.", printable(path), ep.Method)
	case len(coding) > 0 && !bytes.EqualFold(coding, []byte("identity")):
		return ep, failure.New(failure.BadMediaType, "Compressed requests are not taken. Send the body without Content-Encoding.")
	}
	return ep, nil
}

// identify finds who calls.
func (x *exchange) identify() *failure.Error {
	if x.ep.Family == api.Health {
		return nil
	}
	consumer, fail := x.state.identify(&x.ctx.Request.Header, x.clientIP)
	x.consumer = consumer
	x.rec.Consumer = consumer.Name
	return fail
}

// readBody reads the request into its view. The bytes stay where they are.
func (x *exchange) readBody() *failure.Error {
	x.body = x.ctx.PostBody()
	x.rec.BytesIn = int64(len(x.body))
	if !x.g.bodies.hold(&x.ctx.Request.Header, len(x.body), time.Time{}, int64(x.state.cfg.Server.MaxBodyTotal)) {
		return memoryFull()
	}
	view, fail := api.Read(x.ep, x.ctx.Request.Header.ContentType(), x.body)
	if fail != nil {
		return fail
	}
	x.view = view
	x.nameApp()
	x.rec.Model, x.rec.Stream = view.Model, view.Stream
	if !x.consumer.Allows(view.Model) {
		return failure.Newf(failure.Forbidden, "This API key may not use the model %q.", view.Model)
	}
	return x.readPriority()
}

// nameApp finds the calling app and takes its name from the model's, so that no engine and no rule sees it there.
func (x *exchange) nameApp() {
	x.view.Model, x.app = x.state.table.Split(x.view.Model, x.state.listed)
	if id := x.ctx.Request.Header.Peek(headerDifyApp); x.app == "" && route.IsApp(string(id)) {
		x.app = string(id)
	}
	x.rec.App = x.app
}

func memoryFull() *failure.Error {
	return failure.New(failure.MemoryFull, "The gateway holds too many large requests. Please try again.").After(time.Second)
}

func (x *exchange) findRoute() *failure.Error {
	r, fail := x.state.table.Find(route.Query{Subject: x.subject(x.view.Model), Allows: x.consumer.Allows, Listed: x.state.listed})
	if fail != nil {
		fail.Param = "model"
		return fail
	}
	x.route = r
	x.rec.Route = r.Name
	return nil
}

// rescue turns a panic into an answer: it is the outermost frame of a request.
func (x *exchange) rescue() {
	p := recover()
	if p == nil {
		return
	}
	x.refuse(x.mistake(p))
}

// mistake is the failure that a panic stands for; it is logged.
func (x *exchange) mistake(p any) *failure.Error { return x.g.mistake(p, x.rec.ID) }

func (g *Gateway) mistake(p any, request string) *failure.Error {
	g.log.Error("panic while serving a request", "request_id", request, "panic", fmt.Sprint(p), "stack", stack())
	return failure.New(failure.Internal, "The gateway made a mistake. It has been logged.").Because(fmt.Errorf("panic: %v", p))
}
