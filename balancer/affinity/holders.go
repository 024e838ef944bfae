package affinity

import "math/bits"

// holders keeps sets of endpoints in one word each. In a pool of up to 64 endpoints the word is the set. In a larger
// one it is up to four indices, or the place of a pack of up to 16, or the place of a row of bits.
type holders struct {
	words     int // of a row; 1 = the word is the set
	packs     [][packSize]uint16
	rows      []uint64
	freePacks []uint32
	freeRows  []uint32
	list      []uint16 // scratch
}

const (
	inlineSize = 4
	packSize   = 16
	packFlag   = 1 << 62
	rowFlag    = 1 << 63
)

func newHolders(endpoints int) *holders { return &holders{words: (endpoints + 63) / 64} }

// add returns set, of n members, with e in it. e is not in it before.
func (h *holders) add(set uint64, n, e int) uint64 {
	switch {
	case h.words == 1:
		return set | 1<<e
	case set&rowFlag != 0:
		h.row(set)[e>>6] |= 1 << (e & 63)
		return set
	case set&packFlag != 0 && n < packSize:
		h.packs[uint32(set)][n] = uint16(e)
		return set
	case set&packFlag == 0 && n < inlineSize:
		return set | uint64(e+1)<<(16*n)
	}
	list := append(h.members(set, n), uint16(e))
	h.release(set)
	return h.build(list)
}

// remove returns set, of n members, without e. e is in it before.
func (h *holders) remove(set uint64, n, e int) uint64 {
	if h.words == 1 {
		return set &^ (1 << e)
	}
	if set&rowFlag != 0 {
		h.row(set)[e>>6] &^= 1 << (e & 63)
		if n-1 > packSize/2 {
			return set
		}
	}
	list := h.members(set, n)
	for i, m := range list {
		if int(m) == e {
			list[i] = list[len(list)-1]
			list = list[:len(list)-1]
			break
		}
	}
	if set&packFlag != 0 && n-1 > inlineSize/2 {
		copy(h.packs[uint32(set)][:], list)
		return set
	}
	h.release(set)
	return h.build(list)
}

// members lists a set of a large pool into scratch.
func (h *holders) members(set uint64, n int) []uint16 {
	h.list = h.list[:0]
	switch {
	case set&rowFlag != 0:
		for w, word := range h.row(set) {
			for ; word != 0; word &= word - 1 {
				h.list = append(h.list, uint16(w<<6+bits.TrailingZeros64(word)))
			}
		}
	case set&packFlag != 0:
		h.list = append(h.list, h.packs[uint32(set)][:n]...)
	default:
		for ; set != 0; set >>= 16 {
			h.list = append(h.list, uint16(set)-1)
		}
	}
	return h.list
}

func (h *holders) build(list []uint16) uint64 {
	var set uint64
	switch {
	case len(list) <= inlineSize:
		for i, m := range list {
			set |= uint64(m+1) << (16 * i)
		}
	case len(list) <= packSize:
		id := take(&h.freePacks, len(h.packs))
		if id == len(h.packs) {
			h.packs = append(h.packs, [packSize]uint16{})
		}
		copy(h.packs[id][:], list)
		set = packFlag | uint64(id)
	default:
		id := take(&h.freeRows, len(h.rows)/h.words)
		if id*h.words == len(h.rows) {
			h.rows = append(h.rows, make([]uint64, h.words)...)
		}
		set = rowFlag | uint64(id)
		row := h.row(set)
		clear(row)
		for _, m := range list {
			row[m>>6] |= 1 << (m & 63)
		}
	}
	return set
}

func (h *holders) release(set uint64) {
	switch {
	case set&rowFlag != 0:
		h.freeRows = append(h.freeRows, uint32(set))
	case set&packFlag != 0:
		h.freePacks = append(h.freePacks, uint32(set))
	}
}

// take returns a freed place, or next when there is none.
func take(free *[]uint32, next int) int {
	last := len(*free) - 1
	if last < 0 {
		return next
	}
	id := (*free)[last]
	*free = (*free)[:last]
	return int(id)
}

func (h *holders) row(set uint64) []uint64 {
	at := int(uint32(set)) * h.words
	return h.rows[at : at+h.words]
}

// fill writes a set of n members as bits into out.
func (h *holders) fill(set uint64, n int, out []uint64) {
	if h.words == 1 {
		out[0] = set
		return
	}
	if set&rowFlag != 0 {
		copy(out, h.row(set))
		return
	}
	clear(out)
	for _, m := range h.members(set, n) {
		out[m>>6] |= 1 << (m & 63)
	}
}

func (h *holders) bytes() int {
	return cap(h.packs)*2*packSize + cap(h.rows)*8 + (cap(h.freePacks)+cap(h.freeRows))*4
}
