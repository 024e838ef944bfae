package gateway

import (
	"context"
	"time"
)

// Phases is told how a gateway lives. Its methods may be called from any goroutine.
type Phases interface {
	// Serving is told when requests are served, and again at the end of each reload.
	Serving()
	// Reloading is told when the configuration is read again.
	Reloading()
	// Stopping is told when the gateway begins to stop; within that time it is gone.
	Stopping(within time.Duration)
	// Alive is told every second as long as the gateway's locks can be had, so that requests go on.
	Alive()
}

// pulse tells that the gateway is alive, until ctx ends.
func (g *Gateway) pulse(ctx context.Context) {
	if g.phases == nil {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, p := range g.state.Load().pools {
				p.Wake(now)
			}
			g.mu.Lock()
			g.mu.Unlock()
			g.phases.Alive()
		}
	}
}
