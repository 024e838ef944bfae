package gateway

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

// answerOwn answers what the gateway knows itself: health and models.
func (x *exchange) answerOwn() *failure.Error {
	out := &x.ctx.Response
	switch x.ep.Family {
	case api.Health:
		if !x.g.serves() {
			return failure.New(failure.Draining, "The gateway is shutting down.").After(time.Second)
		}
		if !x.state.canServe(time.Now()) {
			return failure.New(failure.NoEndpoint, "No inference engine is available at the moment.").After(time.Second)
		}
	case api.Models:
		out.Header.SetContentType("application/json")
		out.SetBody(api.ModelList(x.state.models(x.consumer, time.Now())))
	case api.ModelByID:
		m, ok := x.state.model(x.consumer, x.ep.ID, time.Now())
		if !ok {
			fail := failure.Newf(failure.ModelNotFound, "The model %q does not exist.", x.ep.ID)
			fail.Param = "model"
			return fail
		}
		out.Header.SetContentType("application/json")
		out.SetBody(api.ModelCard(m))
	}
	x.rec.Status = fasthttp.StatusOK
	x.stamp()
	x.rec.BytesOut = int64(len(out.Body()))
	x.end(nil)
	return nil
}
