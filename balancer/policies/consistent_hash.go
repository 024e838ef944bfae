package policies

import (
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/warmlane/warmlane/balancer"
)

// consistentHash places conversations by hash, with bounded load: highest random weight over the endpoints' keys, so
// that one that leaves or joins moves only what was or will be its own.
type consistentHash struct {
	factor, slack float64
	blocks        int
}

func newConsistentHash(p *params) balancer.Policy {
	return consistentHash{
		factor: p.number("factor", 1.25, 1, 10),
		slack:  p.number("slack", 2, 0, 1000),
		blocks: int(p.number("blocks", 4, 1, 1000)),
	}
}

func (consistentHash) Name() string { return "consistent_hash" }

// Pick takes the first in the order of the hash whose load is within factor * mean, but at least mean + slack. Without
// the slack a large pool at low load has a bound below one request, which nobody with work passes
// (github.com/kubeai-project/kubeai/pull/519). The mean includes the request at hand.
func (h consistentHash) Pick(v *balancer.View) (best, runnerUp int) {
	key, ok := h.key(v)
	if !ok {
		return leastRequest{}.Pick(v)
	}
	total, weights := 1.0, 0.0
	for i := range v.Candidates {
		total += company(&v.Candidates[i])
		weights += v.Candidates[i].Weight
	}
	mean := total / weights
	bound := max(h.factor*mean, mean+h.slack)
	for i := range v.Candidates {
		c := &v.Candidates[i]
		if load := company(c) / c.Weight; load > bound || thrashes(c) {
			c.Cost = barred + load
		} else {
			c.Cost = exponential(c.Key^key) / c.Weight
		}
	}
	return lowest(v)
}

// key is what the request is placed by: its conversation, else the beginning of its prompt. false when it has neither;
// such requests have nothing in common that one endpoint should keep.
func (h consistentHash) key(v *balancer.View) (uint64, bool) {
	switch {
	case v.Session != "":
		return xxhash.Sum64String(v.Session), true
	case len(v.Blocks) > 0:
		return v.Blocks[min(h.blocks, len(v.Blocks))-1], true
	default:
		return 0, false
	}
}

// exponential turns x into a sample of the exponential distribution of mean 1, the same at every call. The least of
// such samples, each divided by a weight, falls on each by its weight.
func exponential(x uint64) float64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9 // the finish of SplitMix64
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return -math.Log((float64(x>>11) + 0.5) / (1 << 53))
}
