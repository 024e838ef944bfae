package gateway

import (
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// outs are the endpoints of a pool that were out when they were last looked at.
type outs struct {
	states []balancer.State
	out    []bool
}

// tellOuts logs which endpoints of p have gone out or come back since it was last called. It is called by p's own goroutine only.
func (g *Gateway) tellOuts(p *pool, now time.Time) {
	o := &p.outs
	o.states = p.States(o.states[:0], now)
	if o.out == nil {
		o.out = make([]bool, len(o.states))
	}
	var all []balancer.EndpointStatus
	for i, state := range o.states {
		out := state == balancer.Ejected || state == balancer.Down
		if out == o.out[i] {
			continue
		}
		o.out[i] = out
		if all == nil {
			all = p.Status(now)
		}
		s := &all[i]
		if !out {
			g.log.Info("endpoint is back", "pool", p.Name(), "endpoint", s.URL, "state", state.String())
			continue
		}
		g.log.Warn("endpoint is out", "pool", p.Name(), "endpoint", s.URL, "state", state.String(), "reason", s.Reason, "ejections", s.Ejections)
	}
}
