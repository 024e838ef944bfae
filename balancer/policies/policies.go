// Package policies holds the rules by which a pool chooses an endpoint, one file each. README.md tells formulas,
// parameters, when to use which, and what each gets wrong.
package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warmlane/warmlane/balancer"
)

// Names are the names that [New] knows, sorted.
func Names() []string {
	names := make([]string, 0, 16)
	for name := range builders() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// New makes the policy of that name. params are its parameters as configuration gives them; unknown names, unknown
// parameters and values out of bounds are errors that tell what would be right.
func New(name string, params map[string]any) (balancer.Policy, error) {
	build, ok := builders()[name]
	if !ok {
		return nil, fmt.Errorf("unknown policy %q, want one of %s", name, strings.Join(Names(), ", "))
	}
	return build(params)
}

func builders() map[string]func(map[string]any) (balancer.Policy, error) {
	return map[string]func(map[string]any) (balancer.Policy, error){}
}
