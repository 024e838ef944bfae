package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// params reads the parameters of one policy and collects what is wrong with them.
type params struct {
	given  map[string]any
	known  []string
	faults []error
}

// number is the parameter of that name, def when it is not given; it must lie in low..high.
func (p *params) number(name string, def, low, high float64) float64 {
	p.known = append(p.known, name)
	given, ok := p.given[name]
	if !ok {
		return def
	}
	v, ok := asNumber(given)
	if !ok {
		p.faults = append(p.faults, fmt.Errorf("%s: want a number, have %v", name, given))
		return def
	}
	if !(v >= low && v <= high) {
		p.faults = append(p.faults, fmt.Errorf("%s: want %g to %g, have %g", name, low, high, v))
		return def
	}
	return v
}

// choice is the parameter of that name, def when it is not given; it must be one of the options.
func (p *params) choice(name, def string, options ...string) string {
	p.known = append(p.known, name)
	given, ok := p.given[name]
	if !ok {
		return def
	}
	if v, ok := given.(string); ok && slices.Contains(options, v) {
		return v
	}
	p.faults = append(p.faults, fmt.Errorf("%s: want one of %s, have %v", name, strings.Join(options, ", "), given))
	return def
}

func asNumber(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case float32:
		return float64(n), true
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	default:
		return 0, false
	}
}

// err is everything that is wrong, parameters that nobody asked for included.
func (p *params) err() error {
	names := make([]string, 0, len(p.given))
	for name := range p.given {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if slices.Contains(p.known, name) {
			continue
		}
		if len(p.known) == 0 {
			p.faults = append(p.faults, fmt.Errorf("unknown parameter %q, this policy has none", name))
		} else {
			p.faults = append(p.faults, fmt.Errorf("unknown parameter %q, want %s", name, strings.Join(p.known, ", ")))
		}
	}
	return errors.Join(p.faults...)
}
