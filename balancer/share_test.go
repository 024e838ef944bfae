package balancer_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// spy is the default policy and keeps what it was last shown.
type spy struct {
	balancer.Policy
	seen *[]balancer.Candidate
}

func (spy) Samples() bool { return true } // as that does

func (s spy) Pick(v *balancer.View) (best, runnerUp int) {
	*s.seen = append((*s.seen)[:0], v.Candidates...)
	return s.Policy.Pick(v)
}

// gateway is one of several over the same fleet.
type gateway struct {
	*fleet
	name string
	seen []balancer.Candidate
	told map[string]balancer.Cursor // by peer
}

func gateways(t testing.TB, n, endpoints int) []*gateway {
	t.Helper()
	var all []*gateway
	for i := range n {
		g := &gateway{name: string(rune('a' + i)), told: map[string]balancer.Cursor{}}
		g.fleet = newFleet(t, "warm", endpoints, func(c *balancer.PoolConfig) {
			c.Policy, c.Seed = spy{Policy: c.Policy, seen: &g.seen}, uint64(i)
		})
		all = append(all, g)
	}
	return all
}

// tell exports what is new for to and merges it there.
func (g *gateway) tell(to *gateway) error {
	d := g.Export(g.told[to.name], g.now)
	g.told[to.name] = d.Until
	return to.Merge(g.name, &d, to.now)
}

// gossip is one round in which everybody tells everybody.
func gossip(t testing.TB, all []*gateway) {
	t.Helper()
	for _, from := range all {
		for _, to := range all {
			if from == to {
				continue
			}
			if err := from.tell(to); err != nil {
				t.Fatalf("%s tells %s: %v", from.name, to.name, err)
			}
		}
	}
}

func wait(d time.Duration, all ...*gateway) {
	for _, g := range all {
		g.later(d)
	}
}

// look returns what the policy is shown of every endpoint for a prompt that nobody has.
func (g *gateway) look(t failer) []balancer.Candidate {
	t.Helper()
	l, err := g.Choose(&balancer.Request{}, g.now)
	if err != nil {
		t.Fatalf("choosing: %v", err)
	}
	l.End(ended(balancer.Cancelled), g.now)
	return g.seen
}

// failer is a test, with generated input or without.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (g *gateway) peers(e int) int { return g.Status(g.now)[e].Peers }

func TestShare_ConcurrentUse(t *testing.T) {
	all := gateways(t, 2, 4)
	now := start
	var work sync.WaitGroup
	for i, g := range all {
		for w := range 8 {
			work.Go(func() {
				for k := range 100 {
					l, err := g.Choose(&balancer.Request{Prompt: prompt(uint64(k%7), uint64(w), 3, 30)}, now)
					if err != nil {
						t.Error(err)
						return
					}
					l.FirstToken(now)
					l.End(done(1), now)
				}
			})
		}
		for w := range 2 {
			work.Go(func() {
				var c balancer.Cursor
				for k := range 50 {
					d := g.Export(c, now)
					if c = d.Until; k%10 == 9 {
						c = balancer.Cursor{}
					}
					if err := all[1-i].Merge(string(rune('a'+w)), &d, now); err != nil && !errors.Is(err, balancer.ErrGap) {
						t.Error(err)
					}
				}
			})
		}
	}
	work.Wait()
	for _, g := range all {
		g.later(time.Second)
		g.forgotten(t)
	}
}
