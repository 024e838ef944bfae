package gateway_test

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
)

// A gateway that is told to stop before it has begun to serve ends, and so do its listeners.
func TestRun_StopsBeforeItHasBegun(t *testing.T) {
	cfg, err := config.Parse("run.yaml", []byte("server: {lame_duck: 0s, drain: 1s}\npools: [{name: m, endpoints: [\"http://127.0.0.1:1\"]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		app, admin := listen(t), listen(t)
		g, err := gateway.New(cfg, gateway.Options{Listener: app, AdminListener: admin, Log: slog.DiscardHandler})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Run(ctx); err != nil {
			t.Fatal(err)
		}
		for _, l := range []net.Listener{app, admin} {
			if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
				_ = c.Close()
				t.Fatalf("%v is still listened on", l.Addr())
			}
		}
	}
}
