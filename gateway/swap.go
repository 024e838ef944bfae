package gateway

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/observe"
)

// tellEvery is how often a pool that was replaced tells the load of its last requests to the pool that came after it.
const tellEvery = 100 * time.Millisecond

// part is what states have in common and what is closed when no state has it any more.
type part interface{ Close() }

// parts are all parts of the state, each once.
func (s *state) parts() map[part]struct{} {
	all := map[part]struct{}{}
	if s.keys != nil {
		all[s.keys] = struct{}{}
	}
	for _, p := range s.pools {
		all[p] = struct{}{}
		for _, server := range p.servers {
			all[server] = struct{}{}
		}
	}
	for _, p := range s.providers {
		all[p.server] = struct{}{}
	}
	if s.redis != nil {
		all[s.redis] = struct{}{}
	}
	if s.answers != nil {
		all[s.answers] = struct{}{}
	}
	if s.usage != nil {
		all[s.usage] = struct{}{}
	}
	return all
}

// holders counts the states that have a part. It is guarded by Gateway.turning.
type holders map[part]int

func (h holders) take(s *state) {
	for p := range s.parts() {
		h[p]++
	}
}

func (h holders) drop(s *state) {
	for p := range s.parts() {
		if h[p]--; h[p] == 0 {
			delete(h, p)
			p.Close()
		}
	}
}

// swap puts s into the place of the present state. Pools that s has made anew go on from what those of the same name have learned. The
// replaced state ends with its last request, and so does the work for its pools. g.turning is held.
func (g *Gateway) swap(s *state) {
	old := g.state.Load()
	g.holders.take(s)
	for name, p := range s.pools {
		if was := old.pools[name]; was != p {
			p.adopt(was)
			g.start(p)
		}
	}
	g.metrics.Serve(s.labels())
	g.showRedis(s.redis)
	g.mu.Lock()
	g.state.Store(s)
	for name, p := range old.pools {
		if s.pools[name] != p {
			g.replaced[p] = struct{}{}
		}
	}
	old.retired = true
	if old.users == 0 {
		close(old.gone)
	}
	g.mu.Unlock()
	g.level.Set(observe.Level(s.cfg.Observe.Log.Level))
	for name, p := range old.pools {
		if s.pools[name] != p {
			p.stopPolling()
			g.background.Go(func() { g.bequeath(p) })
		}
	}
	g.background.Go(func() { g.retire(old) })
}

// retire waits for the last request of a replaced state and closes what only that state had.
func (g *Gateway) retire(old *state) {
	select {
	case <-old.gone:
	case <-g.work.Done():
	}
	g.turning.Lock()
	defer g.turning.Unlock()
	g.holders.drop(old)
}

// start begins the work for a pool: probes and readings of its engines.
func (g *Gateway) start(p *pool) {
	life, end := context.WithCancel(g.work)
	polling, stop := context.WithCancel(life)
	p.life, p.end, p.stopPolling = life, end, stop
	g.background.Go(func() { g.runProbes(life, p) })
	g.background.Go(func() { p.poller.Run(polling) })
}

// adopt takes over what the pool of that name before it has learned.
func (p *pool) adopt(old *pool) {
	if old == nil {
		return
	}
	old.told = old.Export(balancer.Cursor{}, time.Now()).Until
	p.Adopt(old.Pool)
	p.tokens, p.budget = old.tokens, old.budget
	p.hedging.adopt(old.hedging)
	p.spoken.Store(old.spoken.Load())
	p.poller.Adopt(old.poller)
}

// bequeath tells the pool that came after p what p's last requests do to the endpoints, until they have ended.
func (g *Gateway) bequeath(p *pool) {
	name := "replaced " + strconv.FormatInt(time.Now().UnixNano(), 36)
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for ended := false; ; {
		if heir := g.state.Load().pools[p.Name()]; heir != nil {
			now := time.Now()
			delta := p.Export(p.told, now)
			p.told = delta.Until
			_ = heir.Merge(name, &delta, now) // a gap is what the heir has adopted
		}
		if ended {
			break
		}
		select {
		case <-tick.C:
		case <-p.life.Done():
			ended = true
		}
	}
	g.mu.Lock()
	delete(g.replaced, p)
	g.mu.Unlock()
}

// replacedBy returns the pools before p that still have requests.
func (g *Gateway) replacedBy(p *pool) []*pool {
	g.mu.Lock()
	defer g.mu.Unlock()
	var before []*pool
	for old := range g.replaced {
		if old != p && old.Name() == p.Name() {
			before = append(before, old)
		}
	}
	return before
}

// status is the state of the endpoints of p, with the requests there of the pools before it.
func (g *Gateway) status(p *pool, now time.Time) []balancer.EndpointStatus {
	all := p.Status(now)
	for _, old := range g.replacedBy(p) {
		for _, was := range old.Status(now) {
			i := slices.IndexFunc(all, func(e balancer.EndpointStatus) bool { return e.URL == was.URL })
			if i < 0 {
				continue
			}
			e := &all[i]
			e.InFlight += was.InFlight
			e.Decoding += was.Decoding
			e.Pending += was.Pending
			e.Context += was.Context
		}
	}
	return all
}
