package policies

import "github.com/warmlane/warmlane/balancer"

// powerOfTwo draws two endpoints and takes the one with fewer requests in flight for its weight.
type powerOfTwo struct{}

func newPowerOfTwo(*params) balancer.Policy { return powerOfTwo{} }

func (powerOfTwo) Name() string { return "power_of_two" }

func (powerOfTwo) Pick(v *balancer.View) (best, runnerUp int) {
	n := len(v.Candidates)
	a := v.Rand.IntN(n)
	v.Candidates[a].Cost = company(&v.Candidates[a]) / v.Candidates[a].Weight
	if n == 1 {
		return a, -1
	}
	b := (a + 1 + v.Rand.IntN(n-1)) % n
	v.Candidates[b].Cost = company(&v.Candidates[b]) / v.Candidates[b].Weight
	if v.Candidates[b].Cost < v.Candidates[a].Cost {
		return b, a
	}
	return a, b
}
