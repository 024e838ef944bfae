package observe

// rememberedNumbers is how many hashes each of the two generations of a numbering holds. Two full ones take 20 MB and stand for
// 33 million distinct tokens of prompt in blocks of 64.
const rememberedNumbers = 1 << 18

// numbering gives hashes small numbers, counted from 0: equal hashes have equal numbers as long as the hash is remembered. It
// forgets those longest out of use, half of its memory at a time; one that comes again later has a new number.
type numbering struct {
	next       uint64
	fresh, old map[uint64]uint64 // a hash that is used moves to fresh; when fresh is full it becomes old, and what was old is forgotten
	limit      int               // of each map
}

func newNumbering(limit int) *numbering {
	return &numbering{fresh: map[uint64]uint64{}, limit: limit}
}

func (n *numbering) of(hash uint64) uint64 {
	if number, known := n.fresh[hash]; known {
		return number
	}
	number, known := n.old[hash]
	if !known {
		number = n.next
		n.next++
	}
	if len(n.fresh) >= n.limit {
		n.fresh, n.old = make(map[uint64]uint64, n.limit), n.fresh
	}
	n.fresh[hash] = number
	return number
}
