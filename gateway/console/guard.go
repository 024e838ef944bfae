package console

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/failure"
)

// guard says who may call the admin API.
//
// A caller that shows the token may. Without a token programs on this host may, but a connection from this host is not yet a
// program on it: it can be a reverse proxy that forwards others, or a browser that shows somebody's page. So a call that was
// forwarded, that came under a foreign host name (DNS rebinding) or from a page of another origin needs the token.
type guard struct{ token func() string }

func newGuard(token func() string) guard {
	if token == nil {
		token = func() string { return "" }
	}
	return guard{token}
}

func (g *guard) check(ctx *fasthttp.RequestCtx) *failure.Error {
	h, token := &ctx.Request.Header, g.token()
	if offered, ok := bearer(h.Peek(fasthttp.HeaderAuthorization)); ok && token != "" {
		want, sum := sha256.Sum256([]byte(token)), sha256.Sum256(offered)
		if subtle.ConstantTimeCompare(sum[:], want[:]) == 1 {
			return nil
		}
		return failure.New(failure.Unauthorized, "This is not the admin token.")
	}
	if local(ctx.RemoteAddr()) && !forwarded(h) && namesHost(h.Host()) && sameOrigin(h) {
		return nil
	}
	if token != "" {
		return failure.New(failure.Unauthorized, "The admin API needs the admin token: Authorization: Bearer TOKEN.")
	}
	fail := failure.New(failure.Forbidden, "The admin API is open to this host only. Set server.admin_token to call it from elsewhere.")
	fail.Code = "admin_not_allowed"
	return fail
}

func bearer(authorization []byte) ([]byte, bool) {
	scheme, token, ok := bytes.Cut(bytes.TrimSpace(authorization), []byte(" "))
	return bytes.TrimSpace(token), ok && bytes.EqualFold(scheme, []byte("bearer"))
}

// local reports whether the peer is on this host.
func local(peer net.Addr) bool {
	switch a := peer.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	default:
		return false
	}
}

// forwarded reports whether a proxy speaks for somebody else.
func forwarded(h *fasthttp.RequestHeader) bool {
	for _, name := range [...]string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} {
		if h.Peek(name) != nil {
			return true
		}
	}
	return false
}

// namesHost reports whether the Host header is an address or localhost, which no DNS answer can turn to somewhere else.
func namesHost(host []byte) bool {
	name := string(host)
	if n, _, err := net.SplitHostPort(name); err == nil {
		name = n
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

// sameOrigin reports whether a call comes from no web page, or from one of this listener.
func sameOrigin(h *fasthttp.RequestHeader) bool {
	origin := h.Peek(fasthttp.HeaderOrigin)
	if origin == nil {
		return true
	}
	u, err := url.Parse(string(origin))
	return err == nil && strings.EqualFold(u.Host, string(h.Host()))
}
