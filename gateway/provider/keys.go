package provider

import (
	"sync"
	"time"
)

// How long a key rests that was refused without a word about the time.
const (
	restLimited     = time.Second      // after 429, doubling
	mostLimited     = time.Minute      // the longest such rest
	restRefused     = 30 * time.Second // after 401, 402, 403 or an exhausted quota, doubling
	mostRefused     = 30 * time.Minute // the longest such rest
	longestToldRest = time.Hour        // told times beyond are cut: looking again costs one refusal
)

// Key is a credential of a provider.
type Key struct {
	Secret string
	Weight float64 // share of the requests, > 0
}

// Ring gives out a provider's keys by weight and lets those rest that are refused, each alone. It is safe for concurrent use.
type Ring struct {
	mu   sync.Mutex // guards what keys hold
	keys []*Held
}

// Held is a key with its state.
type Held struct {
	secret string
	weight float64
	index  int // from 0, in the order of the file

	credit   float64 // in the rotation
	until    time.Time
	since    time.Time // when the present or last rest began
	fate     KeyFate   // why it rests or rested; KeyFine = it answered since
	rest     time.Duration
	sent     uint64
	limited  uint64
	refusals uint64
}

// KeyState is what is known of a key, without the key.
type KeyState struct {
	Number  int           // from 1, in the order of the file
	Rests   time.Duration // until it is used again; 0 = it is in use
	Why     KeyFate       // of a rest
	Sent    uint64        // requests sent with it
	Limited uint64        // of these, refused for a rate or quota that is used up for now
	Refused uint64        // of these, refused for the key or its account
}

// NewRing makes a ring of keys; none is a ring with one key that is empty.
func NewRing(keys []Key) *Ring {
	if len(keys) == 0 {
		keys = []Key{{Weight: 1}}
	}
	r := &Ring{}
	for i, k := range keys {
		r.keys = append(r.keys, &Held{secret: k.Secret, weight: k.Weight, index: i})
	}
	return r
}

// Len returns how many keys there are.
func (r *Ring) Len() int { return len(r.keys) }

// Secret returns the key itself.
func (h *Held) Secret() string { return h.secret }

// Number returns the key's place in the file, from 1: its name wherever one is shown.
func (h *Held) Number() int { return h.index + 1 }

// Take returns the next key that neither rests nor was tried by the request already; nil if there is none. Shares follow the
// weights as evenly as possible (smooth weighted round robin).
func (r *Ring) Take(now time.Time, tried []*Held) *Held {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best *Held
	total := 0.0
	for _, k := range r.keys {
		if k.until.After(now) || contains(tried, k) {
			continue
		}
		k.credit += k.weight
		total += k.weight
		if best == nil || k.credit > best.credit {
			best = k
		}
	}
	if best != nil {
		best.credit -= total
		best.sent++
	}
	return best
}

func contains(keys []*Held, key *Held) bool {
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}

// Settle notes what the answer to a request that was sent at that time said about its key. A refusal of a request that was sent
// before the key's last rest began says nothing new. told is how long the service wants to be left alone, 0 = it did not say. It returns
// the rest that begins now, 0 if none does.
func (r *Ring) Settle(k *Held, fate KeyFate, sent, now time.Time, told time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch fate {
	case KeyFine:
		if sent.After(k.since) {
			k.fate, k.rest = KeyFine, 0
		}
		return 0
	case KeyLimited:
		k.limited++
	case KeyRefused:
		k.refusals++
	}
	if sent.Before(k.since) {
		return 0
	}
	first, most := restLimited, mostLimited
	if fate == KeyRefused {
		first, most = restRefused, mostRefused
	}
	if k.fate != fate {
		k.rest = 0
	}
	k.rest = min(max(first, 2*k.rest), most)
	rest := k.rest
	if told > 0 {
		rest = min(told, longestToldRest)
	}
	k.fate, k.since, k.until = fate, now, now.Add(rest)
	return rest
}

// Back returns when the first of the keys comes back, and whether all rest for a limit; 0 when one is in use.
func (r *Ring) Back(now time.Time) (rest time.Duration, limited bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	limited = true
	for i, k := range r.keys {
		d := max(0, k.until.Sub(now))
		if i == 0 || d < rest {
			rest = d
		}
		limited = limited && k.fate == KeyLimited
	}
	return rest, limited
}

// States returns the state of each key.
func (r *Ring) States(now time.Time) []KeyState {
	r.mu.Lock()
	defer r.mu.Unlock()
	states := make([]KeyState, len(r.keys))
	for i, k := range r.keys {
		states[i] = KeyState{Number: k.Number(), Sent: k.sent, Limited: k.limited, Refused: k.refusals}
		if k.until.After(now) {
			states[i].Rests, states[i].Why = k.until.Sub(now), k.fate
		}
	}
	return states
}

// Inherit takes over the state of the keys that old has too, so that a reload lets no refused key loose.
func (r *Ring) Inherit(old *Ring) {
	old.mu.Lock()
	defer old.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keys {
		for _, o := range old.keys {
			if o.secret == k.secret {
				index, weight := k.index, k.weight
				*k = *o
				k.index, k.weight = index, weight
			}
		}
	}
}

// String returns the word for f in metrics and on the admin API.
func (f KeyFate) String() string {
	switch f {
	case KeyLimited:
		return "limited"
	case KeyRefused:
		return "refused"
	default:
		return "fine"
	}
}
