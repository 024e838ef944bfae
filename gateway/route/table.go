package route

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
)

// Query is what is known about a request when it is routed.
type Query struct {
	config.Subject
	Allows func(model string) bool // whether the caller may know of a model; nil = of all. Asked only when Find fails.
	// Listed returns the pools whose engines list a model as an adapter; nil = none. Asked only about names that the configuration does
	// not know.
	Listed func(model string) []string
}

// Model is one public model name.
type Model struct {
	Name     string
	Pool     string // pool that gets it first, "" if a provider does
	Provider string // provider that gets it first, "" if a pool does
}

// Table finds routes.
type Table struct {
	routes   []*Route            // in the order of the file
	direct   map[string]*Route   // public name -> the pool or provider that serves it
	disputed map[string][]string // public name -> the pools or providers that serve it, when none has more right to it
	models   []Model
}

// New compiles the routes of a configuration that Load, Parse or FromPools returned.
func New(cfg *config.Config) *Table {
	t := &Table{direct: map[string]*Route{}, disputed: map[string][]string{}}
	order := t.addDirect(cfg)
	for i := range cfg.Routes {
		t.routes = append(t.routes, newRoute(cfg, &cfg.Routes[i]))
	}
	t.listModels(cfg, order)
	return t
}

func newRoute(cfg *config.Config, r *config.Route) *Route {
	out := &Route{Name: r.Name, FallbackOn: r.FallbackOn, Sticky: r.Sticky, models: r.Models, match: r.Match, when: r.Match.String()}
	for _, target := range r.Targets {
		out.Targets = append(out.Targets, newTarget(cfg, target))
		out.weights += target.Weight
	}
	return out
}

// newTarget completes a target: without a model of its own a pool's served_model is sent, but not for names that its engines know.
func newTarget(cfg *config.Config, target config.Target) Target {
	t := Target{
		Pool: target.Pool, Provider: target.Provider, Model: target.Model,
		Weight: target.Weight, FirstEvent: target.FirstEvent.Std(), Answer: target.Answer.Std(), Context: target.Context,
	}
	i := slices.IndexFunc(cfg.Pools, func(p config.Pool) bool { return p.Name == target.Pool })
	if i >= 0 && t.Pool != "" && t.Model == "" {
		t.Model, t.served, t.known = cfg.Pools[i].ServedModel, true, cfg.Pools[i].Models
	}
	i = slices.IndexFunc(cfg.Providers, func(p config.Provider) bool { return p.Name == target.Provider })
	if i >= 0 && t.Provider != "" {
		t.outside = &cfg.Providers[i]
	}
	return t
}

// publicNames are the models that a provider lists.
func publicNames(p *config.Provider) []string {
	names := make([]string, len(p.Models))
	for i, m := range p.Models {
		names[i] = m.Name
	}
	return names
}

// addDirect enters what needs no route, those with the best right to a name first. It returns the names in the order of the file.
func (t *Table) addDirect(cfg *config.Config) []string {
	for _, p := range cfg.Pools {
		t.claim(cfg, []string{p.Name}, config.Target{Pool: p.Name})
	}
	t.seal(cfg, func(claim func([]string, config.Target)) {
		for _, p := range cfg.Pools {
			claim(append([]string{p.ServedModel}, p.Models...), config.Target{Pool: p.Name})
		}
	})
	t.seal(cfg, func(claim func([]string, config.Target)) {
		for _, p := range cfg.Providers {
			claim(publicNames(&p), config.Target{Provider: p.Name})
		}
	})
	var order []string
	for _, p := range cfg.Pools {
		order = append(append(order, p.Name, p.ServedModel), p.Models...)
	}
	for _, p := range cfg.Providers {
		order = append(order, publicNames(&p)...)
	}
	return order
}

