package console

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

// Root is the path under which the admin API lies.
const Root = "/admin/v1/"

// Handler answers a call with a value that is sent as JSON (nil = an answer without a body; a *Document as it is) or with a failure.
type Handler func(c *Call) (any, *failure.Error)

// Config configures a Mux.
type Config struct {
	Token   func() string           // bearer token for callers from other hosts, asked at each call; nil or "" = only this host may call the admin API
	Ready   func() bool             // answers /readyz; nil = always ready
	Metrics fasthttp.RequestHandler // answers /metrics; nil = there is no such path
	Log     *slog.Logger            // for panics of handlers; nil = none
}

// Mux is the handler of the admin listener. It is safe for concurrent use once all handlers are registered.
type Mux struct {
	ready   func() bool
	metrics fasthttp.RequestHandler
	log     *slog.Logger
	guard   guard
	entries []entry
}

// entry is one registered handler.
type entry struct {
	method   string
	pattern  string
	segments []string
	handler  Handler
}

// New makes a Mux with /healthz, /readyz, /metrics and GET /admin/v1/, which lists what is registered.
func New(cfg Config) *Mux {
	m := &Mux{ready: cfg.Ready, metrics: cfg.Metrics, log: cfg.Log, guard: newGuard(cfg.Token)}
	if m.ready == nil {
		m.ready = func() bool { return true }
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.Handle(fasthttp.MethodGet, Root, m.list)
	return m
}

// Handle registers a handler, such as Handle("GET", "/admin/v1/pools/{name}", h). A part in braces stands for one part of a
// path, which may be escaped. It panics when the pattern is not under /admin/v1/ or is taken. Not after serving began.
func (m *Mux) Handle(method, pattern string, h Handler) {
	if !strings.HasPrefix(pattern, Root) {
		panic(fmt.Sprintf("BUG: admin handler %s is not under %s", pattern, Root))
	}
	for _, e := range m.entries {
		if e.method == method && e.pattern == pattern {
			panic(fmt.Sprintf("BUG: two admin handlers for %s %s", method, pattern))
		}
	}
	m.entries = append(m.entries, entry{method, pattern, strings.Split(pattern, "/"), h})
}

// ServeHTTP answers one request of the admin listener.
func (m *Mux) ServeHTTP(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Path())
	switch {
	case path == "/healthz":
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("ok\n")
	case path == "/readyz":
		m.answerReady(ctx)
	case path == "/metrics" && m.metrics != nil:
		m.metrics(ctx)
	default:
		m.answerAPI(ctx)
	}
}

func (m *Mux) answerReady(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("text/plain; charset=utf-8")
	if m.ready() {
		ctx.SetBodyString("ready\n")
		return
	}
	ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
	ctx.SetBodyString("not ready\n")
}

// answerAPI answers a call of the admin API.
func (m *Mux) answerAPI(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
	value, fail := m.call(ctx)
	if fail == nil && value == nil {
		ctx.SetStatusCode(fasthttp.StatusNoContent)
		return
	}
	if d, ok := value.(*Document); ok && fail == nil {
		ctx.SetContentType(d.Type)
		ctx.Response.Header.Set("Content-Disposition", `attachment; filename="`+d.Name+`"`)
		ctx.SetBody(d.Body)
		return
	}
	var body []byte
	if fail == nil {
		var err error
		if body, err = json.MarshalIndent(value, "", "  "); err != nil {
			m.log.Error("admin answer cannot be written as JSON", "path", string(ctx.Path()), "err", err)
			fail = internal()
		}
	}
	if fail != nil {
		ctx.SetStatusCode(fail.HTTPStatus())
		body = api.ErrorBody(api.Unknown, fail)
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(append(body, '\n'))
}

// call finds the handler and calls it, if the caller may.
func (m *Mux) call(ctx *fasthttp.RequestCtx) (value any, fail *failure.Error) {
	path := ctx.URI().PathOriginal()
	if !strings.HasPrefix(string(path), Root) {
		return nil, failure.New(failure.PathNotFound, "There is nothing at this path of the admin listener.")
	}
	if fail := m.guard.check(ctx); fail != nil {
		return nil, fail
	}
	e, params, fail := m.find(ctx, string(path))
	if fail != nil {
		return nil, fail
	}
	defer func() {
		if p := recover(); p != nil {
			m.log.Error("panic in an admin handler", "path", e.pattern, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			value, fail = nil, internal()
		}
	}()
	return e.handler(&Call{ctx: ctx, params: params})
}

func internal() *failure.Error {
	return failure.New(failure.Internal, "The gateway failed to answer this call; its log tells why.")
}

// find returns the handler for the request.
func (m *Mux) find(ctx *fasthttp.RequestCtx, path string) (*entry, map[string]string, *failure.Error) {
	method := string(ctx.Method())
	if method == fasthttp.MethodHead {
		method = fasthttp.MethodGet
	}
	segments := strings.Split(path, "/")
	var allowed []string
	for i := range m.entries {
		e := &m.entries[i]
		params, ok := e.match(segments)
		switch {
		case ok && e.method == method:
			return e, params, nil
		case ok:
			allowed = append(allowed, e.method)
		}
	}
	if len(allowed) == 0 {
		return nil, nil, failure.New(failure.PathNotFound, "The admin API has no such path. GET "+Root+" lists them.")
	}
	slices.Sort(allowed)
	allow := strings.Join(slices.Compact(allowed), ", ")
	ctx.Response.Header.Set("Allow", allow)
	return nil, nil, failure.New(failure.MethodNotAllowed, "This path of the admin API takes "+allow+".")
}

// list answers with all that is registered.
func (m *Mux) list(*Call) (any, *failure.Error) {
	calls := make([]string, len(m.entries))
	for i, e := range m.entries {
		calls[i] = e.method + " " + e.pattern
	}
	slices.Sort(calls)
	return map[string]any{"calls": calls}, nil
}
