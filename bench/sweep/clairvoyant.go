package sweep

import (
	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/bench/engine"
)

// Clairvoyant is the name of the bound that every table shows the distance to.
const Clairvoyant = "clairvoyant"

// clairvoyant runs each choice to its end on a copy of the engine, with its true cache, the true length of all answers and no
// noise, and takes the one that costs everybody least. It does not know what will arrive.
type clairvoyant struct{ run *run }

// firstWeight is what a second before the first token weighs against one of reading, as in the default policy.
const firstWeight = 4

func (*clairvoyant) Name() string { return Clairvoyant }

func (p *clairvoyant) enter(r *run) { p.run = r }

// Pick scores every candidate by the growth of the time that the callers of its engine will have waited in all.
func (p *clairvoyant) Pick(v *balancer.View) (best, runnerUp int) {
	runnerUp = -1
	ties := 0
	for i := range v.Candidates {
		c := &v.Candidates[i]
		c.Cost = p.growth(p.run.replicas[c.Index].core, p.run.asking)
		switch {
		case i == 0 || c.Cost < v.Candidates[best].Cost:
			if i > 0 {
				runnerUp = best
			}
			best, ties = i, 1
		case c.Cost == v.Candidates[best].Cost:
			if ties++; v.Rand.IntN(ties) == 0 {
				best = i
			}
		}
	}
	return best, runnerUp
}

func (p *clairvoyant) growth(core *engine.Core, t *turn) float64 {
	if core == nil {
		return 1e6 // dead
	}
	with := core.Fork()
	with.Advance(p.run.now)
	q := &engine.Request{Prompt: t.prompt, Output: t.output, Blocks: t.fine}
	if with.Submit(q, p.run.now) != nil {
		return 1e6
	}
	return waits(with) - waits(core.Fork())
}

// waits is the weighted time that all callers of an engine will have waited, up to a constant.
func waits(core *engine.Core) float64 {
	sum := 0.0
	core.Finish(func(r *engine.Request) {
		sum += (firstWeight-1)*(r.FirstToken-r.Arrived).Seconds() + (r.Finished - r.Arrived).Seconds()
	})
	return sum
}
