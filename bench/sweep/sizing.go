package sweep

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

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
	Seeds    int     // runs of each size, of which the worst counts
	Most     int     // replicas that are tried
	Progress func(policy string, replicas int)
}

// Plan is the answer.
type Plan struct {
	Sizing   *Sizing `json:"-"`
	Preset   string  `json:"preset"`
	Requests int     `json:"requests"`
	TooLarge int     `json:"too_large"` // requests that do not fit into the memory of a replica and are left out
	Seconds  float64 `json:"seconds"`   // from the first arrival to the last
	Input    float64 `json:"input"`     // tokens, mean
	Output   float64 `json:"output"`
	Ceiling  float64 `json:"ceiling"` // hit rate of one cache that never forgets
	Choices  []Size  `json:"policies"`
}

// Size is what one policy needs.
type Size struct {
	Policy   string  `json:"policy"`
	Replicas int     `json:"replicas"` // the fewest that keep the goal; 0: more than were tried
	Tried    []Trial `json:"tried"`    // by size; that one and its neighbours among them
}

// Trial is one policy on one number of replicas: the mean over the seeds, and of Good the least.
type Trial struct {
	Replicas int `json:"replicas"`
	Metrics
}

// Find searches the sizes for all policies. Each search doubles the fleet until the goal is kept and halves the gap then.
func (z *Sizing) Find(ctx context.Context) (*Plan, error) {
	preset, err := engine.LookupPreset(z.Preset)
	if err != nil {
		return nil, err
	}
	kept, large := z.fitting(preset.Blocks * fineTokens)
	if len(kept) == 0 {
		return nil, fmt.Errorf("none of the %d requests is a generation that fits into the memory of a %s", len(z.Requests), z.Preset)
	}
	p := &Plan{Sizing: z, Preset: z.Preset, Requests: len(kept), TooLarge: large, Choices: make([]Size, len(z.Policies))}
	for i := range kept {
		p.Input += float64(kept[i].Input) / float64(len(kept))
		p.Output += float64(kept[i].Output) / float64(len(kept))
	}
	p.Seconds = (kept[len(kept)-1].At - kept[0].At).Seconds() / z.Rate
	sessions := recorded(kept, z.Rate)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range z.Policies {
		policy, err := parsePolicy(name)
		if err != nil {
			return nil, err
		}
		group.Go(func() error {
			s := search{z: z, ctx: ctx, sessions: sessions, policy: policy, name: name, trials: map[int]Trial{}}
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

// fitting are the requests that a replica can take, and how many others there are.
func (z *Sizing) fitting(capacity int) (kept []workload.TraceRequest, large int) {
	for _, r := range z.Requests {
		switch {
		case r.Output < 1:
		case r.Input+r.Output > capacity:
			large++
		default:
			kept = append(kept, r)
		}
	}
	return kept, large
}

// search looks for the size that one policy needs.
type search struct {
	z        *Sizing
	ctx      context.Context
	sessions []*session
	policy   func() balancer.Policy
	name     string
	trials   map[int]Trial
	err      error
}

// fewest is the smallest fleet that keeps the goal, 0 if none does. It also tries one less and one more.
func (s *search) fewest() int {
	low, high := 0, 1 // low does not keep it
	for !s.keeps(high) {
		if low = high; high == s.z.Most {
			return 0
		}
		high = min(2*high, s.z.Most)
	}
	for high-low > 1 {
		if mid := (low + high) / 2; s.keeps(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	if high > 1 {
		s.keeps(high - 1)
	}
	if high < s.z.Most {
		s.keeps(high + 1)
	}
	return high
}

func (s *search) keeps(replicas int) bool {
	if s.err != nil {
		return true // ends the search
	}
	t, done := s.trials[replicas]
	if !done {
		t = s.try(replicas)
		s.trials[replicas] = t
	}
	return t.Good >= s.z.Goal
}

func (s *search) try(replicas int) Trial {
	if s.z.Progress != nil {
		s.z.Progress(s.name, replicas)
	}
	fleet := slices.Repeat(Fleet{{preset: s.z.Preset}}, replicas)
	var all []Metrics
	for seed := range max(1, s.z.Seeds) {
		if s.err = s.ctx.Err(); s.err != nil {
			return Trial{Replicas: replicas}
		}
		r, err := newRun(&plan{fleet: fleet, sessions: s.sessions}, uint64(seed), s.policy(), 1, SharedNothing)
		if err == nil {
			err = r.play()
		}
		if err != nil {
			s.err = fmt.Errorf("policy %s on %d replicas: %w", s.name, replicas, err)
			return Trial{Replicas: replicas}
		}
		all = append(all, r.metrics(s.z.SLO))
	}
	t := Trial{Replicas: replicas, Metrics: all[0]}
	for _, figure := range []struct {
		of func(*Metrics) float64
		to *float64
	}{
		{ttft, &t.TTFT},
		{ttftP99, &t.TTFTp99},
		{whole, &t.RT},
		{func(m *Metrics) float64 { return m.TPOTp99 }, &t.TPOTp99},
		{func(m *Metrics) float64 { return m.Hit }, &t.Hit},
	} {
		*figure.to = average(all, figure.of).Mean
	}
	for i := range all {
		t.Good = min(t.Good, all[i].Good)
	}
	return t
}

func (s *search) sorted() []Trial {
	var all []Trial
	for _, t := range s.trials {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b Trial) int { return a.Replicas - b.Replicas })
	return all
}

// WriteTable writes the plan for people.
func (p *Plan) WriteTable(w io.Writer) error {
	var b strings.Builder
	z := p.Sizing
	fmt.Fprintf(&b, "%d requests in %.0f s (%.2f/s), %.0f tokens in and %.0f out on average. One cache that never forgets would find %.1f %% of the prompts.\n",
		p.Requests, p.Seconds, share(float64(p.Requests), p.Seconds), p.Input, p.Output, 100*p.Ceiling)
	if p.TooLarge > 0 {
		fmt.Fprintf(&b, "%d more requests do not fit into the memory of one replica and are left out.\n", p.TooLarge)
	}
	fmt.Fprintf(&b, "Goal: %.4g %% of the requests with their first token within %v and at most %v a token, on replicas of %s.\n\n", 100*z.Goal, z.SLO.TTFT, z.SLO.TPOT, z.Preset)
	t := columns(&b)
	row(t, "policy", "replicas", "within the goal %", "TTFT ms", "p99", "TPOT ms p99", "request s", "hit %")
	for _, c := range p.Choices {
		c.writeRows(t)
	}
	_ = t.Flush()
	b.WriteString("\nSimulated engines in virtual time; the answers' lengths and the arrivals are the trace's. * the fewest replicas that keep the goal.\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	return nil
}

// writeRows writes the size that a policy needs between its neighbours.
func (c *Size) writeRows(t *tabwriter.Writer) {
	name := c.Policy
	for _, trial := range c.Tried {
		distance := trial.Replicas - c.Replicas
		if c.Replicas > 0 && (distance < -1 || distance > 1) || c.Replicas == 0 && trial.Replicas != c.Tried[len(c.Tried)-1].Replicas {
			continue
		}
		number := fmt.Sprint(trial.Replicas)
		switch {
		case c.Replicas == 0:
			number += ", too few"
		case distance == 0:
			number = "* " + number
		}
		row(t, name, number, fmt.Sprintf("%.2f", 100*trial.Good), fmt.Sprintf("%.0f", 1e3*trial.TTFT), fmt.Sprintf("%.0f", 1e3*trial.TTFTp99),
			fmt.Sprintf("%.1f", 1e3*trial.TPOTp99), fmt.Sprintf("%.2f", trial.RT), fmt.Sprintf("%.1f", 100*trial.Hit))
		name = ""
	}
}
