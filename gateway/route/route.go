// Package route turns the routes of the configuration into ordered targets.
//
// The first route whose models and conditions fit a request takes it. A request that no route takes goes to what serves its model: the pool
// of that name, else the one pool that lists it as served_model or under models, else the one provider that lists it, else the one pool whose
// engines list it as an adapter.
//
// A Table is immutable and safe for concurrent use; a reload makes a new one. Find allocates nothing when it finds a route. Its cost grows with the
// number of routes: about 30 ns for each that does not fit.
package route

import (
	"slices"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
)

// Target is where a request may be sent: a pool or a provider, the other name is "".
type Target struct {
	Pool     string
	Provider string
	Model    string // name to send, "" = the caller's. ModelFor knows the exceptions.

	Weight     float64       // share of the requests that come here first, among the targets with a weight
	FirstEvent time.Duration // bound on a stream's first event; 0 = the pool's or provider's
	Answer     time.Duration // bound on an answer in one piece; 0 = the pool's or provider's
	Context    int           // most tokens of prompt and answer together; 0 = as the engines tell

	served bool     // Model is the pool's served_model: names that its engines know besides are sent as they are
	known  []string // such names

	outside *config.Provider // knows the provider's own names of models; nil for a pool
}

// Name returns the name of the pool or provider.
func (t *Target) Name() string {
	if t.Pool != "" {
		return t.Pool
	}
	return t.Provider
}

// ModelFor returns the model name to send for the one that the caller asked for; the two are equal when the body needs no edit. lists
// tells of further names that the target's engines know; nil knows none.
func (t *Target) ModelFor(asked string, lists func(model string) bool) string {
	if t.Model == "" && t.outside != nil {
		return t.outside.ModelFor(asked)
	}
	if t.Model == "" || t.served && (slices.Contains(t.known, asked) || lists != nil && lists(asked)) {
		return asked
	}
	return t.Model
}

// Route is an ordered list of targets.
type Route struct {
	Name       string // from the file; the model's name for a model that needs no route
	Targets    []Target
	FallbackOn []config.FailedBy
	Sticky     string // what chooses among weighted targets, as in the configuration

	weights float64  // the sum of the targets' weights
	models  []string // globs, none = every model
	match   config.Match
	when    string // match in words
}

// covers reports whether the route takes the request.
func (r *Route) covers(s *config.Subject) bool {
	return (len(r.models) == 0 || config.AnyGlob(r.models, s.Model)) && r.match.Covers(s)
}

// Weighted reports whether the route shares its requests out.
func (r *Route) Weighted() bool { return r.weights > 0 }

// Order returns the targets in the order in which a request tries them. draw, 0 to 1, chooses the first among those with a weight: the
// same draw chooses the same one as long as its share of the line from 0 to 1 covers it. The caller must not change the list.
func (r *Route) Order(draw float64) []Target {
	if r.weights == 0 {
		return r.Targets
	}
	first, at := -1, draw*r.weights
	for i := range r.Targets {
		if w := r.Targets[i].Weight; w > 0 {
			first = i
			if at -= w; at < 0 {
				break
			}
		}
	}
	order := make([]Target, 0, len(r.Targets))
	order = append(order, r.Targets[first])
	for _, weighted := range []bool{true, false} {
		for i := range r.Targets {
			if t := &r.Targets[i]; i != first && (t.Weight > 0) == weighted {
				order = append(order, *t)
			}
		}
	}
	return order
}
