package affinity

import "time"

// What another gateway knows of the endpoints comes in through the methods of this file. It is believed as if an answer
// had proven it, until it is told to be lost.

// Place notes that another gateway has sent the chain to endpoint e: as [Index.Use], with no request of ours in flight.
func (x *Index) Place(e int, chain []uint64, now time.Time) {
	l := x.lanes[e]
	ids := x.lookUp(chain[:min(len(chain), l.budget)], nil)
	x.countUse(ids, x.ticks(now))
	x.renew(e, ids, func(node uint32) { l.refs[node] |= proven })
}

// Extend notes that e holds the blocks of an answer behind the last block of a chain that it holds.
func (x *Index) Extend(e int, last uint64, answer []uint64) {
	l := x.lanes[e]
	id := x.blocks.find(last, noBlock)
	if id == noBlock {
		return
	}
	at := l.find(id, 0)
	if at == 0 {
		return
	}
	for _, hash := range answer[:min(len(answer), l.budget)] {
		at = x.behind(e, hash, at)
	}
	x.evict(e)
}

// Forget notes that e does not hold the last blocks of a chain after all, as far as no request of ours is over them.
func (x *Index) Forget(e int, tail []uint64) {
	l := x.lanes[e]
	for _, hash := range tail {
		id := x.blocks.find(hash, noBlock)
		if id == noBlock {
			continue
		}
		if node := l.find(id, 0); node != 0 && !l.inFlight(node) {
			x.dropNode(e, node)
		}
	}
}

// Recent returns up to most blocks of e, the last used first.
func (x *Index) Recent(e, most int) []uint64 {
	l := x.lanes[e]
	hashes := make([]uint64, 0, min(most, l.n))
	for n := l.nodes[0].older; n != 0 && len(hashes) < most; n = l.nodes[n].older {
		hashes = append(hashes, x.blocks.at(l.nodes[n].block).hash)
	}
	return hashes
}

// Restore adds blocks of another index's Recent behind all that e is believed to hold, while there is room.
func (x *Index) Restore(e int, recent []uint64) {
	l := x.lanes[e]
	for _, hash := range recent {
		if l.n >= l.budget {
			return
		}
		if id := x.blocks.find(hash, noBlock); id == noBlock || l.find(id, 0) == 0 {
			x.behind(e, hash, l.oldest())
		}
	}
}

// behind makes e hold a block as the next older one than node at, and returns its node.
func (x *Index) behind(e int, hash uint64, at uint32) uint32 {
	l := x.lanes[e]
	id := x.blocks.find(hash, noBlock)
	if id == noBlock {
		id = x.blocks.add(hash)
		x.blocks.at(id).used = x.blocks.at(l.nodes[at].block).used
	}
	node := l.find(id, 0)
	if node == 0 {
		node = l.add(id)
		b := x.blocks.at(id)
		b.set = x.holders.add(b.set, int(b.holders), e)
		b.holders++
		x.held++
	}
	l.refs[node] |= proven
	if node != at {
		l.unlink(node)
		l.linkBehind(node, at)
	}
	return node
}

// linkBehind puts an unlinked node next to at, on its older side.
func (l *lane) linkBehind(node, at uint32) {
	older := l.nodes[at].older
	l.nodes[node].newer, l.nodes[node].older = at, older
	l.nodes[older].newer = node
	l.nodes[at].older = node
}
