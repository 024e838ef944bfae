package gateway

import (
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/failure"
)

// Proxies such as HAProxy add a second X-Forwarded-For line: the last line counts, the first is the caller's own.
func TestHead_SecondForwardedForLineCounts(t *testing.T) {
	var ctx fasthttp.RequestCtx
	var req fasthttp.Request
	req.Header.Add("X-Forwarded-For", "9.9.9.9") // the caller's lie
	req.Header.Add("X-Forwarded-For", "1.2.3.4") // of the trusted proxy
	ctx.Init(&req, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}, nil)
	if ip := clientIP(&ctx, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}); ip.String() != "1.2.3.4" {
		t.Errorf("the caller is %s, want 1.2.3.4", ip)
	}
}

// The head of a request is looked at before any handler runs: a mistake there ends the request, not the process.
func TestHead_PanicIsAFailure(t *testing.T) {
	g := &Gateway{log: slog.New(slog.DiscardHandler)}
	g.state.Store(&state{}) // nobody knows any key
	var h fasthttp.RequestHeader
	h.SetMethod("POST")
	h.SetRequestURI("/v1/chat/completions")
	if fail := g.refusesHead(&h, nil); fail == nil || fail.Kind != failure.Internal {
		t.Errorf("refused with %v", fail)
	}
}
