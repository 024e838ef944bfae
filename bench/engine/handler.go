package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// handle is the HTTP server's entry.
func (l *life) handle(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set("Vary", "Origin")
	id := string(ctx.Request.Header.Peek("X-Request-Id"))
	if id == "" {
		id = fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	}
	h.Set("X-Request-Id", id)
	path := string(ctx.Path())
	if !l.awaitThawWatched(ctx) {
		ctx.SetConnectionClose()
		return
	}
	if key := l.s.cfg.APIKey; key != "" && strings.HasPrefix(path, "/v1") && string(ctx.Request.Header.Peek("Authorization")) != "Bearer "+key {
		writeJSON(ctx, 401, []byte(`{"error":"Unauthorized"}`))
		return
	}
	if generate := l.generation(path); generate != nil {
		if !method(ctx, fasthttp.MethodPost) {
			return
		}
		if p := l.s.refusal(); p != nil {
			l.s.fail(ctx, p)
			return
		}
		generate(ctx)
		return
	}
	l.handleRest(ctx, path)
}

// awaitThawWatched holds the request while the life hangs, and lets go of it when its client leaves.
func (l *life) awaitThawWatched(ctx *fasthttp.RequestCtx) bool {
	l.mu.Lock()
	hangs := l.frozen != nil
	l.mu.Unlock()
	if !hangs {
		return true
	}
	gone := make(chan struct{})
	w := startWatch(ctx.Conn(), func() { close(gone) })
	defer w.stop()
	return l.awaitThaw(gone)
}

// generation returns the handler of a path that runs on the engine, nil for others.
func (l *life) generation(path string) func(*fasthttp.RequestCtx) {
	switch path {
	case "/v1/chat/completions":
		return l.handleChat
	case "/v1/completions":
		return l.handleCompletions
	case "/v1/embeddings":
		return l.handleEmbeddings
	}
	return nil
}

func (l *life) handleRest(ctx *fasthttp.RequestCtx, path string) {
	switch {
	case path == "/health" || path == "/ping" || l.s.cfg.Dialect == SGLang && path == "/health_generate":
		ctx.SetStatusCode(200)
	case path == "/metrics":
		l.handleMetrics(ctx)
	case path == "/v1/models":
		l.handleModels(ctx)
	case path == "/version":
		writeJSON(ctx, 200, []byte(`{"version":"0.32.0"}`))
	case path == "/load":
		writeJSON(ctx, 200, fmt.Appendf(nil, `{"server_load":%d}`, l.load()))
	case path == "/tokenize":
		if method(ctx, fasthttp.MethodPost) {
			l.handleTokenize(ctx)
		}
	case path == "/detokenize":
		if method(ctx, fasthttp.MethodPost) {
			l.handleDetokenize(ctx)
		}
	case l.s.cfg.Dialect == SGLang && (path == "/v1/loads" || path == "/get_load"):
		l.handleLoads(ctx, path)
	default:
		writeJSON(ctx, 404, []byte(`{"detail":"Not Found"}`))
	}
}

// load returns the number of generation requests in the house.
func (l *life) load() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls)
}

// method lets only one method pass and answers the others.
func method(ctx *fasthttp.RequestCtx, want string) bool {
	if string(ctx.Method()) == want {
		return true
	}
	ctx.Response.Header.Set("Allow", want)
	writeJSON(ctx, 405, []byte(`{"detail":"Method Not Allowed"}`))
	return false
}

// refusal returns how new requests are turned away at present, nil when they are served.
func (s *Server) refusal() *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.mode.Kind {
	case FaultDrain:
		return internalError("cannot schedule new futures after shutdown")
	case FaultError500:
		return internalError("EngineCore encountered an issue. See stack trace (above) for the root cause.")
	case FaultRefuse:
		p := busy()
		if s.mode.Status == 429 {
			p.status, p.kind, p.message = 429, "RateLimitError", "Too many requests."
		}
		return p
	}
	return nil
}

// knows checks the model of a request.
func (s *Server) knows(b *body) *problem {
	names := s.names()
	if b.Model == "" || slices.Contains(names, b.Model) {
		return nil
	}
	return &problem{
		status: 404, kind: "NotFoundError", param: "model",
		message: fmt.Sprintf("The model `%s` does not exist. Valid aliases: %s.", b.Model, strings.Join(names, ", ")),
	}
}

// names returns all served names.
func (s *Server) names() []string {
	return slices.Concat([]string{s.cfg.Model}, s.cfg.Aliases, s.cfg.Adapters)
}

func (l *life) handleChat(ctx *fasthttp.RequestCtx) {
	b, p := readBody(ctx)
	if p == nil && b.Messages == nil {
		p = missing(ctx, "messages")
	}
	if p == nil {
		p = l.s.knows(b)
	}
	if p != nil {
		l.s.fail(ctx, p)
		return
	}
	tokens, key, p := b.chatTokens(l.s.cfg.Seed)
	if p == nil {
		var c *call
		if c, p = l.newCall(ctx, chatFamily, b, [][]uint32{tokens}, func(int) uint64 { return key }); p == nil {
			c.run(ctx, b.Stream)
			return
		}
	}
	l.s.fail(ctx, p)
}

func (l *life) handleCompletions(ctx *fasthttp.RequestCtx) {
	b, p := readBody(ctx)
	if p == nil {
		p = l.s.knows(b)
	}
	var prompts [][]uint32
	if p == nil {
		prompts, p = textTokens(b.Prompt, "prompt")
	}
	if p == nil {
		var c *call
		seed := l.s.cfg.Seed
		if c, p = l.newCall(ctx, completionFamily, b, prompts, func(i int) uint64 { return tokenKey(seed, prompts[i]) }); p == nil {
			c.run(ctx, b.Stream)
			return
		}
	}
	l.s.fail(ctx, p)
}
