package engine

// scheduleRunning gives every running request, in order, the tokens it wants within the budget. When blocks run out
// it preempts the last running request; it reports whether it had to.
func (c *Core) scheduleRunning() (preempted bool) {
	budget := c.cfg.MaxBatchedTokens
	for i := 0; i < len(c.running) && budget > 0; i++ {
		r := c.running[i]
		want := c.chunk(r, budget)
		for !c.grow(r, want) {
			preempted = true
			last := len(c.running) - 1
			victim := c.running[last]
			c.running[last] = nil
			c.running = c.running[:last]
			c.preempt(victim)
			if victim == r {
				return true
			}
		}
		budget -= want
		c.schedule(r, want)
	}
	return preempted
}

// admit takes requests from the head of the queue while budget, seats and blocks last. The first one that does not
// fit blocks those behind it.
func (c *Core) admit() {
	budget := c.cfg.MaxBatchedTokens - c.batch.Tokens
	for budget > 0 && len(c.running) < c.cfg.MaxSeqs && c.waiting.len() > 0 {
		r := c.waiting.front()
		if r.ready > c.clock {
			return
		}
		c.lookup(r)
		want := c.chunk(r, budget)
		if !c.canAdmit(r, want) {
			r.blocks, r.computed = r.blocks[:0], 0
			return
		}
		for _, b := range r.blocks {
			c.pool.take(b)
		}
		c.grow(r, want)
		c.waiting.popFront()
		c.running = append(c.running, r)
		r.state = stateRunning
		r.hashed = r.computed / c.cfg.BlockTokens
		if !r.admitted {
			c.firstAdmission(r)
		}
		budget -= want
		c.schedule(r, want)
	}
}

func (c *Core) firstAdmission(r *Request) {
	r.admitted, r.Scheduled, r.Cached = true, c.clock, r.computed
	c.stats.admission(r)
}

// chunk returns how many tokens of r the step may compute.
func (c *Core) chunk(r *Request, budget int) int {
	want := r.known() - r.computed
	if c.cfg.LongPrefill > 0 {
		want = min(want, c.cfg.LongPrefill)
	}
	return min(want, budget)
}

// lookup finds the leading full blocks of r in the cache, without taking them. The last token is always computed.
func (c *Core) lookup(r *Request) {
	r.blocks, r.computed = r.blocks[:0], 0
	if c.cfg.NoPrefixCache {
		return
	}
	most := min(len(r.Blocks), (r.known()-1)/c.cfg.BlockTokens)
	for _, hash := range r.Blocks[:most] {
		b, ok := c.pool.find(hash)
		if !ok {
			break
		}
		r.blocks = append(r.blocks, b)
	}
	r.computed = len(r.blocks) * c.cfg.BlockTokens
}

// canAdmit reports whether the pool has the new blocks that r needs beside those it found.
func (c *Core) canAdmit(r *Request, want int) bool {
	free := c.pool.free
	for _, b := range r.blocks {
		if c.pool.refs[b] == 0 {
			free--
		}
	}
	return c.missing(r, want) <= free
}

// missing returns the number of blocks that r lacks to hold want more tokens.
func (c *Core) missing(r *Request, want int) int {
	return (r.computed+want+c.cfg.BlockTokens-1)/c.cfg.BlockTokens - len(r.blocks)
}

// grow allocates the blocks for want more tokens, all or none.
func (c *Core) grow(r *Request, want int) bool {
	n := c.missing(r, want)
	if n > c.pool.free {
		return false
	}
	for ; n > 0; n-- {
		r.blocks = append(r.blocks, c.pool.allocate())
	}
	return true
}

// schedule puts n tokens of r into the batch.
func (c *Core) schedule(r *Request, n int) {
	r.scheduled = n
	c.register(r)
	c.batch.add(r.computed, n, r.Generated > 0 && r.computed == r.known()-1, r.computed+n == r.known())
}

// preempt takes all blocks from r and puts it at the front of the queue; it keeps its generated tokens.
func (c *Core) preempt(r *Request) {
	c.release(r)
	r.state, r.computed, r.hashed, r.scheduled = stateWaiting, 0, 0, 0
	r.Preemptions++
	c.waiting.pushFront(r)
	c.stats.Preemptions++
}

// register files the blocks of r that the step under way fills under their hashes.
func (c *Core) register(r *Request) {
	full := min((r.computed+r.scheduled)/c.cfg.BlockTokens, len(r.Blocks))
	for ; r.hashed < full; r.hashed++ {
		c.pool.register(r.blocks[r.hashed], r.Blocks[r.hashed])
	}
}

// release gives the blocks of r back, the last one first, so that the tail of a sequence is evicted before its head.
func (c *Core) release(r *Request) {
	for i := len(r.blocks) - 1; i >= 0; i-- {
		c.pool.drop(r.blocks[i])
	}
	r.blocks = r.blocks[:0]
}
