package affinity

import "math"

// block is one known block. A freed block keeps its place and is linked by child.
type block struct {
	hash    uint64
	set     uint64  // who holds it, in the form of holders
	child   uint32  // a block that followed this one lately, a hint that is checked by hash; 0 = none
	count   float32 // uses, decayed
	used    uint32  // when the last use was counted, in ticks; of an answer's block its prompt's
	holders uint16
}

const (
	chunkBits  = 12
	chunkSize  = 1 << chunkBits
	blockBytes = 32
	shardCount = 256
	noBlock    = 0
)

// blocks finds blocks by hash. Ids start at 1 and stay valid until the block is freed. It grows by chunks and by
// shards, so that no single growth copies much.
type blocks struct {
	chunks []*[chunkSize]block
	next   uint32 // first id never used
	free   uint32
	n      int
	shards [shardCount]shard
}

// shard finds the ids of some of the hashes.
type shard struct {
	slots slots
	n     int
}

func newBlocks() *blocks { return &blocks{next: 1} }

func (t *blocks) at(id uint32) *block { return &t.chunks[id>>chunkBits][id&(chunkSize-1)] }

// shardOf and home use different bits of the hash.
func (t *blocks) shardOf(hash uint64) *shard { return &t.shards[hash>>56] }

func (s *shard) home(hash uint64) int { return s.slots.home(uint32(hash * 0x9e3779b97f4a7c15 >> 32)) }

// find returns the id of a hash, guessing it to be a child of parent first.
func (t *blocks) find(hash uint64, parent uint32) uint32 {
	if parent != noBlock {
		if c := t.at(parent).child; c != noBlock && t.at(c).hash == hash && t.at(c).holders > 0 {
			return c
		}
	}
	s := t.shardOf(hash)
	if len(s.slots) == 0 {
		return noBlock
	}
	for i := s.home(hash); ; i = s.slots.next(i) {
		id := s.slots[i]
		if id == noBlock || t.at(id).hash == hash {
			return id
		}
	}
}

// add makes a block for a hash that is not there.
func (t *blocks) add(hash uint64) uint32 {
	id := t.free
	if id != noBlock {
		t.free = t.at(id).child
	} else {
		id = t.next
		t.next++
		if int(id>>chunkBits) == len(t.chunks) {
			t.chunks = append(t.chunks, new([chunkSize]block))
		}
	}
	*t.at(id) = block{hash: hash}
	s := t.shardOf(hash)
	if s.slots.full(s.n) {
		t.grow(s)
	}
	s.slots.put(id, s.home(hash))
	s.n++
	t.n++
	return id
}

func (t *blocks) grow(s *shard) {
	old := s.slots
	s.slots = old.larger(math.MaxInt32)
	for _, id := range old {
		if id != noBlock {
			s.slots.put(id, s.home(t.at(id).hash))
		}
	}
}

// remove frees a block.
func (t *blocks) remove(id uint32) {
	b := t.at(id)
	s := t.shardOf(b.hash)
	s.slots.take(id, func(id uint32) int { return s.home(t.at(id).hash) })
	s.n--
	t.n--
	*b = block{child: t.free}
	t.free = id
}

func (t *blocks) bytes() int {
	n := len(t.chunks)*chunkSize*blockBytes + cap(t.chunks)*8
	for i := range t.shards {
		n += cap(t.shards[i].slots) * 4
	}
	return n + shardCount*32
}
