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

// Trace is the workload of recorded requests, each at its own time. It has no fleet of its own.
func Trace(name string, requests []workload.TraceRequest) Workload {
	sessions := recorded(requests)
	return Workload{Name: name, About: fmt.Sprintf("%d recorded requests", len(sessions)), scale: 1, write: func(*Workload, uint64) *plan {
		return &plan{sessions: sessions}
	}}
}

// recorded makes sessions of one request each. What an answer was is not recorded, but a later prompt that continues an earlier one
// quotes it: there the blocks of the earlier request go on with those of the later.
func recorded(requests []workload.TraceRequest) []*session {
	all := make([]*session, 0, len(requests))
	next := continued(requests)
	for i := range requests {
		r := &requests[i]
		if r.Output < 1 {
			continue // no engine has generated nothing: it failed, or was no generation
		}
		t := turn{prompt: r.Input, output: r.Output, said: r.Output, chunks: []uint64{key(0, i)}}
		if r.BlockTokens > 0 {
			blocks, length := r.Blocks, r.Input
			if n := next[i]; n > 0 {
				blocks, length = requests[n].Blocks, min(requests[n].Input, r.Input+r.Output)
			}
			t.fine = subdivide(blocks, 0, length, r.BlockTokens, fineTokens)
			t.coarse = subdivide(blocks, 0, length, r.BlockTokens, coarseTokens)
		}
		id := fmt.Sprint("r", i)
		if r.Session >= 0 {
			id = fmt.Sprint("s", r.Session)
		}
		all = append(all, &session{id: id, begin: r.At, turns: []turn{t}})
	}
	return all
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
