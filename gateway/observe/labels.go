package observe

import "github.com/warmlane/warmlane/gateway/config"

// Label values for what has no name of its own.
const (
	other = "other" // not named in the configuration
	none  = "none"  // the request did not get that far
)

// labels are the values that the labels model, pool and limit may take.
type labels struct {
	models, pools, limits map[string]bool
	globs                 []string // model patterns; one stands for all models that it matches
}

func newLabels(models, pools, limits []string) *labels {
	l := &labels{models: map[string]bool{}, pools: set(pools), limits: set(limits)}
	for _, m := range models {
		if config.IsGlob(m) {
			l.globs = append(l.globs, m)
		} else {
			l.models[m] = true
		}
	}
	return l
}

func set(names []string) map[string]bool {
	s := make(map[string]bool, len(names))
	for _, n := range names {
		s[n] = true
	}
	return s
}

func (l *labels) model(name string) string {
	if name == "" || l.models[name] {
		return known(name, true)
	}
	for _, g := range l.globs {
		if config.Glob(g, name) {
			return g
		}
	}
	return other
}

func (l *labels) pool(name string) string { return known(name, l.pools[name]) }

func (l *labels) limit(name string) string { return known(name, l.limits[name]) }

func known(name string, is bool) string {
	switch {
	case name == "":
		return none
	case is:
		return name
	default:
		return other
	}
}
