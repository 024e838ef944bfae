package sweep

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/policies"
)

// Config is a comparison to be made.
type Config struct {
	Workloads []Workload
	Policies  []string // names, with parameters if wanted: warm or warm:w=8:rho=1; see [PolicyNames]
	Baseline  string   // the one of Policies that the others are compared with
	Seeds     int      // runs of each workload
	FirstSeed uint64
	Fleet     Fleet // in place of the workloads' own; nil: theirs
	Gateways  int   // that share the fleet; 0: one
	Shared    Shared
	SLO       SLO
	// Progress is called after each run, from any goroutine; nil: nobody is told.
	Progress func()
}

// Runs is how many runs there will be.
func (c *Config) Runs() int { return len(c.Workloads) * len(c.Policies) * c.Seeds }

// Result is what came out, by workload and policy in the order of the configuration.
type Result struct {
	Config Config
	Cells  [][]Cell
}

// Cell is one policy on one workload.
type Cell struct {
	Runs   []Metrics   // by seed
	firsts [][]float64 // times to the first token, by seed
	loads  [][]uint16  // requests on each replica over time, of the first seed
}

// PolicyNames are the policies that can be compared: those of the gateway, and those that only a sweep can play.
func PolicyNames() []string {
	return append(policies.Names(), "prefix_higress", Clairvoyant)
}

// CheckPolicy tells what is wrong with a policy and its parameters, nil if nothing is.
func CheckPolicy(text string) error {
	_, err := parsePolicy(text)
	return err
}

// parsePolicy reads a policy with its parameters; sample=no shows it all endpoints of a fleet, however large. What it returns
// makes a fresh one for every run.
func parsePolicy(text string) (func() balancer.Policy, error) {
	name, rest, _ := strings.Cut(text, ":")
	given := map[string]any{}
	for pair := range strings.SplitSeq(rest, ":") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("policy %q: parameter %q: want name=value", text, pair)
		}
		given[key] = value
		if x, err := strconv.ParseFloat(value, 64); err == nil {
			given[key] = x
		}
	}
	switch {
	case (name == Clairvoyant || name == "prefix_higress") && len(given) > 0:
		return nil, fmt.Errorf("policy %q: %s takes no parameters", text, name)
	case name == Clairvoyant:
		return func() balancer.Policy { return &clairvoyant{} }, nil
	case name == "prefix_higress":
		return func() balancer.Policy { return &prefixHigress{} }, nil
	case !slices.Contains(PolicyNames(), name):
		return nil, fmt.Errorf("unknown policy %q, want some of %s", name, strings.Join(PolicyNames(), ", "))
	}
	all := given["sample"] == "no"
	if all {
		delete(given, "sample")
	}
	policy, err := policies.New(name, given)
	if all {
		policy = struct{ balancer.Policy }{policy} // what hides that it could live with a sample
	}
	return func() balancer.Policy { return policy }, err
}

// Run makes all runs, on all processors. The result does not depend on how many there are.
func Run(ctx context.Context, c Config) (*Result, error) {
	c.Gateways = max(1, c.Gateways)
	makers := make([]func() balancer.Policy, len(c.Policies))
	for i, text := range c.Policies {
		var err error
		if makers[i], err = parsePolicy(text); err != nil {
			return nil, err
		}
	}
	r := &Result{Config: c, Cells: make([][]Cell, len(c.Workloads))}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range c.Workloads {
		r.Cells[i] = make([]Cell, len(c.Policies))
		for k := range r.Cells[i] {
			r.Cells[i][k] = Cell{Runs: make([]Metrics, c.Seeds), firsts: make([][]float64, c.Seeds)}
		}
		for s := range c.Seeds {
			group.Go(func() error { return c.runSeed(ctx, &c.Workloads[i], s, makers, r.Cells[i]) })
		}
	}
	return r, group.Wait()
}

// runSeed makes the runs of one workload and seed, so that all policies share one plan.
func (c *Config) runSeed(ctx context.Context, w *Workload, s int, makers []func() balancer.Policy, cells []Cell) error {
	seed := c.FirstSeed + uint64(s)
	p := w.write(w, seed)
	if c.Fleet != nil {
		p = p.on(c.Fleet)
	}
	for k, policy := range makers {
		r, err := newRun(p, seed, policy(), c.Gateways, c.Shared)
		if err == nil {
			err = r.play(ctx)
		}
		if err != nil {
			return fmt.Errorf("workload %s, policy %s, seed %d: %w", w.Name, c.Policies[k], seed, err)
		}
		cell := &cells[k]
		cell.Runs[s], cell.firsts[s] = r.metrics(c.SLO), r.firsts()
		if s == 0 {
			cell.loads = r.curve.requests
		}
		if c.Progress != nil {
			c.Progress()
		}
	}
	return nil
}
