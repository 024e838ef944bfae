package gateway

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"

	"github.com/valyala/fasthttp"
)

const (
	headerRequestID = "X-Request-Id"
	headerExplain   = "X-Warmlane-Explain"
	headerDifyApp   = "X-Dify-App-Id" // set by plugins for Dify that tell the app
	headerRank      = "X-Data-Parallel-Rank"
	maxRequestID    = 128
)

// requestID is the caller's X-Request-Id where it is sane, else a new one.
func requestID(h *fasthttp.RequestHeader) string {
	if id := h.Peek(headerRequestID); len(id) > 0 && len(id) <= maxRequestID && plain(id) {
		return string(id)
	}
	return newID()
}

func newID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	return hex.EncodeToString(b[:])
}

func plain(s []byte) bool {
	for _, c := range s {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// pathOf is the path as it was sent, without the query and undecoded.
func pathOf(h *fasthttp.RequestHeader) []byte {
	uri := h.RequestURI()
	if i := bytes.IndexByte(uri, '?'); i >= 0 {
		uri = uri[:i]
	}
	return uri
}

func queryOf(h *fasthttp.RequestHeader) []byte {
	uri := h.RequestURI()
	if i := bytes.IndexByte(uri, '?'); i >= 0 {
		return uri[i+1:]
	}
	return nil
}

func printable(path []byte) string {
	if len(path) > 100 {
		path = path[:100]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, string(path))
}

// dropped says whether a header of the caller stays behind: hop-by-hop ones, credentials, and what only the gateway may say. Servers
// after CGI's manner take an underscore for a hyphen, so such a name is judged as they read it.
func dropped(name []byte) bool {
	if bytes.IndexByte(name, '_') >= 0 {
		name = []byte(http.CanonicalHeaderKey(strings.ReplaceAll(string(name), "_", "-")))
	}
	switch string(name) {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade", "Expect",
		"Accept-Encoding", "Authorization", "Api-Key", "X-Api-Key", "Cookie", "Forwarded", headerRank, headerRequestID:
		return true
	}
	for _, prefix := range []string{"Proxy-", "X-Forwarded-", "X-Warmlane-"} {
		if len(name) >= len(prefix) && string(name[:len(prefix)]) == prefix {
			return true
		}
	}
	return false
}

// forwardHeader appends the header lines that go to every engine.
func forwardHeader(dst []byte, h *fasthttp.RequestHeader, id string) []byte {
	named := h.PeekAll("Connection")
	for name, value := range h.All() {
		if dropped(name) || names(named, name) {
			continue
		}
		dst = line(dst, string(name), value)
	}
	if len(h.ContentType()) == 0 {
		dst = line(dst, "Content-Type", []byte("application/json"))
	}
	return line(dst, headerRequestID, []byte(id))
}

func line(dst []byte, name string, value []byte) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

// names says whether one of the comma-separated lists holds name.
func names(lists [][]byte, name []byte) bool {
	for _, list := range lists {
		for len(list) > 0 {
			var item []byte
			item, list, _ = bytes.Cut(list, []byte(","))
			if bytes.EqualFold(bytes.TrimSpace(item), name) {
				return true
			}
		}
	}
	return false
}

// keptBack says whether a header of the engine does not go to the client.
func keptBack(name []byte) bool {
	switch string(name) {
	case "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Trailer", "Upgrade", "Proxy-Connection",
		"Server", "Date", "Content-Type", "Set-Cookie", headerRequestID:
		return true
	}
	return len(name) > 8 && string(name[:8]) == "X-Accel-" // nginx in front would obey it
}

// clientIP is the peer's address, or behind a trusted proxy the last address in X-Forwarded-For that is not one itself.
func clientIP(ctx *fasthttp.RequestCtx, trusted []netip.Prefix) netip.Addr {
	tcp, ok := ctx.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := tcp.AddrPort().Addr().Unmap()
	if !within(ip, trusted) {
		return ip
	}
	hops := bytes.Split(bytes.Join(ctx.Request.Header.PeekAll(fasthttp.HeaderXForwardedFor), []byte(",")), []byte(","))
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(string(bytes.TrimSpace(hops[i])))
		if err != nil {
			break
		}
		if ip = hop.Unmap(); !within(ip, trusted) {
			break
		}
	}
	return ip
}

func within(ip netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

func stack() string { return string(debug.Stack()) }
