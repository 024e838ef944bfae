package affinity

import "slices"

// slots is an open-addressed table of ids, linearly probed; 0 = empty. At most two thirds are taken, and it grows by a quarter, so
// that an id takes 6 to 7.5 bytes.
type slots []uint32

// home is where the search for a key begins, spread being the key with its bits mixed.
func (s slots) home(spread uint32) int { return int(uint64(spread) * uint64(len(s)) >> 32) }

func (s slots) next(i int) int {
	if i++; i < len(s) {
		return i
	}
	return 0
}

// steps is how far from lies before to.
func (s slots) steps(from, to int) int {
	if from <= to {
		return to - from
	}
	return to - from + len(s)
}

// full tells that there is no room for one more than n.
func (s slots) full(n int) bool { return 3*(n+1) > 2*len(s) }

// larger is an empty table to move to, no larger than most ids need unless there are more already.
func (s slots) larger(most int) slots {
	size := max(16, len(s)+len(s)/4)
	if enough := 3*most/2 + 1; enough > len(s) {
		size = min(size, enough)
	}
	l := atLeast[uint32](size)
	return l[:cap(l)]
}

func (s slots) put(id uint32, home int) {
	for s[home] != 0 {
		home = s.next(home)
	}
	s[home] = id
}

// take empties the slot of an id and moves later members of its run back, so that no tombstones are needed.
func (s slots) take(id uint32, home func(id uint32) int) {
	gap := home(id)
	for s[gap] != id {
		gap = s.next(gap)
	}
	for i := s.next(gap); s[i] != 0; i = s.next(i) {
		if s.steps(home(s[i]), i) >= s.steps(gap, i) {
			s[gap] = s[i]
			gap = i
		}
	}
	s[gap] = 0
}

// atLeast makes room for n in what the allocator gives for it, so that capacity is memory.
func atLeast[T any](n int) []T { return slices.Grow([]T(nil), n) }
