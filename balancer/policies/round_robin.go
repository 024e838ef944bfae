package policies

import "github.com/warmlane/warmlane/balancer"

// roundRobin takes the endpoints in turn.
type roundRobin struct{}

func newRoundRobin(*params) balancer.Policy { return roundRobin{} }

func (roundRobin) Name() string { return "round_robin" }

func (roundRobin) Pick(v *balancer.View) (best, runnerUp int) {
	for i := range v.Candidates {
		turn := v.Candidates[i].Index - v.Last - 1
		if turn < 0 {
			turn += v.Endpoints
		}
		v.Candidates[i].Cost = float64(turn)
	}
	return lowest(v)
}
