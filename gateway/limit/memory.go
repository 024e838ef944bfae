package limit

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	shards           = 64 // one bit of a word each
	defaultBuckets   = 100_000
	sweptOnInsertion = 8
)

// Memory holds buckets in this process, and what it has learned about answers. It is safe for concurrent use; keep one over reloads,
// so that unchanged limits go on from where they were.
type Memory struct {
	now     func() time.Time
	epoch   time.Time
	most    int // buckets in a shard
	shards  [shards]shard
	lost    atomic.Uint64
	outputs *forecast
}

// shard is a part of the buckets.
type shard struct {
	mu      sync.Mutex // guards buckets and what they point to
	buckets map[string]*bucket
	_       [48]byte // shards on cache lines of their own
}

// bucket is a debt at a time, both as of the last change. A bucket without debt is the same as none.
type bucket struct {
	debt   int64
	at     int64 // microseconds since the epoch
	freeAt int64 // when the bucket need not be remembered any more
}

// NewMemory returns an empty store for about most buckets (0 = 100,000). Full buckets are dropped as new ones come; when none
// is full the fullest of a few is dropped, which forgives somebody a few requests and is counted by Lost.
// now = nil is time.Now.
func NewMemory(most int, now func() time.Time) *Memory {
	if most <= 0 {
		most = defaultBuckets
	}
	if now == nil {
		now = time.Now
	}
	m := &Memory{now: now, epoch: now(), most: max(1, most/shards), outputs: newForecast()}
	for i := range m.shards {
		m.shards[i].buckets = make(map[string]*bucket)
	}
	return m
}

// Len returns the number of buckets held.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.buckets)
		s.mu.Unlock()
	}
	return n
}

// Lost returns how many buckets were dropped before they were full.
func (m *Memory) Lost() uint64 { return m.lost.Load() }

// take takes what the asks need from every bucket, or from none if one of them is short and refuses, and fills in the debts.
func (m *Memory) take(asks []ask) (ok bool) {
	held := m.lock(asks)
	defer m.unlock(held)
	now := m.now().Sub(m.epoch).Microseconds()
	ok = true
	for i := range asks {
		a := &asks[i]
		a.debt = m.shards[a.shard].debt(a.key, a.rate, now)
		ok = ok && (a.soft || a.fits())
	}
	for i := range asks {
		a := &asks[i]
		if a.taken = ok && a.fits(); a.taken {
			a.debt += a.need
			m.put(a.shard, a.key, bucket{a.debt, now, now + a.rate.forgotten(a.debt, a.keeps)})
		}
	}
	return ok
}

// shadow charges the asks' buckets, as far as they go: what was granted elsewhere is not granted here again. Buckets that are not
// refilled are left alone.
func (m *Memory) shadow(asks []ask) {
	held := m.lock(asks)
	defer m.unlock(held)
	now := m.now().Sub(m.epoch).Microseconds()
	for i := range asks {
		a := &asks[i]
		if a.rate.gain > 0 {
			debt := min(a.rate.full, m.shards[a.shard].debt(a.key, a.rate, now)+a.need)
			m.put(a.shard, a.key, bucket{debt, now, now + a.rate.untilFull(debt)})
		}
	}
}

// change adds to the debt of one bucket.
func (m *Memory) change(key string, r *rate, by int64, keeps time.Duration) {
	shard := shardOf([]byte(key))
	s := &m.shards[shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now().Sub(m.epoch).Microseconds()
	debt := r.changed(s.debt([]byte(key), r, now), by)
	if debt == 0 {
		delete(s.buckets, key)
		return
	}
	m.put(shard, []byte(key), bucket{debt, now, now + r.forgotten(debt, keeps)})
}

func shardOf(key []byte) uint32 { return uint32(xxhash.Sum64(key) % shards) }

// lock locks the shards of the asks, lowest first, and returns them as bits.
func (m *Memory) lock(asks []ask) (held uint64) {
	for i := range asks {
		a := &asks[i]
		a.shard = shardOf(a.key)
		held |= 1 << a.shard
	}
	for rest := held; rest != 0; rest &= rest - 1 {
		m.shards[bits.TrailingZeros64(rest)].mu.Lock()
	}
	return held
}

func (m *Memory) unlock(held uint64) {
	for ; held != 0; held &= held - 1 {
		m.shards[bits.TrailingZeros64(held)].mu.Unlock()
	}
}

// debt returns the debt of a bucket now.
func (s *shard) debt(key []byte, r *rate, now int64) int64 {
	b := s.buckets[string(key)]
	if b == nil || b.freeAt <= now {
		return 0
	}
	return r.refilled(b.debt, now-b.at)
}

// put remembers the bucket as it is now.
func (m *Memory) put(shard uint32, key []byte, now bucket) {
	s := &m.shards[shard]
	if b := s.buckets[string(key)]; b != nil {
		now.at = max(now.at, b.at)
		*b = now
		return
	}
	s.sweep(now.at)
	if len(s.buckets) >= m.most {
		s.dropFullest()
		m.lost.Add(1)
	}
	fresh := now // only a new bucket goes to the heap
	s.buckets[string(key)] = &fresh
}

// sweep looks at a few buckets and drops those that need not be remembered.
func (s *shard) sweep(now int64) {
	looked := 0
	for key, b := range s.buckets {
		if b.freeAt <= now {
			delete(s.buckets, key)
		}
		if looked++; looked == sweptOnInsertion {
			return
		}
	}
}

// dropFullest drops that one of a few buckets which would have been full first.
func (s *shard) dropFullest() {
	var fullest string
	var first *bucket
	looked := 0
	for key, b := range s.buckets {
		if first == nil || b.freeAt < first.freeAt {
			fullest, first = key, b
		}
		if looked++; looked == sweptOnInsertion {
			break
		}
	}
	delete(s.buckets, fullest)
}