// seal lets several claim names that nobody with a better right has taken. A name that two of them claim goes to neither.
func (t *Table) seal(cfg *config.Config, claims func(claim func(names []string, target config.Target))) {
	owners := map[string][]config.Target{}
	claims(func(names []string, target config.Target) {
		for _, name := range names {
			_, taken := t.direct[name]
			if name != "" && !taken && len(t.disputed[name]) == 0 && !slices.Contains(owners[name], target) {
				owners[name] = append(owners[name], target)
			}
		}
	})
	for name, targets := range owners {
		if len(targets) == 1 {
			t.claim(cfg, []string{name}, targets[0])
			continue
		}
		for _, target := range targets {
			t.disputed[name] = append(t.disputed[name], target.Pool+target.Provider)
		}
	}
}

func (t *Table) claim(cfg *config.Config, names []string, target config.Target) {
	for _, name := range names {
		t.direct[name] = &Route{Name: name, Targets: []Target{newTarget(cfg, target)}, models: []string{name}}
	}
}

// Find returns the route for q; an adapter that no configuration names gets one of its own. Its failure is ModelNotFound, with the nearest names that the caller may know.
func (t *Table) Find(q Query) (*Route, *failure.Error) {
	for _, r := range t.routes {
		if r.covers(&q.Subject) {
			return r, nil
		}
	}
	if r, ok := t.direct[q.Model]; ok {
		return r, nil
	}
	owners := t.disputed[q.Model]
	if len(owners) == 0 && q.Listed != nil {
		owners = q.Listed(q.Model)
	}
	if len(owners) == 1 {
		return &Route{Name: q.Model, Targets: []Target{{Pool: owners[0]}}}, nil
	}
	return nil, t.notFound(&q, len(owners) > 1)
}

func (t *Table) notFound(q *Query, disputed bool) *failure.Error {
	f := failure.New(failure.ModelNotFound, t.notFoundText(q, disputed))
	f.Param = "model"
	return f
}

func (t *Table) notFoundText(q *Query, disputed bool) string {
	if q.Model == "" {
		return "The request names no model and no route takes it."
	}
	if disputed {
		return fmt.Sprintf("The model %s is served in more than one place and no route chooses between them.", shorten(q.Model))
	}
	var names []string
	for _, m := range t.models {
		if q.Allows == nil || q.Allows(m.Name) {
			names = append(names, m.Name)
		}
	}
	text := fmt.Sprintf("The model %s does not exist.", shorten(q.Model))
	if near := config.Nearest(q.Model, names); len(near) > 0 {
		text += " Did you mean " + strings.Join(near, ", ") + "?"
	}
	return text
}

// shorten quotes a name from a request: whatever a caller sends, the answer stays short.
func shorten(name string) string {
	const most = 128
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "..."
	}
	return fmt.Sprintf("%q", name)
}

// Models returns the public model names, each once, in the order of the file: names of pools, what they serve, models of providers, names
// that only routes know. The caller must not change the list.
func (t *Table) Models() []Model { return t.models }

// listModels collects what a request can name. Globs are not names.
func (t *Table) listModels(cfg *config.Config, order []string) {
	for _, r := range cfg.Routes {
		for _, name := range r.Models {
			if !config.IsGlob(name) {
				order = append(order, name)
			}
		}
	}
	seen := map[string]bool{"": true}
	for _, name := range order {
		if r := t.first(name); r != nil && !seen[name] {
			t.models = append(t.models, Model{Name: name, Pool: r.Targets[0].Pool, Provider: r.Targets[0].Provider})
		}
		seen[name] = true
	}
}

// first returns the route that a plain request for the model takes, else one that some request for it takes, else nil.
func (t *Table) first(model string) *Route {
	var conditional *Route
	for _, r := range t.routes {
		if len(r.models) > 0 && !config.AnyGlob(r.models, model) {
			continue
		}
		if r.match.Empty() {
			return r
		}
		if conditional == nil && len(r.models) > 0 {
			conditional = r
		}
	}
	if r, ok := t.direct[model]; ok {
		return r
	}
	return conditional
}
