package engine

import "encoding/binary"

const none int32 = -1

// blockPool is the paged KV cache: reference counts, the map from hash to block, and the queue of free blocks in the
// order of their eviction. A free block keeps its hash until it is allocated again.
type blockPool struct {
	refs   []int32
	hashes []uint64 // 0: not registered
	same   []int32  // next block with the same hash (equal blocks that were filled side by side are all kept)
	byHash map[uint64]int32
	prev   []int32 // links of the free queue; the last index is the sentinel
	next   []int32
	free   int
}

func newBlockPool(n int) *blockPool {
	p := &blockPool{
		refs: make([]int32, n), hashes: make([]uint64, n), same: make([]int32, n),
		byHash: make(map[uint64]int32, n),
		prev:   make([]int32, n+1), next: make([]int32, n+1), free: n,
	}
	for i := range p.next {
		p.prev[i], p.next[i] = int32(i-1), int32(i+1)
	}
	p.prev[0], p.next[n] = int32(n), 0
	return p
}

// find returns a block registered under hash.
func (p *blockPool) find(hash uint64) (int32, bool) {
	b, ok := p.byHash[hash]
	return b, ok
}

// take adds a reference; a free block leaves the queue.
func (p *blockPool) take(b int32) {
	if p.refs[b] == 0 {
		p.unlink(b)
	}
	p.refs[b]++
}

// drop removes a reference; a block without one goes to the end of the free queue.
func (p *blockPool) drop(b int32) {
	p.refs[b]--
	if p.refs[b] > 0 {
		return
	}
	tail := int32(len(p.refs))
	p.prev[b], p.next[b] = p.prev[tail], tail
	p.next[p.prev[tail]], p.prev[tail] = b, b
	p.free++
}

// allocate takes the block that has been free for longest and forgets what it held. There must be a free one.
func (p *blockPool) allocate() int32 {
	b := p.next[len(p.refs)]
	p.unlink(b)
	p.forget(b)
	p.refs[b] = 1
	return b
}

func (p *blockPool) unlink(b int32) {
	p.next[p.prev[b]], p.prev[p.next[b]] = p.next[b], p.prev[b]
	p.free--
}

// register files b under hash, behind an equal block that is there already.
func (p *blockPool) register(b int32, hash uint64) {
	if hash == 0 || p.hashes[b] != 0 {
		return
	}
	p.hashes[b], p.same[b] = hash, none
	if first, ok := p.byHash[hash]; ok {
		p.same[b], p.same[first] = p.same[first], b
		return
	}
	p.byHash[hash] = b
}

func (p *blockPool) forget(b int32) {
	hash := p.hashes[b]
	if hash == 0 {
		return
	}
	p.hashes[b] = 0
	first := p.byHash[hash]
	switch {
	case first != b:
		for p.same[first] != b {
			first = p.same[first]
		}
		p.same[first] = p.same[b]
	case p.same[b] != none:
		p.byHash[hash] = p.same[b]
	default:
		delete(p.byHash, hash)
	}
}

// usage returns the share of blocks that live requests hold. Cached blocks nobody holds count as free.
func (p *blockPool) usage() float64 {
	return float64(len(p.refs)-p.free) / float64(len(p.refs))
}

// HashBlocks appends to dst the hash chain of the full blocks of tokens: each hash covers its block and everything
// before it. Root separates worlds that must not share blocks (cache salt, LoRA adapter). Dst may hold the chain of a
// shorter prefix already, then the chain is continued.
func HashBlocks(dst []uint64, root uint64, tokens []uint32, blockTokens int) []uint64 {
	parent := root
	if len(dst) > 0 {
		parent = dst[len(dst)-1]
	}
	for at := len(dst) * blockTokens; at+blockTokens <= len(tokens); at += blockTokens {
		h := mix(parent ^ 0x2545f4914f6cdd1d)
		for _, t := range tokens[at : at+blockTokens] {
			h = mix(h ^ uint64(t))
		}
		parent = max(h, 1) // 0 means "not registered"
		dst = append(dst, parent)
	}
	return dst
}

// mix is the finaliser of splitmix64: a bijection that spreads every bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashString folds text into a 64-bit value that is equal in every process (FNV-1a, mixed).
func hashString(seed uint64, text string) uint64 {
	var buf [8]byte
	binary.LittleEndian.PutUint64(buf[:], seed)
	h := uint64(14695981039346656037)
	for _, b := range buf {
		h = (h ^ uint64(b)) * 1099511628211
	}
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return mix(h)
}
