package sweep

import (
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// prefixHigress is the rule of Higress's ai-load-balancer with lb_policy prefix_cache and its defaults (Redis script of
// alibaba/higress, commit c43705f). The prompt is cut behind each user message, a prefix is known by the XOR of its chunks' hashes,
// and Redis remembers for 30 minutes which host had it, whatever the host's cache did since. Without a hit it is the host with
// the fewest requests, unless the one drawn at random was never used before. It lives here, since a gateway does not
// hash by message.
type prefixHigress struct {
	run    *run
	placed map[uint64]placement
}

type placement struct {
	endpoint int
	until    time.Time
}

const higressKeyTTL = 1800 * time.Second

func (*prefixHigress) Name() string { return "prefix_higress" }

func (p *prefixHigress) enter(r *run) { p.run, p.placed = r, map[uint64]placement{} }

func (p *prefixHigress) Pick(v *balancer.View) (best, runnerUp int) {
	chunks := p.run.asking.chunks
	best = -1
	var key, current uint64
	index := 0
	for index < len(chunks) {
		current ^= chunks[index]
		at, ok := p.placed[current]
		if !ok || v.Now.After(at.until) {
			break
		}
		key = current
		candidate := candidateOf(v, at.endpoint)
		if candidate < 0 {
			break // the chain goes on below a key that holds this chunk twice, as in the script
		}
		best = candidate
		p.placed[key] = placement{at.endpoint, v.Now.Add(higressKeyTTL)}
		index++
	}
	if best < 0 {
		index = 0
		best = leastUsed(v)
	}
	for ; index < len(chunks); index++ {
		key ^= chunks[index]
		p.placed[key] = placement{v.Candidates[best].Index, v.Now.Add(higressKeyTTL)}
	}
	return best, -1
}

func candidateOf(v *balancer.View, endpoint int) int {
	for i := range v.Candidates {
		if v.Candidates[i].Index == endpoint {
			return i
		}
	}
	return -1
}

// leastUsed is the script's fall back: the minimum among hosts that have a counter, each tie decided by a coin.
func leastUsed(v *balancer.View) int {
	best := v.Rand.IntN(len(v.Candidates))
	if v.Candidates[best].Sent == 0 {
		return best
	}
	for i := range v.Candidates {
		c, least := &v.Candidates[i], v.Candidates[best].Own
		if c.Sent > 0 && (c.Own < least || c.Own == least && v.Rand.IntN(2) == 0) {
			best = i
		}
	}
	return best
}
