package affinity

import (
	"math"
	"time"
)

// MaxEndpoints is the largest number of endpoints an index can tell apart.
const MaxEndpoints = 16_000

const (
	tick       = 10 * time.Millisecond
	rateTime   = 20.0                   // seconds over which uses are counted
	sameUse    = 300 * time.Millisecond // uses closer than this are one
	startPlace = 250_000 / 64           // budget of an endpoint until told
)

// Index maps block hashes to the endpoints believed to hold them.
type Index struct {
	blocks  *blocks
	holders *holders
	lanes   []*lane
	held    int

	epoch time.Time
	ids   []uint32
	chain []uint64
	decay struct {
		ticks  uint32
		factor float32
	}
}

// New makes an index for a number of endpoints, at most [MaxEndpoints]. Each has a budget of 3,906 blocks until
// [Index.SetBudget] tells its own.
func New(endpoints int) *Index {
	x := &Index{blocks: newBlocks(), holders: newHolders(endpoints), lanes: make([]*lane, endpoints)}
	for i := range x.lanes {
		x.lanes[i] = newLane(startPlace)
	}
	return x
}

// Use notes that the chain is sent to endpoint e now: its blocks are held there from now on, as the newest, one
// request more is in flight over them, and it counts as one use of each. m is the walk of the same chain if nothing
// has changed since, or nil. A chain longer than the budget is cut to it.
func (x *Index) Use(e int, chain []uint64, m *Match, now time.Time) {
	var known []uint32
	if m != nil {
		known = m.ids
	}
	ids := x.lookUp(chain[:min(len(chain), x.lanes[e].budget)], known)
	x.countUse(ids, x.ticks(now))
	l := x.lanes[e]
	x.renew(e, ids, func(node uint32) { l.hold(node) })
}

// Finish ends a request that [Index.Use] began and that the engine answered: it is no longer in flight over its chain,
// and the answer's blocks are held as well, behind the chain's.
func (x *Index) Finish(e int, chain, answer []uint64) {
	x.chain = append(append(x.chain[:0], chain...), answer...)
	ids := x.lookUp(x.chain[:min(len(x.chain), x.lanes[e].budget)], nil)
	l, at := x.lanes[e], len(ids)
	x.renew(e, ids, func(node uint32) {
		at--
		if at < len(chain) {
			l.release(node)
		}
		l.refs[node] |= proven
	})
}

// Release ends a request that [Index.Use] began and whose answer had begun: its chain stays held where it is.
func (x *Index) Release(e int, chain []uint64) {
	l := x.lanes[e]
	x.unwind(e, chain, func(node uint32) {
		l.release(node)
		l.refs[node] |= proven
	})
}

// TakeBack ends a request that [Index.Use] began and that came to nothing: its blocks are no longer believed held,
// unless a request that was answered has proven them or another one in flight there has them too.
func (x *Index) TakeBack(e int, chain []uint64) {
	l := x.lanes[e]
	x.unwind(e, chain, func(node uint32) {
		l.release(node)
		if l.refs[node] == 0 {
			x.dropNode(e, node)
		}
	})
}

// unwind calls each for the nodes of a chain from the last to the first.
func (x *Index) unwind(e int, chain []uint64, each func(node uint32)) {
	l := x.lanes[e]
	ids := x.known(chain)
	guess := uint32(0)
	for i := len(ids) - 1; i >= 0; i-- {
		if ids[i] == noBlock {
			continue
		}
		if node := l.find(ids[i], guess); node != 0 {
			guess = l.nodes[node].newer
			each(node)
		}
	}
}

// lookUp returns the ids of all blocks of a chain, making those that are not there. known are the first ones.
func (x *Index) lookUp(chain []uint64, known []uint32) []uint32 {
	ids := append(x.ids[:0], known[:min(len(known), len(chain))]...)
	parent := uint32(noBlock)
	if len(ids) > 0 {
		parent = ids[len(ids)-1]
	}
	for _, hash := range chain[len(ids):] {
		id := x.blocks.find(hash, parent)
		if id == noBlock {
			id = x.blocks.add(hash)
			x.blocks.at(id).used = x.blocks.at(parent).used
		}
		if parent != noBlock {
			x.blocks.at(parent).child = id
		}
		ids = append(ids, id)
		parent = id
	}
	x.ids = ids
	return ids
}

// known returns the ids of the blocks of a chain, noBlock for those that are not there.
func (x *Index) known(chain []uint64) []uint32 {
	ids, parent := x.ids[:0], uint32(noBlock)
	for _, hash := range chain {
		parent = x.blocks.find(hash, parent)
		ids = append(ids, parent)
	}
	x.ids = ids
	return ids
}

