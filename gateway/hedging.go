package gateway

import (
	"math"
	"sync"
	"time"
)

const (
	// leastSeen is how many first events a pool must have seen before it knows which are late: at 0.05, five of them are.
	leastSeen = 100
	// latenessMemory is after how many first events what was seen before counts half: the threshold rests on the last 500 to 1,000.
	latenessMemory = 1024
	// leastPatience is what a second attempt waits for at least. Engines take longer than this for a step, so that a shorter wait would
	// only tell who was scheduled a step later.
	leastPatience = 10 * time.Millisecond
	// mostAtOnce bounds the second attempts that a quiet time saves up.
	mostAtOnce = 10
)

// hedging decides which requests of a pool get a second attempt: those whose first event takes longer, in relation to what is usual for
// their prompt and the work before it, than that of all but a share of the requests; and of them no more than that share ("The Tail at
// Scale", Dean and Barroso 2013: at a share of 0.05 after the 95th percentile). The relation rather than the time, because a long prompt is
// not late; to the pool's usual speed rather than the endpoint's own, because one that is slow is.
type hedging struct {
	share float64

	mu      sync.Mutex // guards the fields below
	allowed float64    // second attempts that may be made; each request adds share
	seen    lateness
}

// newHedging is nil for a share of 0.
func newHedging(share float64) *hedging {
	if share <= 0 {
		return nil
	}
	return &hedging{share: share}
}

// adopt takes over what the pool before has learned.
func (h *hedging) adopt(old *hedging) {
	if h == nil || old == nil {
		return
	}
	old.mu.Lock()
	seen, allowed := old.seen, old.allowed
	old.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen, h.allowed = seen, allowed
}

// request counts a request whose first event is usual after that time, and tells from when on it is late; 0 as long as that is not known.
func (h *hedging) request(usual time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.allowed = min(h.allowed+h.share, mostAtOnce)
	if h.seen.sum < leastSeen {
		return 0
	}
	return max(leastPatience, time.Duration(h.seen.above(h.share)*float64(usual)))
}

// take takes a second attempt out of the budget; false when it is used up.
func (h *hedging) take() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.allowed < 1 {
		return false
	}
	h.allowed--
	return true
}

// untake gives back what take took for an attempt that was not made.
func (h *hedging) untake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.allowed++
}

// took takes in how long a first event took. Of one that was not awaited it is how long it had taken until then: all that counts is how
// many are later than the threshold, which this one was.
func (h *hedging) took(d, usual time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen.add(float64(d) / float64(max(usual, time.Microsecond)))
}

const (
	latenessStep = 8  // bands for each doubling: a band is 9 % wide
	latenessMost = 12 // doublings above and below 1
)

// lateness counts ratios of the time that a first event took to the usual one, in bands, the recent ones more.
type lateness struct {
	bands [2*latenessMost*latenessStep + 1]float32
	sum   float64
}

func (l *lateness) add(ratio float64) {
	band := math.Round(math.Log2(ratio)*latenessStep) + latenessMost*latenessStep
	last := float64(len(l.bands) - 1)
	if !(band > 0) {
		band = 0
	}
	l.bands[int(min(band, last))]++
	l.sum++
	if l.sum < latenessMemory {
		return
	}
	l.sum = 0
	for i := range l.bands {
		l.bands[i] /= 2
		l.sum += float64(l.bands[i])
	}
}

// above is the ratio that at most that share of those counted are above, rounded up to its band's end.
func (l *lateness) above(share float64) float64 {
	later, most := 0.0, share*l.sum
	for i := len(l.bands) - 1; i > 0; i-- {
		if later += float64(l.bands[i]); later > most {
			return math.Exp2((float64(i-latenessMost*latenessStep) + 0.5) / latenessStep)
		}
	}
	return math.Exp2(-latenessMost)
}
