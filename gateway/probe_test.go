package gateway

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/config"
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

// A generation probe succeeds by an answer only, and teaches by a token only.
func TestProbe_GenerationProbeWantsAnAnswer(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"error event": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, `data: {"error":{"message":"cannot schedule new futures after shutdown","code":500}}`+"\n\ndata: [DONE]\n\n")
		},
		"empty stream": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(200)
		},
		"silence": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(3 * time.Second):
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(serve)
			defer s.Close()
			cfg, err := config.FromPools([]string{"m=" + s.URL})
			if err != nil {
				t.Fatal(err)
			}
			p, err := newPool(cfg.Pools[0], slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			due := balancer.Probe{Endpoint: p.Endpoints()[0], Kind: balancer.ProbeGenerate, Timeout: time.Second}
			err = (&Gateway{}).generate(context.Background(), p, p.servers[0], due)
			if err == nil {
				t.Errorf("the probe succeeded")
			}
			t.Logf("err %v, measured %v", err, p.Status(time.Now())[0].Measured)
		})
	}
}
