package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/warmlane/warmlane/bench/sweep"
	"github.com/warmlane/warmlane/bench/workload"
)

// SweepCmd compares policies in virtual time.
type SweepCmd struct {
	Workload  string        `default:"headline-a" help:"Workloads, comma separated; all: the sixteen; all16: with four times the fleet and traffic; trace: the requests of --trace."`
	Policies  string        `default:"lmetric,warm,cache_aware,llmd,linear,prefix_higress,gpu,least_request,round_robin,clairvoyant" help:"Policies to compare, comma separated, with parameters as in warm:w=8."`
	Baseline  string        `help:"The policy that differences are to; the first of --policies if not given."`
	Seeds     int           `default:"10" help:"Runs of each workload."`
	FirstSeed uint64        `default:"1000" help:"Seed of the first run; policies were tuned on the seeds below 1000."`
	Fleet     string        `help:"Replicas in place of the workload's own, such as 3xa10-llama3-8b,1xa10-llama3-8b:slow=3:blocks=760."`
	Gateways  int           `default:"1" help:"Gateways over one fleet; requests are spread over them at random."`
	Shared    string        `default:"nothing" enum:"nothing,load,index" help:"What the gateways tell each other: ${enum}."`
	Trace     string        `type:"existingfile" help:"Recorded requests for the workload trace: Mooncake's, Azure's or warmlane's own file."`
	Rate      float64       `default:"1" help:"Let the recorded requests arrive this many times as fast."`
	SLOTTFT   time.Duration `name:"slo-ttft" default:"500ms" help:"Time to first token that a good request keeps."`
	SLOTPOT   time.Duration `name:"slo-tpot" default:"60ms" help:"Time a token that a good request keeps."`
	JSON      bool          `name:"json" help:"Print the result as one JSON object."`
	HTML      string        `name:"html" help:"Also write a page with charts to this file."`
}

// Run makes all runs and prints the tables.
func (c *SweepCmd) Run(ctx context.Context) error {
	cfg, err := c.config()
	if err != nil {
		return usageError(err.Error())
	}
	bars := newProgress(os.Stderr)
	cfg.Progress = bars.count("runs", cfg.Runs())
	result, err := sweep.Run(ctx, cfg)
	bars.close()
	if err != nil {
		return err
	}
	if c.HTML != "" {
		if err := writeFile(c.HTML, result.WriteHTML); err != nil {
			return err
		}
	}
	if c.JSON {
		return result.WriteJSON(os.Stdout)
	}
	return result.WriteTable(os.Stdout)
}

func (c *SweepCmd) config() (sweep.Config, error) {
	cfg := sweep.Config{
		Policies: strings.Split(c.Policies, ","), Baseline: c.Baseline, Seeds: c.Seeds, FirstSeed: c.FirstSeed, Gateways: c.Gateways,
		SLO: sweep.SLO{TTFT: c.SLOTTFT, TPOT: c.SLOTPOT},
	}
	for i, policy := range cfg.Policies {
		cfg.Policies[i] = strings.TrimSpace(policy)
		if err := sweep.CheckPolicy(cfg.Policies[i]); err != nil {
			return cfg, fmt.Errorf("--policies: %w", err)
		}
	}
	if cfg.Baseline == "" {
		cfg.Baseline = cfg.Policies[0]
	}
	cfg.Shared = map[string]sweep.Shared{"load": sweep.SharedLoad, "index": sweep.SharedIndex}[c.Shared]
	switch {
	case c.Seeds < 1 || c.Gateways < 1 || c.Gateways > 64:
		return cfg, errors.New("--seeds must be at least 1, --gateways 1 to 64")
	case !slices.Contains(cfg.Policies, cfg.Baseline):
		return cfg, fmt.Errorf("--baseline %s is not one of --policies", cfg.Baseline)
	case c.Trace != "" && c.Workload != "trace":
		return cfg, errors.New("--trace is read for --workload trace alone")
	case c.SLOTTFT <= 0 || c.SLOTPOT <= 0 || c.Rate <= 0:
		return cfg, errors.New("--slo-ttft, --slo-tpot and --rate must be positive")
	}
	var err error
	if c.Fleet != "" {
		if cfg.Fleet, err = sweep.ParseFleet(c.Fleet); err != nil {
			return cfg, fmt.Errorf("--fleet: %w", err)
		}
	}
	if c.Workload != "trace" {
		cfg.Workloads, err = sweep.Find(c.Workload)
		return cfg, err
	}
	if c.Trace == "" || cfg.Fleet == nil {
		return cfg, errors.New("--workload trace wants --trace FILE and --fleet")
	}
	requests, err := workload.ReadTrace(c.Trace)
	if err != nil {
		return cfg, err
	}
	cfg.Workloads = []sweep.Workload{sweep.Trace("trace", requests, c.Rate)}
	return cfg, nil
}

// writeFile makes a file with what write puts into it.
func writeFile(path string, write func(w io.Writer) error) error {
	f, err := os.Create(path) //nolint:gosec // the user names the file
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
