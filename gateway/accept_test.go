package gateway_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
)

// scarce is a listener of a process that has no descriptor left for the next connections.
type scarce struct {
	net.Listener
	left atomic.Int64
}

func (s *scarce) Accept() (net.Conn, error) {
	if s.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return s.Listener.Accept()
}

// Too few descriptors are a rush, not the end of the gateway: who waits to be accepted is accepted once there is room.
func TestAccept_WaitsForDescriptors(t *testing.T) {
	u, _ := counting(t, good)
	for name, c := range map[string]struct{ app, admin int64 }{"clients": {app: 3}, "admin": {admin: 3}} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse("test.yaml", []byte(strings.ReplaceAll(onePool, "ENGINES", `["`+u+`"]`)))
			if err != nil {
				t.Fatal(err)
			}
			app, admin := &scarce{Listener: listen(t)}, &scarce{Listener: listen(t)}
			app.left.Store(c.app)
			admin.left.Store(c.admin)
			r := runRig(t, cfg, gateway.Options{Listener: app, AdminListener: admin})
			if a := r.post(chat, `{"model":"m","messages":[]}`); a.status != 200 {
				t.Errorf("a client is answered %d, %v", a.status, a.err)
			}
			if a := r.admin("GET", "/readyz", ""); a.status != 200 {
				t.Errorf("readiness is answered %d, %v", a.status, a.err)
			}
			if n := len(r.log("connections cannot be accepted")); n != 1 {
				t.Errorf("the log tells it %d times", n)
			}
		})
	}
}

// A gateway that has no descriptors left can be stopped.
func TestAccept_StopsWithoutDescriptors(t *testing.T) {
	u, _ := counting(t, good)
	cfg, err := config.Parse("test.yaml", []byte(strings.ReplaceAll(onePool, "ENGINES", `["`+u+`"]`)))
	if err != nil {
		t.Fatal(err)
	}
	app := &scarce{Listener: listen(t)}
	app.left.Store(1 << 40)
	cfg.Server.Admin = ""
	g, err := gateway.New(cfg, gateway.Options{Listener: app, Log: slog.DiscardHandler})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
}
