package upstream

import (
	"sync"
	"time"
)

const (
	budgetSeconds = 10 // the length of the window
	budgetShare   = 5  // one retry for so many requests
	budgetAtOnce  = 20 // retries that the window allows however few requests there are
)

// Budget bounds the retries of work that engines had accepted, so that an outage is not multiplied: at most a fifth of the requests of
// the last 10 s, and 20 where they are few. The zero Budget is ready for use, by many goroutines.
type Budget struct {
	mu    sync.Mutex // guards the fields below
	last  int64      // the second of the newest entry
	spent [budgetSeconds]struct{ requests, retries int }
}

// Request counts a request.
func (b *Budget) Request(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent[b.at(now)].requests++
}

// Retry takes a retry out of the budget; false when it is used up.
func (b *Budget) Retry(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.at(now)
	requests, retries := 0, 0
	for _, s := range b.spent {
		requests += s.requests
		retries += s.retries
	}
	if retries >= max(budgetAtOnce, requests/budgetShare) {
		return false
	}
	b.spent[at].retries++
	return true
}

// at is the entry of now, with those that have left the window emptied.
func (b *Budget) at(now time.Time) int {
	second := now.Unix()
	if second-b.last >= budgetSeconds || second < b.last-budgetSeconds {
		clear(b.spent[:])
		b.last = second
	}
	for b.last < second {
		b.last++
		b.spent[b.last%budgetSeconds] = struct{ requests, retries int }{}
	}
	return int(b.last % budgetSeconds)
}
