package policies

import (
	"errors"
	"math"

	"github.com/warmlane/warmlane/balancer"
)

// gpu goes by what the engines tell of themselves: the shortest queue, then the least used KV memory, then chance.
type gpu struct {
	metric string // tree, or the one gauge that decides
	most   bool   // highest instead of lowest
}

// fewWaiting is the queue up to which the tree looks only at such endpoints when there are any. The tree and its
// constant are those of gateway-api-inference-extension as Higress took them over.
const fewWaiting = 50

func newGPU(p *params) balancer.Policy {
	g := gpu{metric: p.choice("metric", "tree", "tree", "waiting", "kv", "running")}
	g.most = p.choice("mode", "least", "least", "most") == "most"
	if g.most && g.metric == "tree" {
		p.faults = append(p.faults, errors.New("mode: most needs a metric: waiting, kv or running"))
	}
	return g
}

func (gpu) Name() string { return "gpu" }

func (g gpu) Pick(v *balancer.View) (best, runnerUp int) {
	for i := range v.Candidates {
		v.Candidates[i].Cost = 0
	}
	known := false
	switch g.metric {
	case "waiting":
		known = beliefIn(v, waiting, true).slice(v, g.most, 1)
	case "running":
		known = beliefIn(v, running, true).slice(v, g.most, 1)
	case "kv":
		known = beliefIn(v, kvUse, false).slice(v, g.most, 1)
	default:
		queue, memory := beliefIn(v, waiting, true), beliefIn(v, kvUse, false)
		queue.upTo(v, fewWaiting, 3)
		known = queue.slice(v, false, 2)
		known = memory.slice(v, false, 1) || known
	}
	if !known {
		return leastRequest{}.Pick(v)
	}
	for i := range v.Candidates {
		c := &v.Candidates[i]
		c.Cost += failCount * c.Failing
	}
	return lowest(v)
}

func waiting(c *balancer.Candidate) float64 { return c.Waiting }
func running(c *balancer.Candidate) float64 { return c.Running }
func kvUse(c *balancer.Candidate) float64   { return c.KVUse }

// belief is what a gauge says, and what is believed of endpoints where it is missing or stale: the mean of the others,
// and for gauges of requests as many more or fewer as we have sent there ourselves.
type belief struct {
	read      func(*balancer.Candidate) float64
	requests  bool
	known     int
	mean, own float64 // of those where it is known
}

func beliefIn(v *balancer.View, read func(*balancer.Candidate) float64, requests bool) belief {
	b := belief{read: read, requests: requests}
	for i := range v.Candidates {
		c := &v.Candidates[i]
		if x := read(c); isGauge(x) {
			b.known++
			b.mean += (x - b.mean) / float64(b.known)
			b.own += (c.Own - b.own) / float64(b.known)
		}
	}
	return b
}

func isGauge(x float64) bool { return x >= 0 && x <= math.MaxFloat64 }

func (b belief) of(c *balancer.Candidate) float64 {
	switch x := b.read(c); {
	case isGauge(x):
		return x
	case b.requests:
		return max(0, b.mean+c.Own-b.own)
	default:
		return b.mean
	}
}

// upTo takes those above limit out of the choice, unless all are; stage becomes their cost.
func (b belief) upTo(v *balancer.View, limit, stage float64) {
	below := 0
	for i := range v.Candidates {
		if b.of(&v.Candidates[i]) <= limit {
			below++
		}
	}
	if b.known == 0 || below == 0 {
		return
	}
	for i := range v.Candidates {
		if c := &v.Candidates[i]; b.of(c) > limit {
			c.Cost = stage
		}
	}
}

// slice keeps of those still in the choice, whose Cost is 0, the ones within the lowest part of the gauge's range, or
// the highest; of n candidates left it is one n-th. The others cost stage and up to 1 more, by the gauge. It does
// nothing and returns false when the gauge is known of nobody.
func (b belief) slice(v *balancer.View, most bool, stage float64) bool {
	if b.known == 0 {
		return false
	}
	low, high, left := math.Inf(1), math.Inf(-1), 0.0
	for i := range v.Candidates {
		if c := &v.Candidates[i]; c.Cost == 0 {
			x := b.of(c)
			low, high, left = min(low, x), max(high, x), left+1
		}
	}
	width := (high - low) / left
	for i := range v.Candidates {
		c := &v.Candidates[i]
		switch x := b.of(c); {
		case c.Cost != 0:
		case most && x < high-width:
			c.Cost = stage + 1/(1+x)
		case !most && x > low+width:
			c.Cost = stage + x/(1+x)
		}
	}
	return true
}
