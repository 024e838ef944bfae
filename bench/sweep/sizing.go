package sweep

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/bench/engine"
	"github.com/warmlane/warmlane/bench/workload"
)

// Sizing asks how many replicas recorded traffic needs.
type Sizing struct {
	Requests []workload.TraceRequest
	Preset   string   // GPU and model of each replica
	Policies []string // as in [Config]
	SLO      SLO
	Goal     float64 // share of the requests that keep the SLO, 0 to 1
	Rate     float64 // arrivals come this many times as fast as recorded
	Seeds    int     // runs of each size, of which the worst counts; at least 1
	Most     int     // replicas that are tried
	Progress func(policy string, replicas int)
}

// Plan is the answer.
type Plan struct {
	Sizing   *Sizing `json:"-"`
	Preset   string  `json:"preset"`
	Requests int     `json:"requests"`
	TooLarge int     `json:"too_large"` // requests that do not fit into the memory of a replica and are left out
	Silent   int     `json:"silent"`    // requests without an answer, also left out: they failed, or were no generations
	Shared   bool    `json:"shared"`    // the trace tells which prompts begin alike
	Seconds  float64 `json:"seconds"`   // from the first arrival to the last
	Input    float64 `json:"input"`     // tokens, mean
	Output   float64 `json:"output"`
	Ceiling  float64 `json:"ceiling"` // hit rate of one cache that never forgets
	Choices  []Size  `json:"policies"`
}

// Size is what one policy needs.
type Size struct {
	Policy   string  `json:"policy"`
	Replicas int     `json:"replicas"` // the fewest from which on the goal was kept; 0: not even by the most
	Tried    []Trial `json:"tried"`    // by size; that one and its neighbours among them
}

// Trial is one policy on one number of replicas: means over the runs, except of Good.
type Trial struct {
	Replicas int     `json:"replicas"`
	Good     float64 `json:"good"`     // share of the requests that keep the SLO, in the worst run
	TTFT     float64 `json:"ttft"`     // seconds, mean
	TTFTp99  float64 `json:"ttft_p99"` //
	TPOTp99  float64 `json:"tpot_p99"` //
	RT       float64 `json:"rt"`       // mean
	Hit      float64 `json:"hit"`
	Ceiling  float64 `json:"-"`
}

// Find searches the sizes for all policies.
func (z *Sizing) Find(ctx context.Context) (*Plan, error) {
	preset, err := engine.LookupPreset(z.Preset)
	if err != nil {
		return nil, err
	}
	makers := make([]func() balancer.Policy, len(z.Policies))
	for i, name := range z.Policies {
		if makers[i], err = parsePolicy(name); err != nil {
			return nil, err
		}
	}
	p := &Plan{Sizing: z, Preset: z.Preset, Choices: make([]Size, len(z.Policies))}
	kept := p.leaveOut(preset.Blocks * fineTokens)
	if len(kept) == 0 {
		return nil, fmt.Errorf("none of the %d requests is a generation that fits into the memory of a %s", len(z.Requests), z.Preset)
	}
	p.describe(kept)
	sessions := recorded(kept, z.Rate)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range z.Policies {
		group.Go(func() error {
			s := search{goal: z.Goal, most: z.Most, trials: map[int]Trial{}, try: func(replicas int) (Trial, error) {
				if z.Progress != nil {
					z.Progress(name, replicas)
				}
				t, err := z.try(ctx, sessions, makers[i], replicas)
				if err != nil {
					return t, fmt.Errorf("policy %s on %d replicas: %w", name, replicas, err)
				}
				return t, nil
			}}
			p.Choices[i] = Size{Policy: name, Replicas: s.fewest(), Tried: s.sorted()}
			return s.err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	p.Ceiling = p.Choices[0].Tried[0].Ceiling
	return p, nil
}

// leaveOut counts what cannot be played, and returns the rest.
func (p *Plan) leaveOut(capacity int) (kept []workload.TraceRequest) {
	for _, r := range p.Sizing.Requests {
		switch {
		case r.Output < 1:
			p.Silent++
		case r.Input+r.Output > capacity:
			p.TooLarge++
		default:
			kept = append(kept, r)
		}
	}
	return kept
}

// describe sums up what is played.
func (p *Plan) describe(kept []workload.TraceRequest) {
	p.Requests = len(kept)
	for i := range kept {
		p.Input += float64(kept[i].Input) / float64(len(kept))
		p.Output += float64(kept[i].Output) / float64(len(kept))
		p.Shared = p.Shared || kept[i].BlockTokens > 0
	}
	p.Seconds = (kept[len(kept)-1].At - kept[0].At).Seconds() / p.Sizing.Rate
}

// try plays the sessions once for each seed.
func (z *Sizing) try(ctx context.Context, sessions []*session, policy func() balancer.Policy, replicas int) (Trial, error) {
	t := Trial{Replicas: replicas, Good: 1}
	fleet := slices.Repeat(Fleet{{preset: z.Preset}}, replicas)
	n := float64(z.Seeds)
	for seed := range z.Seeds {
		r, err := newRun(&plan{fleet: fleet, sessions: sessions}, uint64(seed), policy(), 1, SharedNothing)
		if err == nil {
			err = r.play(ctx)
		}
		if err != nil {
			return t, err
		}
		m := r.metrics(z.SLO)
		t.Good = min(t.Good, m.Good)
		t.TTFT, t.TTFTp99, t.TPOTp99 = t.TTFT+m.TTFT/n, t.TTFTp99+m.TTFTp99/n, t.TPOTp99+m.TPOTp99/n
		t.RT, t.Hit, t.Ceiling = t.RT+m.RT/n, t.Hit+m.Hit/n, t.Ceiling+m.Ceiling/n
	}
	return t, nil
}

// search looks for the size that one policy needs.
type search struct {
	goal   float64
	most   int
	try    func(replicas int) (Trial, error)
	trials map[int]Trial
	err    error // of the first trial that failed, which ends the search
}

// fewest doubles the fleet until the goal is kept, halves the gap to the last size that did not keep it, and tries one more.
//
// One more replica does not always help: a policy that gathers what is alike may split it there. So where the goal is missed with one
// more, the search goes on above, and the answer is the smallest size from which on it was kept by all sizes that were tried. Sizes
// in the gaps between them are not known. It is 0 where the largest misses it.
func (s *search) fewest() int {
	low, high := 0, 1 // low misses the goal
	for {
		for !s.keeps(high) {
			if high == s.most {
				return 0
			}
			low, high = high, min(2*high, s.most)
		}
		for high-low > 1 {
			if mid := (low + high) / 2; s.keeps(mid) {
				high = mid
			} else {
				low = mid
			}
		}
		if high == s.most || s.keeps(high+1) {
			return high
		}
		low, high = high+1, min(2*(high+1), s.most)
		if low == s.most {
			return 0
		}
	}
}

// keeps tries a size unless that was done.
func (s *search) keeps(replicas int) bool {
	if s.err != nil {
		return true // whatever ends the search
	}
	t, done := s.trials[replicas]
	if !done {
		if t, s.err = s.try(replicas); s.err != nil {
			return true
		}
		s.trials[replicas] = t
	}
	return t.Good >= s.goal
}

func (s *search) sorted() []Trial {
	return slices.SortedFunc(maps.Values(s.trials), func(a, b Trial) int { return a.Replicas - b.Replicas })
}
