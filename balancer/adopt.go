package balancer

import "slices"

// Adopt takes over what old has learned about endpoints with the same URL: speeds, index, health, last scrape and
// admin state. Leases of old stay with old; of its load only [EndpointConfig.MaxConcurrency] hears. Endpoints that old did not know start
// slowly.
// Call it before p serves.
func (p *Pool) Adopt(old *Pool) {
	if old == nil || old == p {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old.mu.Lock()
	defer old.mu.Unlock()
	*p.learner = *old.learner
	p.learner.sort, p.learner.raw = nil, nil
	p.learner.refit()
	p.began, p.traffic, p.blockTokens = old.began, old.traffic, old.blockTokens
	for _, e := range p.endpoints {
		was := old.byURL[e.cfg.URL]
		if was == nil {
			p.newcomers = append(p.newcomers, e)
			continue
		}
		e.admin, e.speed, e.trust, e.scraped, e.epoch = was.admin, was.speed, was.trust, was.scraped, was.epoch
		e.health, e.sent = was.health, was.sent
		for _, n := range append(slices.Clone(was.older), was.held) {
			if n == was.held || n.Load() > 0 {
				e.older = append(e.older, n)
			}
		}
		e.speed.heard = nil // peers tell old, and will tell p
		e.health.fails = slices.Clone(was.health.fails)
		e.health.probing = false
		p.setBudget(e)
		p.index.Adopt(e.index, old.index, was.index)
	}
}
