package affinity

import (
	"math"
	"math/bits"
	"time"
)

// Match is what a walk finds. It may be used for many walks and keeps its memory.
type Match struct {
	// Depth is, for each endpoint, how many blocks from the head of the chain it holds.
	Depth []int32
	// Holders lists the endpoints with a Depth above 0.
	Holders []int32
	// Runs cut the matched part of the chain, as deep as the deepest holder, into stretches of equal popularity.
	Runs []Run

	ids         []uint32
	now         uint32 // of the walk, in ticks
	alive, next []uint64
}

// Run is a stretch of blocks that are used equally often and held equally widely.
type Run struct {
	// End is the position behind its last block.
	End int
	// Rate is the uses a second of each block on any endpoint, lately.
	Rate float64
	// Holders is the number of endpoints that hold each block.
	Holders int
}

// Walk finds how deep each endpoint holds a chain. It changes nothing.
func (x *Index) Walk(chain []uint64, now time.Time, m *Match) {
	m.reset(len(x.lanes), x.holders.words)
	ticks := x.ticks(now)
	m.now = ticks
	parent := uint32(noBlock)
	for i, hash := range chain {
		id := x.blocks.find(hash, parent)
		if id == noBlock {
			m.close(i)
			return
		}
		b := x.blocks.at(id)
		if !m.narrow(x.holders, b, i) {
			return
		}
		m.ids = append(m.ids, id)
		m.addRun(i, x.rate(b, ticks), int(b.holders))
		parent = id
	}
	m.close(len(chain))
}

func (x *Index) rate(b *block, now uint32) float64 {
	if b.count == 0 || now <= b.used {
		return float64(b.count) / rateTime
	}
	return float64(b.count*x.fade(now-b.used)) / rateTime
}

func (m *Match) reset(endpoints, words int) {
	if len(m.Depth) != endpoints {
		m.Depth = make([]int32, endpoints)
		m.alive, m.next = make([]uint64, words), make([]uint64, words)
	}
	for _, e := range m.Holders {
		m.Depth[e] = 0
	}
	m.Holders, m.Runs, m.ids = m.Holders[:0], m.Runs[:0], m.ids[:0]
}

// narrow keeps those alive that hold block i as well and writes down the depth of those that do not. It is false when
// none is left.
func (m *Match) narrow(h *holders, b *block, i int) bool {
	h.fill(b.set, int(b.holders), m.next)
	if i == 0 {
		m.alive, m.next = m.next, m.alive
		return true
	}
	left := uint64(0)
	for w, next := range m.next {
		next &= m.alive[w]
		if gone := m.alive[w] &^ next; gone != 0 {
			m.write(w, gone, i)
		}
		m.alive[w] = next
		left |= next
	}
	return left != 0
}

// close writes down the depth of all that are still alive.
func (m *Match) close(depth int) {
	if depth == 0 {
		return
	}
	for w, word := range m.alive {
		m.write(w, word, depth)
	}
}

func (m *Match) write(w int, word uint64, depth int) {
	for word != 0 {
		e := w<<6 + bits.TrailingZeros64(word)
		word &= word - 1
		m.Depth[e] = int32(depth)
		m.Holders = append(m.Holders, int32(e))
	}
}

func (m *Match) addRun(i int, rate float64, holders int) {
	if n := len(m.Runs); n > 0 {
		last := &m.Runs[n-1]
		if last.Holders == holders && math.Abs(last.Rate-rate) <= 0.01*last.Rate {
			last.End = i + 1
			return
		}
	}
	m.Runs = append(m.Runs, Run{End: i + 1, Rate: rate, Holders: holders})
}

// Credit is the number of blocks behind depth that are as good as bought, when each copy of a block used at rate
// will save value seconds worth of uses: the sum of k/(1+k) with k = Rate * value / (Holders + 1).
func (m *Match) Credit(depth int, value float64) float64 {
	sum, start := 0.0, 0
	for _, r := range m.Runs {
		if missing := r.End - max(start, depth); missing > 0 {
			k := r.Rate * value / float64(r.Holders+1)
			sum += float64(missing) * k / (1 + k)
		}
		start = r.End
	}
	return sum
}

// InFlightDepth is how many blocks from the head of m's chain are under requests in flight on e.
func (x *Index) InFlightDepth(e int, m *Match) int {
	l := x.lanes[e]
	if l.busy == 0 {
		return 0
	}
	low, high := 0, int(m.Depth[e]) // all below low are in flight, none from high on
	for low < high {
		mid := (low + high) / 2
		if node := l.find(m.ids[mid], 0); node != 0 && l.inFlight(node) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// Age tells how long ago the deepest block of m's chain that e holds was used, on any endpoint, as a part of how long ago the one was
// that e will forget next: 0..1, and 0 where e holds nothing of the chain.
func (x *Index) Age(e int, m *Match) float64 {
	depth := m.Depth[e]
	if depth == 0 {
		return 0
	}
	l := x.lanes[e]
	oldest := x.blocks.at(l.nodes[l.oldest()].block).age(m.now)
	if oldest == 0 {
		return 0
	}
	return min(1, float64(x.blocks.at(m.ids[depth-1]).age(m.now))/float64(oldest))
}

// age is the ticks since the last use that was counted.
func (b *block) age(now uint32) uint32 { return now - min(now, b.used) }
