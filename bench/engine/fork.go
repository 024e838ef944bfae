package engine

import (
	"maps"
	"slices"
)

// Fork returns a copy of the core that goes on by itself, with copies of the requests under way and steps without
// noise: a look at how things will go. The copies keep their Tag; counters and histograms begin at zero.
func (c *Core) Fork() *Core {
	f := &Core{
		cfg: c.cfg, step: c.step, pool: c.pool.clone(), clock: c.clock, stepEnd: c.stepEnd, busy: c.busy, batch: c.batch,
		stats: newStats(),
	}
	f.cfg.Noise = -1
	f.running = make([]*Request, len(c.running), len(c.running)+1)
	for i, r := range c.running {
		f.running[i] = r.fork()
	}
	for i := range c.waiting.n {
		f.waiting.pushBack(c.waiting.ring[c.waiting.at(i)].fork())
	}
	return f
}

func (r *Request) fork() *Request {
	f := *r
	f.blocks = slices.Clone(r.blocks)
	return &f
}

func (p *blockPool) clone() *blockPool {
	return &blockPool{
		refs: slices.Clone(p.refs), hashes: slices.Clone(p.hashes), same: slices.Clone(p.same), byHash: maps.Clone(p.byHash),
		prev: slices.Clone(p.prev), next: slices.Clone(p.next), free: p.free,
	}
}

// Finish runs until nothing is left to do and calls each for every request that ends.
func (c *Core) Finish(each func(*Request)) {
	for c.Next() != Never {
		for _, e := range c.Advance(c.Next()) {
			if e.Last {
				each(e.Request)
			}
		}
	}
}
