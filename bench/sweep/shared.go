package sweep

import (
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// Shared is what several gateways tell each other.
type Shared uint8

// The degrees of sharing.
const (
	SharedNothing Shared = iota // each knows its own requests and the engines' metrics
	SharedLoad                  // what each has in flight, and the speeds learned
	SharedIndex                 // and which prompts went where
)

// String says what is shared.
func (s Shared) String() string { return [...]string{"nothing", "load", "load and index"}[s] }

// tellEvery is how often gateways exchange deltas, and tellTakes how long a delta is on its way.
const (
	tellEvery = 100 * time.Millisecond
	tellTakes = 2 * time.Millisecond
)

// tell sends every other gateway what is new.
func (g *gateway) tell(now time.Time) []func() {
	var deliveries []func()
	for i, to := range g.run.gateways {
		if to == g {
			continue
		}
		d := g.pool.Export(g.told[i], now)
		g.told[i] = d.Until
		if g.run.shared == SharedLoad {
			d.Placements = nil
		}
		deliveries = append(deliveries, func() {
			if to.pool.Merge(g.name, &d, clock(g.run.now)) != nil {
				g.told[i] = balancer.Cursor{} // a snapshot comes next
			}
		})
	}
	return deliveries
}

// tellAgain tells for as long as the run lasts.
func (g *gateway) tellAgain(now time.Duration) {
	for _, deliver := range g.tell(clock(now)) {
		g.run.agenda.add(now+tellTakes, func(time.Duration) { deliver() })
	}
	g.run.agenda.add(now+tellEvery, g.tellAgain)
}
