// Package policies holds the rules by which a pool chooses an endpoint, one file each. README.md tells formulas,
// parameters, when to use which, and what each gets wrong.
//
// A policy is a value without state: its choice depends on the view alone, and equal costs are decided by the view's
// seeded source, so that ties never gather on one endpoint.
package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warmlane/warmlane/balancer"
)

type builder func(p *params) balancer.Policy

func builders() map[string]builder {
	return map[string]builder{
		"round_robin":     newRoundRobin,
		"random":          newRandom,
		"least_request":   newLeastRequest,
		"power_of_two":    newPowerOfTwo,
		"least_tokens":    newLeastTokens,
		"prefix":          newPrefix,
		"lmetric":         newLMetric,
		"lmetric_learned": newLMetricLearned,
		"warm":            newWarm,
		"consistent_hash": newConsistentHash,
		"session":         newSession,
		"gpu":             newGPU,
		"cache_aware":     newCacheAware,
		"linear":          newLinear,
		"llmd":            newLLMD,
		"cost":            newCost,
	}
}

// Names are the names that [New] knows, sorted.
func Names() []string {
	names := make([]string, 0, 16)
	for name := range builders() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// New makes the policy of that name. given are its parameters as configuration has them; unknown names, unknown
// parameters and values out of bounds are errors that tell what would be right.
func New(name string, given map[string]any) (balancer.Policy, error) {
	build, ok := builders()[name]
	if !ok {
		return nil, fmt.Errorf("unknown policy %q, want one of %s", name, strings.Join(Names(), ", "))
	}
	p := &params{given: given}
	policy := build(p)
	if err := p.err(); err != nil {
		return nil, fmt.Errorf("policy %s: %w", name, err)
	}
	return policy, nil
}
