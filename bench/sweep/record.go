package sweep

import (
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// Record is what became of one request.
type Record struct {
	Arrived, First, Ended time.Duration // First is 0 when there was no token
	Prompt, Output        int           // tokens
	Cached, Ideal         int           // prompt tokens that were in the engine's cache, and in one that never forgets
	Turn                  int           // of its conversation, from 1
	Replica               int
	Tries, Refused        int // engines it was sent to; how often there was none
	Preemptions           int
	Left, Failed          bool // the caller left; the engine could not take it
}

// ttft is the time to the first token, ok when there was one.
func (r *Record) ttft() (seconds float64, ok bool) {
	return (r.First - r.Arrived).Seconds(), r.First > 0
}

// whole is the time to the end, ok when the answer is complete.
func (r *Record) whole() (seconds float64, ok bool) {
	return (r.Ended - r.Arrived).Seconds(), !r.Left && !r.Failed
}

// perToken is the mean time between the tokens of a complete answer of more than one.
func (r *Record) perToken() (seconds float64, ok bool) {
	if r.Left || r.Failed || r.Output < 2 {
		return 0, false
	}
	return (r.Ended - r.First).Seconds() / float64(r.Output-1), true
}

// ceiling is a single cache that never forgets: the most that any choice could find again.
type ceiling struct{ blocks map[uint64]struct{} }

// find counts the leading blocks of a chain that are there. What is there is closed under prefixes.
func (c *ceiling) find(chain []uint64) int {
	low, high := 0, len(chain)
	for low < high {
		mid := (low + high) / 2
		if _, ok := c.blocks[chain[mid]]; ok {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

func (c *ceiling) add(chain []uint64) {
	if c.blocks == nil {
		c.blocks = make(map[uint64]struct{}, 1<<12)
	}
	for _, b := range chain[c.find(chain):] {
		c.blocks[b] = struct{}{}
	}
}

// curveStep is the time between samples of the load.
const curveStep = 100 * time.Millisecond

// curve is the load of each replica over time.
type curve struct {
	requests  [][]uint16 // running and waiting, by sample and replica
	imbalance float64    // sum over samples of the largest load over the mean one
	samples   int        // in which there was any load
}

func (c *curve) note(replicas []*replica) {
	row := make([]uint16, len(replicas))
	most, sum, alive := 0, 0, 0
	for i, p := range replicas {
		if p.core == nil {
			continue
		}
		n := load(p.core)
		row[i] = uint16(min(n, 1<<16-1))
		most, sum, alive = max(most, n), sum+n, alive+1
	}
	c.requests = append(c.requests, row)
	if sum > 0 {
		c.imbalance += float64(most*alive) / float64(sum)
		c.samples++
	}
}

func load(core *engine.Core) int {
	c := core.Counters()
	return c.Running + c.Waiting
}
