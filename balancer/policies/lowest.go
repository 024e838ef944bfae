package policies

import "github.com/warmlane/warmlane/balancer"

// failCount is what a fresh failure weighs for policies that count requests.
const failCount = 4

// company is the requests in flight, with recent failures counted as such: an endpoint that fails fast has little in
// flight and would look idle.
func company(c *balancer.Candidate) float64 { return c.InFlight + failCount*c.Failing }

// lowest returns the candidates of the lowest and the second lowest Cost; equal costs are drawn at random.
func lowest(v *balancer.View) (best, second int) {
	best = draw(v, -1)
	return best, draw(v, best)
}

// draw returns a candidate of the lowest cost other than the one at except, -1 if there is none.
func draw(v *balancer.View, except int) int {
	best, ties := -1, 0
	for i := range v.Candidates {
		if i == except {
			continue
		}
		switch cost := v.Candidates[i].Cost; {
		case best < 0 || cost < v.Candidates[best].Cost:
			best, ties = i, 1
		case cost == v.Candidates[best].Cost:
			ties++
			if v.Rand.IntN(ties) == 0 {
				best = i
			}
		}
	}
	return best
}
