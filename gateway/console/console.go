// Package console is the admin listener: the admin API, health and metrics.
package console

import (
	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/failure"
)

// Call is one call of the admin API.
type Call struct{}

// Param returns the part of the path that stands for {name} in the pattern.
func (c *Call) Param(name string) string { return "" }

// Decode reads the JSON body strictly into v.
func (c *Call) Decode(v any) *failure.Error { return nil }

// Handler answers a call with a value that is sent as JSON.
type Handler func(c *Call) (any, *failure.Error)

// Config configures a Mux.
type Config struct {
	Token   string                  // bearer token for callers from other hosts; "" = only loopback may call /admin/v1/
	Ready   func() bool             // answers /readyz
	Metrics fasthttp.RequestHandler // answers /metrics
}

// Mux is the admin listener's handler.
type Mux struct{}

// New makes a Mux with /healthz, /readyz and /metrics.
func New(cfg Config) *Mux { return &Mux{} }

// Handle registers a handler, such as Handle("GET", "/admin/v1/pools/{name}", h). Not after serving began.
func (m *Mux) Handle(method, pattern string, h Handler) {}

// ServeHTTP answers one request of the admin listener.
func (m *Mux) ServeHTTP(ctx *fasthttp.RequestCtx) {}
