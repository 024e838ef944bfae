package gateway

import (
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/console"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/observe"
)

// adminProvider is a provider as the admin API shows it.
type adminProvider struct {
	Name    string     `json:"name"`
	Kind    string     `json:"kind"`
	BaseURL string     `json:"base_url"`
	State   string     `json:"state"` // serving, or ejected: left alone as a whole
	Reason  string     `json:"reason,omitempty"`
	Rests   float64    `json:"rest_seconds"`
	Ejected uint64     `json:"ejections"`
	Keys    []adminKey `json:"keys"`
}

// adminKey is a key, by its place in the configuration.
type adminKey struct {
	Number   int     `json:"number"`
	State    string  `json:"state"` // in_use or resting
	Reason   string  `json:"reason,omitempty"`
	Rests    float64 `json:"rest_seconds"`
	Requests uint64  `json:"requests"`
	Limited  uint64  `json:"limited"`
	Refused  uint64  `json:"refused"`
}

// listProviders shows every provider with its state and that of its keys.
func (g *Gateway) listProviders(*console.Call) (any, *failure.Error) {
	s, now := g.state.Load(), time.Now()
	list := make([]adminProvider, 0, len(s.providers))
	for _, pc := range s.cfg.Providers {
		whole := s.providers[pc.Name].whole.State(now)
		p := adminProvider{
			Name: pc.Name, Kind: pc.Kind, BaseURL: pc.BaseURL,
			State: balancer.Serving.String(), Rests: whole.Rests.Seconds(), Ejected: whole.Ejections,
		}
		if whole.Out {
			p.State, p.Reason = balancer.Ejected.String(), whole.Why.String()
		}
		for _, k := range s.providers[pc.Name].Keys.States(now) {
			key := adminKey{Number: k.Number, State: "in_use", Rests: k.Rests.Seconds(), Requests: k.Sent, Limited: k.Limited, Refused: k.Refused}
			if k.Rests > 0 {
				key.State, key.Reason = "resting", k.Why.String()
			}
			p.Keys = append(p.Keys, key)
		}
		list = append(list, p)
	}
	return map[string]any{"providers": list}, nil
}

// providerGauges describes every provider as a whole for the metrics.
func (s *state) providerGauges(now time.Time) []observe.ProviderGauge {
	all := make([]observe.ProviderGauge, 0, len(s.cfg.Providers))
	for _, pc := range s.cfg.Providers {
		whole := s.providers[pc.Name].whole.State(now)
		all = append(all, observe.ProviderGauge{Provider: pc.Name, Up: !whole.Out, Rests: whole.Rests, Ejections: whole.Ejections})
	}
	return all
}

// keyGauges describes every provider's keys for the metrics.
func (s *state) keyGauges(now time.Time) []observe.KeyGauge {
	var all []observe.KeyGauge
	for _, pc := range s.cfg.Providers {
		for _, k := range s.providers[pc.Name].Keys.States(now) {
			all = append(all, observe.KeyGauge{
				Provider: pc.Name, Key: k.Number, Rests: k.Rests, Sent: k.Sent, Limited: k.Limited, Refused: k.Refused,
			})
		}
	}
	return all
}