// renew makes e hold all ids as its newest, the first of them newest of all, so that the tail of a chain leaves
// before its head. each is called for every node from the last to the first.
func (x *Index) renew(e int, ids []uint32, each func(node uint32)) {
	l := x.lanes[e]
	guess := uint32(0)
	for i := len(ids) - 1; i >= 0; i-- {
		node := l.find(ids[i], guess)
		if node == 0 {
			node = l.add(ids[i])
			b := x.blocks.at(ids[i])
			b.set = x.holders.add(b.set, int(b.holders), e)
			b.holders++
			x.held++
			guess = 0
		} else {
			guess = l.nodes[node].newer
			l.touch(node)
		}
		each(node)
	}
	x.evict(e)
}

func (x *Index) evict(e int) {
	l := x.lanes[e]
	for l.n > l.budget {
		x.dropNode(e, l.oldest())
	}
}

// dropNode forgets one holding, and the block with its last one.
func (x *Index) dropNode(e int, node uint32) {
	l := x.lanes[e]
	id := l.nodes[node].block
	l.remove(node)
	x.held--
	b := x.blocks.at(id)
	b.set = x.holders.remove(b.set, int(b.holders), e)
	b.holders--
	if b.holders == 0 {
		x.blocks.remove(id)
	}
}

// countUse counts one use of each block, unless the last one was a moment ago.
func (x *Index) countUse(ids []uint32, now uint32) {
	for _, id := range ids {
		b := x.blocks.at(id)
		switch {
		case b.count == 0:
			b.count = 1
		case now < b.used || now-b.used < uint32(sameUse/tick):
			continue
		default:
			b.count = b.count*x.fade(now-b.used) + 1
		}
		b.used = now
	}
}

// fade is the decay of a count over some ticks. Blocks of one chain mostly share their last use.
func (x *Index) fade(ticks uint32) float32 {
	if x.decay.factor == 0 || x.decay.ticks != ticks {
		x.decay.ticks = ticks
		x.decay.factor = float32(math.Exp(-float64(ticks) * tick.Seconds() / rateTime))
	}
	return x.decay.factor
}

// ticks are counted from the first time seen; a clock that jumps back stands still.
func (x *Index) ticks(now time.Time) uint32 {
	if x.epoch.IsZero() {
		x.epoch = now
	}
	return uint32(min(max(0, now.Sub(x.epoch)/tick), math.MaxUint32))
}

// SetBudget sets how many blocks e may hold, at least 1. A smaller budget takes effect at once.
func (x *Index) SetBudget(e, blocks int) {
	x.lanes[e].budget = max(1, blocks)
	x.evict(e)
}

// Drop forgets all that e holds, as after a restart of its engine.
func (x *Index) Drop(e int) {
	l := x.lanes[e]
	for l.n > 0 {
		x.dropNode(e, l.oldest())
	}
	x.lanes[e] = newLane(l.budget)
}

// Adopt makes endpoint e of x hold what endpoint from of old holds, in the same order, within x's budget.
func (x *Index) Adopt(e int, old *Index, from int) {
	l, o := x.lanes[e], old.lanes[from]
	if x.epoch.IsZero() {
		x.epoch = old.epoch
	}
	for n := o.oldest(); n != 0; n = o.nodes[n].newer {
		was := old.blocks.at(o.nodes[n].block)
		id := x.blocks.find(was.hash, noBlock)
		if id == noBlock {
			id = x.blocks.add(was.hash)
			b := x.blocks.at(id)
			b.count, b.used = was.count, was.used
		}
		if l.find(id, 0) != 0 {
			continue
		}
		l.refs[l.add(id)] = o.refs[n] & proven
		b := x.blocks.at(id)
		b.set = x.holders.add(b.set, int(b.holders), e)
		b.holders++
		x.held++
	}
	x.evict(e)
}

// Held is the number of blocks that e holds, Budget the most it may, InFlight those under a request in flight there,
// each counted once.
func (x *Index) Held(e int) int { return x.lanes[e].n }

// Budget is the number of blocks that e may hold.
func (x *Index) Budget(e int) int { return x.lanes[e].budget }

// InFlight is the number of distinct blocks under requests in flight on e.
func (x *Index) InFlight(e int) int { return x.lanes[e].busy }

// Size is the number of blocks known, of holdings, and the bytes all of it takes.
func (x *Index) Size() (blocks, holdings, bytes int) {
	return x.blocks.n, x.held, x.Bytes()
}

// Bytes is the memory that the index takes, as allocated.
func (x *Index) Bytes() int {
	n := x.blocks.bytes() + x.holders.bytes() + cap(x.lanes)*8
	for _, l := range x.lanes {
		n += l.bytes()
	}
	return n
}
