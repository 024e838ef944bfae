package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
	"github.com/warmlane/warmlane/bench/sweep"
	"github.com/warmlane/warmlane/bench/workload"
)

// PlanCmd tells how many replicas recorded traffic needs.
type PlanCmd struct {
	Trace    string        `required:"" type:"existingfile" help:"Recorded requests: warmlane's own trace file (observe.trace_file), Mooncake's or Azure's."`
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
	switch {
	case c.SLOTTFT <= 0 || c.SLOTPOT <= 0:
		return usageError("--slo-ttft and --slo-tpot must be positive")
	case c.Goal <= 0 || c.Goal > 1:
		return usageError("--goal must be above 0 and at most 1")
	case c.Rate <= 0 || c.Seeds < 1 || c.Most < 1 || c.Most > 1024:
		return usageError("--rate must be positive, --seeds at least 1, --most 1 to 1024")
	}
	if _, err := engine.LookupPreset(c.Preset); err != nil {
		return usageError("--preset: " + err.Error())
	}
	requests, err := workload.ReadTrace(c.Trace)
	if err != nil {
		return err
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
