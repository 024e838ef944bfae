package observe

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/valyala/fasthttp"
)

// ServeMetrics answers a scrape with what g gathers, in the form that the scraper asks for (Prometheus text by default).
// When some metric cannot be gathered the answer is a 500 that says which.
func ServeMetrics(g prometheus.Gatherer) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		families, err := g.Gather()
		if err != nil {
			ctx.Error("gathering metrics: "+err.Error(), fasthttp.StatusInternalServerError)
			return
		}
		format := expfmt.NegotiateAccept(http.Header{
			"Accept": {string(ctx.Request.Header.Peek(fasthttp.HeaderAccept))},
		}, expfmt.DefaultOpenMetricsAcceptedFormats()...)
		ctx.SetContentType(string(format))
		encoder := expfmt.NewEncoder(ctx.Response.BodyWriter(), format)
		for _, f := range families {
			if err := encoder.Encode(f); err != nil {
				ctx.Error("writing metrics: "+err.Error(), fasthttp.StatusInternalServerError)
				return
			}
		}
		if closer, ok := encoder.(expfmt.Closer); ok {
			if err := closer.Close(); err != nil {
				ctx.Error("writing metrics: "+err.Error(), fasthttp.StatusInternalServerError)
			}
		}
	}
}
