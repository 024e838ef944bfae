package limit

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// ask is one bucket from which a request wants to take, and the store's answer.
type ask struct {
	key   []byte
	rate  *rate
	shape *shape
	rule  *rule
	shard uint32

	level int64 // in units: after taking, or as found when the request is refused
}

// fits reports whether the bucket has room for the request.
func (a *ask) fits() bool { return a.level >= a.rate.cost }

const (
	shards           = 64 // one bit of a word each
	defaultBuckets   = 100_000
	sweptOnInsertion = 8
)

// Memory holds buckets in this process. It is safe for concurrent use; keep one over reloads, so that unchanged limits go on
// from their levels.
type Memory struct {
	now    func() time.Time
	epoch  time.Time
	most   int // buckets in a shard
	shards [shards]shard
	lost   atomic.Uint64
}

// shard is a part of the buckets.
type shard struct {
	mu      sync.Mutex // guards buckets and what they point to
	buckets map[string]*bucket
	_       [48]byte // shards on cache lines of their own
}

// bucket is a level at a time, both as of the last request that passed. A bucket that is full is the same as none.
type bucket struct {
	level  int64
	at     int64 // microseconds since the epoch
	fullAt int64
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
	m := &Memory{now: now, epoch: now(), most: max(1, most/shards)}
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

// take takes one request from every bucket, or from none if one of them is short, and fills in the levels.
func (m *Memory) take(asks []ask) (ok bool) {
	held := m.lock(asks)
	now := m.now().Sub(m.epoch).Microseconds()
	ok = true
	for i := range asks {
		a := &asks[i]
		a.level = m.shards[a.shard].level(a, now)
		ok = ok && a.fits()
	}
	if ok {
		for i := range asks {
			m.put(&asks[i], now)
		}
	}
	m.unlock(held)
	return ok
}

// lock locks the shards of the asks, lowest first, and returns them as bits.
func (m *Memory) lock(asks []ask) (held uint64) {
	for i := range asks {
		a := &asks[i]
		a.shard = uint32(xxhash.Sum64(a.key) % shards)
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

// level returns the level of the ask's bucket now.
func (s *shard) level(a *ask, now int64) int64 {
	b := s.buckets[string(a.key)]
	if b == nil {
		return a.rate.full
	}
	return a.rate.refilled(b.level, now-b.at)
}

// put takes the request out of the ask's bucket.
func (m *Memory) put(a *ask, now int64) {
	s := &m.shards[a.shard]
	a.level -= a.rate.cost
	b := s.buckets[string(a.key)]
	if b == nil {
		s.sweep(now)
		if len(s.buckets) >= m.most {
			s.dropFullest()
			m.lost.Add(1)
		}
		b = new(bucket)
		s.buckets[string(a.key)] = b
	}
	b.level, b.at, b.fullAt = a.level, max(now, b.at), now+a.rate.untilFull(a.level)
}

// sweep looks at a few buckets and drops those that are full again.
func (s *shard) sweep(now int64) {
	looked := 0
	for key, b := range s.buckets {
		if b.fullAt <= now {
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
		if first == nil || b.fullAt < first.fullAt {
			fullest, first = key, b
		}
		if looked++; looked == sweptOnInsertion {
			break
		}
	}
	delete(s.buckets, fullest)
}
