package sweep

import (
	"fmt"
	"time"

	"github.com/warmlane/warmlane/bench/workload"
)

// mooncakeLength is how many consecutive requests of the trace make a run, at scale 1.
const mooncakeLength = 700

func mooncake(w *Workload, seed uint64) *plan {
	const shrink, block = 8, 64
	all, err := workload.Mooncake()
	if err != nil {
		panic("BUG: " + err.Error())
	}
	p := &plan{fleet: w.machines(4, machine{preset: l20})}
	d := newDice(seed, 0)
	// Four times the traffic are four windows at once, which share nothing.
	for k := range w.scale {
		from := int(seed*uint64(w.scale)+uint64(k)) * mooncakeLength % (len(all) - mooncakeLength)
		window := all[from : from+mooncakeLength]
		for i := range window {
			r := &window[i]
			s := &session{id: fmt.Sprint("s", k, ".", i), begin: r.At - window[0].At + d.upTo(3*time.Second)}
			t := turn{prompt: max(1, r.Input/shrink), output: max(1, r.Output/2), limit: 2000}
			t.fine = subdivide(r.Blocks, uint64(k), t.prompt, block, fineTokens)
			t.coarse = subdivide(r.Blocks, uint64(k), t.prompt, block, coarseTokens)
			t.chunks = []uint64{key(uint64(k), len(all), i)}
			s.turns = []turn{t}
			p.sessions = append(p.sessions, s)
		}
	}
	return p
}

// subdivide makes a chain of blocks of blockTokens for a prompt of which only larger or unequal blocks are known. A block that
// lies across the known ones counts as the later of them.
func subdivide(blocks []uint64, world uint64, prompt, had, blockTokens int) []uint64 {
	chain := make([]uint64, 0, prompt/blockTokens)
	hash := world
	for end := blockTokens; end <= prompt; end += blockTokens {
		at := (end - 1) / had
		if at >= len(blocks) {
			break
		}
		hash = max(1, key(hash, int(blocks[at]), end))
		chain = append(chain, hash)
	}
	return chain
}

// Trace is the workload of recorded requests, each at its own time; at a rate of 2 they come twice as fast. It has no fleet
// of its own.
func Trace(name string, requests []workload.TraceRequest, rate float64) Workload {
	sessions := recorded(requests, rate)
	n := 0
	for _, s := range sessions {
		n += len(s.turns)
	}
	return Workload{Name: name, About: fmt.Sprintf("%d recorded requests", n), scale: 1, write: func(*Workload, uint64) *plan {
		return &plan{sessions: sessions}
	}}
}

// recorded makes sessions. What an answer was is not recorded, but a later prompt that continues an earlier one quotes it:
// there the blocks of the earlier request go on with those of the later. If the trace tells when answers ended, the later
// request waits for the answer as its caller did; otherwise it comes at its own time.
func recorded(requests []workload.TraceRequest, rate float64) []*session {
	var all []*session
	next := continued(requests)
	of := make([]*session, len(requests)) // the session that goes on with this request
	for i := range requests {
		r := &requests[i]
		if r.Output < 1 {
			continue // no engine has generated nothing: it failed, or was no generation
		}
		t := recordedTurn(requests, i, next[i])
		s := of[i]
		if s == nil {
			s = &session{id: fmt.Sprint("r", i), begin: stretch(r.At, rate)}
			if r.Session >= 0 {
				s.id = fmt.Sprint("s", r.Session)
			}
			all = append(all, s)
		} else {
			t.think = stretch(max(0, r.At-s.ended), rate)
		}
		s.turns = append(s.turns, t)
		s.ended = r.At + r.Total
		if n := next[i]; n > 0 && r.Total > 0 && requests[n].At >= s.ended-clockStep && (of[n] == nil || of[n].ended < s.ended) {
			of[n] = s
		}
	}
	return all
}

// clockStep is the precision of times in traces.
const clockStep = 2 * time.Millisecond

func stretch(d time.Duration, rate float64) time.Duration { return time.Duration(float64(d) / rate) }

// recordedTurn is request i, which request n continues, 0 for none.
func recordedTurn(requests []workload.TraceRequest, i, n int) turn {
	r := &requests[i]
	t := turn{prompt: r.Input, output: r.Output, said: r.Output, chunks: []uint64{key(0, i)}}
	if r.BlockTokens > 0 {
		blocks, length := r.Blocks, r.Input
		if n > 0 {
			blocks, length = requests[n].Blocks, min(requests[n].Input, r.Input+r.Output)
		}
		t.fine = subdivide(blocks, 0, length, r.BlockTokens, fineTokens)
		t.coarse = subdivide(blocks, 0, length, r.BlockTokens, coarseTokens)
	}
	return t
}

// continued finds for each request the first later one of the same conversation, as far as that is known, whose prompt goes on where
// its own ends; 0: there is none.
func continued(requests []workload.TraceRequest) []int {
	next := make([]int, len(requests))
	open := map[uint64][]int{} // requests without one, by the last block of their prompt
	for i := range requests {
		blocks := requests[i].Blocks
		for k, b := range blocks[:max(0, len(blocks)-1)] {
			waiting := open[b]
			kept := waiting[:0]
			for _, earlier := range waiting {
				if len(requests[earlier].Blocks) == k+1 && requests[earlier].Session == requests[i].Session {
					next[earlier] = i
				} else {
					kept = append(kept, earlier)
				}
			}
			if len(waiting) > 0 {
				open[b] = kept
			}
		}
		if n := len(blocks); n > 0 {
			open[blocks[n-1]] = append(open[blocks[n-1]], i)
		}
	}
	return next
}
