package limit

import (
	"sync/atomic"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
)

// Reservation is a request's place in its limits. It is settled once, when the request ends; until then what it took stays taken, and in
// Redis it is leased, so that it comes back when this process dies.
type Reservation struct {
	// MaxTokens is the bound on output tokens that must go to the engine, because a strict limit has set it aside for a request that
	// names none; 0 = none.
	MaxTokens int

	limiter *Limiter
	model   string
	choices int
	seen    []seen // every bucket, for the headers
	claims  []claim
	owed    []claim // in Redis, which was away: what the request used is counted there later
	id      string  // in Redis
	shared  bool    // the claims are in Redis
	settled atomic.Bool
}

// claim is what a reservation holds of one bucket.
type claim struct {
	limit   string
	key     string
	tag     int
	rate    *rate
	measure measure
	need    int64 // units
	mode    mode
	free    bool // counts nothing where the answer was there already
	keeps   time.Duration
}

// hold notes what was taken.
func (r *Reservation) hold(asks []ask) {
	r.claims = make([]claim, 0, len(asks))
	for i := range asks {
		a := &asks[i]
		if !a.taken {
			continue
		}
		r.claims = append(r.claims, a.claim())
	}
	if r.shared {
		r.limiter.shared.open(r.id, r.claims)
	}
}

// owe notes what has to be counted in Redis once it is back.
func (r *Reservation) owe(asks []ask) {
	for i := range asks {
		if a := &asks[i]; a.mode != places {
			c := a.claim()
			c.need, c.mode = 0, final
			r.owed = append(r.owed, c)
		}
	}
}

// claim is what was taken for the ask.
func (a *ask) claim() claim {
	return claim{
		limit: a.rule.name, key: string(a.key), tag: a.tag, rate: a.rate, measure: a.shape.measure, need: a.need,
		mode: a.mode, free: a.rule.cfg.Cached == config.CachedNothing, keeps: a.keeps,
	}
}

// used returns the units that u is.
func (c *claim) used(u Use, p *config.Price) int64 {
	if u.Recalled && c.free {
		return 0
	}
	return c.rate.units(c.measure.amount(u, p))
}

// Settle gives back what the request did not use and charges what it used beyond its reservation. It does not wait; on nil, and
// when called again, it does nothing. Only complete answers tell how long those of the model are.
func (r *Reservation) Settle(u Use, complete bool) {
	if r == nil || r.settled.Swap(true) || r.limiter == nil {
		return
	}
	if complete {
		r.limiter.memory.outputs.observe(r.model, u.Output/r.choices)
	}
	p := r.limiter.prices.Of(r.model)
	r.pay(u, p)
	changes := make([]change, 0, len(r.claims))
	for i := range r.claims {
		c := &r.claims[i]
		if c.mode == final {
			continue
		}
		actual := int64(0)
		if c.mode == leased {
			actual = c.used(u, p)
		}
		changes = append(changes, change{c, actual})
	}
	if len(changes) == 0 {
		return
	}
	if r.shared {
		r.limiter.shared.settle(r.id, changes)
		return
	}
	for _, ch := range changes {
		r.limiter.memory.change(ch.claim.key, ch.claim.rate, ch.actual-ch.claim.need, ch.claim.keeps)
	}
}

// pay counts in Redis what the request used while it was away.
func (r *Reservation) pay(u Use, p *config.Price) {
	if len(r.owed) == 0 {
		return
	}
	changes := make([]change, len(r.owed))
	for i := range r.owed {
		c := &r.owed[i]
		changes[i] = change{c, c.used(u, p)}
	}
	r.limiter.shared.settle(r.id, changes)
}

// change is what came of a claim.
type change struct {
	claim  *claim
	actual int64 // units used
}

// Reserved returns how many tokens of prompt and answer together are set aside in the limit of that name, 0 if it has no such bound.
func (r *Reservation) Reserved(name string) int64 {
	for i := range r.claims {
		if c := &r.claims[i]; c.measure == tokens && c.limit == name {
			return c.need / c.rate.cost
		}
	}
	return 0
}
