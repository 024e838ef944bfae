package affinity

import "math/bits"

// block is one known block. A freed block keeps its place and is linked by child.
type block struct {
	hash    uint64
	set     uint64  // who holds it, in the form of holders
	child   uint32  // a block that followed this one lately, a hint that is checked by hash; 0 = none
	count   float32 // uses, decayed
	used    uint32  // when the last use was counted, in ticks
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

// shard is an open-addressed table of block ids, linearly probed.
type shard struct {
	slots []uint32
	n     int
}

func newBlocks() *blocks { return &blocks{next: 1} }

func (t *blocks) at(id uint32) *block { return &t.chunks[id>>chunkBits][id&(chunkSize-1)] }

// shardOf and home use different bits of the hash.
func (t *blocks) shardOf(hash uint64) *shard { return &t.shards[hash>>56] }

func (s *shard) home(hash uint64) uint32 {
	return uint32((hash*0x9e3779b97f4a7c15)>>32) & uint32(len(s.slots)-1)
}

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
	mask := uint32(len(s.slots) - 1)
	for i := s.home(hash); ; i = (i + 1) & mask {
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
	if (s.n+1)*8 > len(s.slots)*7 {
		t.grow(s)
	}
	t.place(s, id)
	s.n++
	t.n++
	return id
}

func (t *blocks) place(s *shard, id uint32) {
	mask := uint32(len(s.slots) - 1)
	i := s.home(t.at(id).hash)
	for s.slots[i] != noBlock {
		i = (i + 1) & mask
	}
	s.slots[i] = id
}

func (t *blocks) grow(s *shard) {
	old := s.slots
	s.slots = make([]uint32, max(8, 1<<bits.Len(uint(len(old)))))
	for _, id := range old {
		if id != noBlock {
			t.place(s, id)
		}
	}
}

// remove frees a block.
func (t *blocks) remove(id uint32) {
	b := t.at(id)
	s := t.shardOf(b.hash)
	mask := uint32(len(s.slots) - 1)
	i := s.home(b.hash)
	for s.slots[i] != id {
		i = (i + 1) & mask
	}
	t.closeGap(s, i, mask)
	s.n--
	t.n--
	*b = block{child: t.free}
	t.free = id
}

// closeGap empties slot i and moves later members of its run back, so that no tombstones are needed.
func (t *blocks) closeGap(s *shard, i, mask uint32) {
	for j := i; ; {
		j = (j + 1) & mask
		id := s.slots[j]
		if id == noBlock {
			break
		}
		if home := s.home(t.at(id).hash); (j-home)&mask >= (j-i)&mask {
			s.slots[i] = id
			i = j
		}
	}
	s.slots[i] = noBlock
}

func (t *blocks) bytes() int {
	n := len(t.chunks)*chunkSize*blockBytes + cap(t.chunks)*8
	for i := range t.shards {
		n += cap(t.shards[i].slots) * 4
	}
	return n + shardCount*32
}
