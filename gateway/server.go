package gateway

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/console"
	"github.com/warmlane/warmlane/gateway/failure"
)

const (
	// writeBuffer holds what leaves in one write: some thirty events.
	writeBuffer = 8 << 10
	// idleClient is how long a client's unused connection is kept; longer than the pools of common clients.
	idleClient = 120 * time.Second
	// maxChunked is the largest body without a Content-Length: beyond it the server would copy the whole body for each chunk.
	maxChunked = 96 << 20
	// refusedBody is the body limit of a request that is refused on its head: its body is never read.
	refusedBody = 1
)

// newServer is the application listener's server. Bodies are read whole before the handler runs, since they must be understood to
// be routed and kept to be repeated; what the head alone decides is decided before.
func (g *Gateway) newServer(cfg *config.Config) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      g.handle,
		HeaderReceived:               g.headReceived,
		ExpectHandler:                g.expect,
		ErrorHandler:                 g.malformed,
		MaxRequestBodySize:           int(cfg.Server.MaxBody),
		ReadBufferSize:               int(cfg.Server.MaxHeader),
		WriteBufferSize:              writeBuffer,
		ReadTimeout:                  cfg.Server.ReadTimeout.Header.Std(),
		IdleTimeout:                  idleClient,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		NoDefaultDate:                true,
		SecureErrorLogMessage:        true,
		DisablePreParseMultipartForm: true,
		Logger:                       quiet{},
	}
}

func newAdminServer(mux *console.Mux) *fasthttp.Server {
	return &fasthttp.Server{
		Handler: mux.ServeHTTP, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: idleClient,
		NoDefaultServerHeader: true, NoDefaultContentType: true, MaxRequestBodySize: 1 << 20, SecureErrorLogMessage: true,
		ReduceMemoryUsage: true, Logger: quiet{},
	}
}

// quiet drops the server's own lines: every fault of a request has its access line.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// headReceived decides on the head alone whether the body is worth reading.
func (g *Gateway) headReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	cfg := g.state.Load().cfg
	rc := fasthttp.RequestConfig{ReadTimeout: cfg.Server.ReadTimeout.Body.Std(), MaxRequestBodySize: int(cfg.Server.MaxBody)}
	if h.ContentLength() < 0 {
		rc.MaxRequestBodySize = min(rc.MaxRequestBodySize, maxChunked)
	}
	switch fail := g.refusesHead(h, nil); {
	case fail != nil && (endsConnection(fail.Kind) || h.ContentLength() < 0):
		// What a body would be is unclear, or it comes in chunks, which would take the head with them. The raw head stays as it came.
		h.SetContentLength(0)
		h.SetConnectionClose()
	case fail != nil || !g.expectBody(h):
		rc.MaxRequestBodySize = refusedBody
	}
	return rc
}

// endsConnection says whether nothing may be read after a request that is refused for the reason k, body or next request.
func endsConnection(k failure.Kind) bool {
	return k == failure.BadFraming || k == failure.HeadersTooLarge
}

// expectBody counts an announced body towards the memory that bodies may take; false when there is no room.
func (g *Gateway) expectBody(h *fasthttp.RequestHeader) bool {
	cfg := &g.state.Load().cfg.Server
	return g.bodies.hold(h, h.ContentLength(), time.Now().Add(cfg.ReadTimeout.Body.Std()+time.Second), int64(cfg.MaxBodyTotal))
}

// refusesHead is why a request can be refused without reading its body; nil if it cannot. Without an address ip, wrong keys are not counted.
// It also runs where no handler does, so it rescues itself.
func (g *Gateway) refusesHead(h *fasthttp.RequestHeader, ip func() netip.Addr) (fail *failure.Error) {
	defer func() {
		if p := recover(); p != nil {
			fail = g.mistake(p, "")
		}
	}()
	if _, fail := matchHead(h); fail != nil {
		return fail
	}
	_, fail = g.state.Load().identify(h, ip)
	return fail
}

// refusesUnread is refusesHead for a request that gets its answer now.
func (g *Gateway) refusesUnread(ctx *fasthttp.RequestCtx) *failure.Error {
	return g.refusesHead(&ctx.Request.Header, func() netip.Addr {
		return clientIP(ctx, g.state.Load().cfg.Server.TrustedProxies)
	})
}

// expect answers Expect: 100-continue: the body is asked for only where the head passes.
func (g *Gateway) expect(ctx *fasthttp.RequestCtx) int {
	fail := g.refusesUnread(ctx)
	if fail == nil && ctx.Request.Header.ContentLength() > int(g.state.Load().cfg.Server.MaxBody) {
		fail = tooLarge(g.state.Load().cfg)
	}
	if fail == nil && !g.expectBody(&ctx.Request.Header) {
		fail = memoryFull()
	}
	if fail == nil {
		return fasthttp.StatusContinue
	}
	g.refuseUnread(ctx, fail)
	return fail.HTTPStatus()
}

// malformed answers a request that could not be read to its end. The connection closes afterwards.
func (g *Gateway) malformed(ctx *fasthttp.RequestCtx, err error) {
	cfg := g.state.Load().cfg
	var small *fasthttp.ErrSmallBuffer
	var fail *failure.Error
	switch {
	case errors.As(err, &small):
		fail = failure.Newf(failure.HeadersTooLarge, "The request's line and headers exceed %s.", config.Size(g.server.ReadBufferSize))
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		// A body that grew too large in chunks has taken the head with it.
		if len(ctx.Request.Header.Host()) > 0 {
			fail = g.refusesUnread(ctx)
		}
		switch {
		case fail != nil:
		case len(ctx.Request.Header.Host()) == 0:
			fail = failure.Newf(failure.BodyTooLarge, "The request's body exceeds the limit of %s (%s without Content-Length).",
				cfg.Server.MaxBody, min(cfg.Server.MaxBody, config.Size(maxChunked)))
		case ctx.Request.Header.ContentLength() > int(cfg.Server.MaxBody) || ctx.Request.Header.ContentLength() <= 0:
			fail = tooLarge(cfg)
		default:
			fail = memoryFull()
		}
	case slow(err):
		fail = failure.New(failure.RequestTimeout, "The request was sent too slowly.")
	case brokenOff(err):
		fail = failure.New(failure.ClientGone, "The client left before its request was sent.").Because(err)
	default:
		fail = failure.New(failure.BadFraming, "The request is not valid HTTP/1.1.").Because(err)
	}
	g.refuseUnread(ctx, fail)
}

// slow says whether a request was not read to its end in time. The server hides what broke a chunk but for its text.
func slow(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout() || brokenChunk(err, os.ErrDeadlineExceeded)
}

// brokenOff says whether the client's side ended in the middle of a request.
func brokenOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		brokenChunk(err, io.EOF) || brokenChunk(err, syscall.ECONNRESET)
}

func brokenChunk(err, by error) bool {
	var chunk fasthttp.ErrBrokenChunk
	return errors.As(err, &chunk) && strings.HasSuffix(chunk.Error(), by.Error())
}

func tooLarge(cfg *config.Config) *failure.Error {
	return failure.Newf(failure.BodyTooLarge, "The request's body exceeds the limit of %s.", cfg.Server.MaxBody)
}

// refuseUnread answers a request whose body was not read, with its own access line.
func (g *Gateway) refuseUnread(ctx *fasthttp.RequestCtx, fail *failure.Error) {
	x := g.begin(ctx)
	if !endsConnection(fail.Kind) {
		x.ep, _ = matchHead(&ctx.Request.Header)
		x.rec.Family = x.ep.Family.String()
	}
	x.refuse(fail)
}
