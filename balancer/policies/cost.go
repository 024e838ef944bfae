package policies

import "github.com/warmlane/warmlane/balancer"

// cost is a cost in seconds with fixed prices for what the request does to others; warm has replaced it as the default.
type cost struct {
	kappa, lambda, delta, nu float64
}

// What a sequence and a token of context add to a step, in seconds; published for an H100-class card by the vLLM
// router's program scheduling.
const (
	perSequence = 0.4e-3
	perContext  = 1.4e-7
)

func newCost(p *params) balancer.Policy {
	return cost{
		kappa:  p.number("kappa", 2, 0, 100),
		lambda: p.number("lambda", 0.25, 0, 10),
		delta:  p.number("delta", 0.25, 0, 10),
		nu:     p.number("nu", 0.1, 0, 10),
	}
}

func (cost) Name() string { return "cost" }

func (cost) Samples() bool { return true }

func (p cost) Pick(v *balancer.View) (best, runnerUp int) {
	for i := range v.Candidates {
		c := &v.Candidates[i]
		prefill := c.Uncached / c.Rate
		k := pressure(c)
		c.Cost = c.Pending/c.Rate + p.kappa*prefill + p.lambda*c.Decoding*prefill +
			p.delta*v.Answer*(perSequence*c.InFlight+perContext*c.Context) +
			p.nu*k/(1-k) + c.Penalty
	}
	best, runnerUp = lowest(v)
	if less := lessBusy(v, best); less != best {
		return less, best
	}
	return best, runnerUp
}

// pressure is the use of KV memory, by the engine's word and by what is in flight, whichever is more; 0 when neither
// is known. Cached blocks that nobody uses are no load.
func pressure(c *balancer.Candidate) float64 {
	k := 0.0
	if c.KVUse > 0 {
		k = c.KVUse
	}
	if c.KV > 0 {
		k = max(k, c.Context/c.KV)
	}
	return min(k, 0.98)
}

// lessBusy returns the candidate with the fewest requests among those that cost nearly as little as the best, within
// 1 % or 5 ms.
func lessBusy(v *balancer.View, best int) int {
	limit := v.Candidates[best].Cost + max(0.01*v.Candidates[best].Cost, 0.005)
	pick, ties := best, 1
	for i := range v.Candidates {
		c, p := &v.Candidates[i], &v.Candidates[pick]
		switch {
		case i == best || c.Cost > limit:
		case c.InFlight < p.InFlight || c.InFlight == p.InFlight && c.Cost < p.Cost:
			pick, ties = i, 1
		case c.InFlight == p.InFlight && c.Cost == p.Cost:
			ties++
			if v.Rand.IntN(ties) == 0 {
				pick = i
			}
		}
	}
	return pick
}
