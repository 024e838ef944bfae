package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
	"github.com/warmlane/warmlane/bench/sweep"
	"github.com/warmlane/warmlane/bench/workload"
)

// PlanCmd tells how many replicas recorded traffic needs.
type PlanCmd struct {
	Trace    string        `required:"" type:"existingfile" placeholder:"FILE" help:"Recorded requests: warmlane's own trace file (observe.trace_file), Mooncake's or Azure's."`
	SLOTTFT  time.Duration `name:"slo-ttft" default:"500ms" help:"Time to first token that a good request keeps."`
	SLOTPOT  time.Duration `name:"slo-tpot" default:"60ms" help:"Time a token that a good request keeps."`
	Goal     float64       `default:"0.99" help:"Share of the requests that must keep both."`
	Preset   string        `default:"a10-llama3-8b" help:"GPU and model of each replica, as in warmlane engine."`
	Policies []string      `default:"warm,lmetric,least_request,round_robin" help:"Policies to size for, as in warmlane sweep."`
	Rate     float64       `default:"1" help:"Let the requests arrive this many times as fast as recorded."`
	Seeds    int           `default:"3" help:"Runs of each size; the worst of them must keep the goal."`
	Most     int           `default:"128" help:"Replicas to try at most."`
	JSON     bool          `name:"json" help:"Print the result as one JSON object."`
}

// Run searches the sizes and prints them.
func (c *PlanCmd) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return usageError(err.Error())
	}
	requests, err := workload.ReadTrace(c.Trace)
	if err != nil {
		return usageError(err.Error())
	}
	bars := newProgress(os.Stderr)
	z := sweep.Sizing{
		Requests: requests, Preset: c.Preset, Policies: c.Policies, SLO: sweep.SLO{TTFT: c.SLOTTFT, TPOT: c.SLOTPOT},
		Goal: c.Goal, Rate: c.Rate, Seeds: c.Seeds, Most: c.Most,
		Progress: bars.say("trying"),
	}
	plan, err := z.Find(ctx)
	bars.close()
	if err != nil {
		return fmt.Errorf("planning for %s: %w", c.Trace, err)
	}
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", " ")
		return e.Encode(plan)
	}
	return plan.WriteTable(os.Stdout)
}

func (c *PlanCmd) check() error {
	switch {
	case c.SLOTTFT <= 0 || c.SLOTPOT <= 0:
		return errors.New("--slo-ttft and --slo-tpot must be positive")
	case !(c.Goal > 0 && c.Goal <= 1): // nor what is no number
		return errors.New("--goal must be above 0 and at most 1: 0.99 is 99 % of the requests")
	case !(c.Rate >= 0.001 && c.Rate <= 1000):
		return errors.New("--rate must be 0.001 to 1000")
	case c.Seeds < 1:
		return errors.New("--seeds must be at least 1")
	case c.Most < 1 || c.Most > 1024:
		return errors.New("--most must be 1 to 1024")
	case len(c.Policies) == 0:
		return errors.New("--policies names no policy")
	}
	for _, policy := range c.Policies {
		if err := sweep.CheckPolicy(policy); err != nil {
			return fmt.Errorf("--policies: %w", err)
		}
	}
	if _, err := engine.LookupPreset(c.Preset); err != nil {
		return fmt.Errorf("--preset: %w", err)
	}
	return nil
}
