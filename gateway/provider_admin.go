package gateway

import (
	"time"

	"github.com/warmlane/warmlane/gateway/console"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/observe"
)

// adminProvider is a provider as the admin API shows it.
type adminProvider struct {
	Name    string     `json:"name"`
	Kind    string     `json:"kind"`
	BaseURL string     `json:"base_url"`
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

// listProviders shows every provider with the state of its keys.
func (g *Gateway) listProviders(*console.Call) (any, *failure.Error) {
	s, now := g.state.Load(), time.Now()
	list := make([]adminProvider, 0, len(s.providers))
	for _, pc := range s.cfg.Providers {
		p := adminProvider{Name: pc.Name, Kind: pc.Kind, BaseURL: pc.BaseURL}
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
