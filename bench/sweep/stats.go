package sweep

import "math"

// Interval is a mean with the half width of its 95 % confidence interval by Student's t.
type Interval struct {
	Mean float64 `json:"mean"`
	Half float64 `json:"half"`
}

// interval is that of independent values; of a single one the half is 0, which says nothing.
func interval(values []float64) Interval {
	n := float64(len(values))
	m := mean(values)
	if len(values) < 2 {
		return Interval{Mean: m}
	}
	sum := 0.0
	for _, v := range values {
		sum += (v - m) * (v - m)
	}
	return Interval{Mean: m, Half: student(len(values)-1) * math.Sqrt(sum/(n-1)/n)}
}

// student is the 0.975 quantile of Student's t distribution, by the expansion of Cornish and Fisher in 1/df (Abramowitz and Stegun
// 26.7.5), which is exact to a percent from 3 degrees of freedom on; below that by formula.
func student(df int) float64 {
	switch df {
	case 1:
		return 12.706
	case 2:
		return 4.303
	}
	const z = 1.959964
	n := float64(df)
	z3, z5, z7 := z*z*z, z*z*z*z*z, z*z*z*z*z*z*z
	return z + (z3+z)/(4*n) + (5*z5+16*z3+3*z)/(96*n*n) + (3*z7+19*z5+17*z3-15*z)/(384*n*n*n)
}

// ratio is the paired ratio of a figure to the baseline's: the geometric mean over the seeds, as a difference in percent, with its
// interval. Seeds in which either is 0 are left out.
func ratio(of, base []Metrics, figure func(*Metrics) float64) Interval {
	logs := logRatios(of, base, figure)
	i := interval(logs)
	return Interval{Mean: 100 * math.Expm1(i.Mean), Half: 100 * math.Exp(i.Mean) * i.Half}
}

func logRatios(of, base []Metrics, figure func(*Metrics) float64) []float64 {
	var logs []float64
	for s := range of {
		a, b := figure(&of[s]), figure(&base[s])
		if a > 0 && b > 0 {
			logs = append(logs, math.Log(a/b))
		}
	}
	return logs
}

// average is the interval of a figure over the seeds.
func average(runs []Metrics, figure func(*Metrics) float64) Interval {
	values := make([]float64, len(runs))
	for s := range runs {
		values[s] = figure(&runs[s])
	}
	return interval(values)
}

// geometric is the geometric mean over workloads of the paired ratios of a figure, 1 meaning equal, with the interval that
// follows from the seeds: the workloads are not a sample of anything.
func (r *Result) geometric(policy, base int, figure func(*Metrics) float64) Interval {
	var perSeed []float64
	for s := range r.Config.Seeds {
		sum, n := 0.0, 0
		for w := range r.Cells {
			of, to := r.Cells[w][policy].Runs[s], r.Cells[w][base].Runs[s]
			if a, b := figure(&of), figure(&to); a > 0 && b > 0 {
				sum, n = sum+math.Log(a/b), n+1
			}
		}
		if n > 0 {
			perSeed = append(perSeed, sum/float64(n))
		}
	}
	i := interval(perSeed)
	return Interval{Mean: math.Exp(i.Mean), Half: math.Exp(i.Mean) * i.Half}
}
