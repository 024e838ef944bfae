package balancer_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// plainLearner keeps every sample and works the coefficients out from all of them, formula by formula. It does not clip.
type plainLearner struct {
	steps, firsts [][]plainSample // by endpoint
	g             []float64       // of the last fit, by which the samples of prefill are scaled
}

type plainSample struct {
	x, y float64
	at   time.Time
}

type plainSpeed struct{ step, perContext, rate, floor float64 }

// weighted is the weighted means and centred sums of samples: each counts 0.98 of the next, and half of one 10 s younger.
func weighted(samples []plainSample, now time.Time) (w, xbar, ybar, xx, xy float64) {
	weight := func(i int) float64 {
		return math.Pow(0.98, float64(len(samples)-1-i)) * math.Exp2(-now.Sub(samples[i].at).Seconds()/10)
	}
	for i, s := range samples {
		w, xbar, ybar = w+weight(i), xbar+weight(i)*s.x, ybar+weight(i)*s.y
	}
	xbar, ybar = xbar/w, ybar/w
	for i, s := range samples {
		xx += weight(i) * (s.x - xbar) * (s.x - xbar)
		xy += weight(i) * (s.x - xbar) * (s.y - ybar)
	}
	return w, xbar, ybar, xx, xy
}

func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func within(v, low, high float64) float64 { return min(max(v, low), high) }

func flat(v, width float64) float64 {
	if math.Abs(math.Log(v)) < width {
		return 1
	}
	return v
}

func (p *plainLearner) fit(now time.Time) []plainSpeed {
	n := len(p.steps)
	num, den := 2e8*8e-6, 2e8
	for _, s := range p.steps {
		if len(s) >= 8 {
			_, _, ybar, xx, xy := weighted(s, now)
			num, den = num+xy/ybar, den+xx
		}
	}
	bw := within(num/den, 0.1*8e-6, 10*8e-6)
	own, known := make([]float64, n), []float64(nil)
	for i, s := range p.steps {
		if len(s) >= 8 {
			_, xbar, ybar, _, _ := weighted(s, now)
			own[i] = ybar / (1 + bw*xbar)
			known = append(known, own[i])
		}
	}
	wp := 0.020
	if len(known) > 0 {
		wp = middle(known)
	}
	num, den = 2.5e6*wp/150, 2.5e6
	for i, s := range p.firsts {
		if len(s) >= 4 {
			_, _, _, xx, xy := weighted(s, now)
			num, den = num+xy/p.g[i], den+xx
		}
	}
	s := within(num/den, 0.1*wp/150, 10*wp/150)
	num, den = 2*wp, 2
	for i, f := range p.firsts {
		if len(f) >= 4 {
			w, xbar, ybar, _, _ := weighted(f, now)
			num, den = num+w*(ybar/p.g[i]-s*xbar), den+w
		}
	}
	al := max(0, num/den)

	fW, fastest := make([]float64, n), math.Inf(1)
	for i := range fW {
		if own[i] > 0 {
			fW[i] = flat(own[i]/wp, 0.1)
			fastest = min(fastest, fW[i])
		}
	}
	raw, m := make([]float64, n), 1.0
	known = nil
	for i, f := range p.firsts {
		if len(f) >= 4 {
			_, xbar, ybar, _, _ := weighted(f, now)
			raw[i] = within(ybar/(al+s*xbar), 0.1, 10)
			known = append(known, raw[i])
		}
	}
	if len(known) > 0 {
		m = middle(known)
	}
	all := make([]plainSpeed, n)
	for i := range all {
		switch {
		case own[i] > 0:
		case math.IsInf(fastest, 1):
			fW[i] = 1
		default:
			fW[i] = fastest
		}
		p.g[i] = fW[i]
		if raw[i] > 0 {
			p.g[i] = flat(raw[i]/m, 0.3)
		}
		all[i] = plainSpeed{step: wp * fW[i], perContext: bw * wp * fW[i], rate: 1 / (s * m * p.g[i]), floor: al * m * p.g[i]}
	}
	return all
}

// TestLearner_LikePlain lets single streams run on endpoints of unequal speed, noisy within what is not clipped, and holds
// what is believed after each against the formulas.
func TestLearner_LikePlain(t *testing.T) {
	const endpoints = 4
	f := newFleet(t, "round_robin", endpoints, func(c *balancer.PoolConfig) { c.ProbeIdle = true })
	p := &plainLearner{steps: make([][]plainSample, endpoints), firsts: make([][]plainSample, endpoints), g: []float64{1, 1, 1, 1}}
	r := rand.New(rand.NewPCG(5, 5))
	took := func(s float64) float64 { // in whole nanoseconds, as a clock tells it
		d := time.Duration(s * (0.9 + 0.2*r.Float64()) * 1e9)
		f.later(d)
		return d.Seconds()
	}
	for i := range 120 {
		f.later(time.Duration(r.IntN(3000)) * time.Millisecond)
		l := f.send(t, prompt(uint64(i)+9, 1, 0, 1+r.IntN(60)))
		e := l.Endpoint().Index()
		slow := []float64{1, 1, 1.05, 2.5}[e]
		u, x := float64(l.Decision().Uncached), float64(l.Decision().Uncached)
		y := took(slow * (0.03 + u/4000))
		l.FirstToken(f.now)
		p.firsts[e] = append(p.firsts[e], plainSample{u, y, f.now})
		x++
		tokens := 1 + r.IntN(12)
		if e == 2 {
			tokens = 0 // answers of one token: its step stays unmeasured
		}
		for range tokens {
			n := 1 + r.IntN(2)
			y := took(slow * 0.02 * (1 + 2e-5*x) * float64(n))
			l.Token(f.now, n)
			p.steps[e] = append(p.steps[e], plainSample{x, y / float64(n), f.now})
			x += float64(n)
		}
		l.End(done(tokens+1), f.now)
		f.later(time.Millisecond)
		want := p.fit(f.now)
		for j, s := range f.Status(f.now) {
			for what, v := range map[string][2]float64{
				"W": {s.Step, want[j].step}, "b": {s.PerContext, want[j].perContext}, "r": {s.Rate, want[j].rate}, "al": {s.Floor, want[j].floor},
			} {
				if math.Abs(v[0]-v[1]) > 1e-6*v[1] {
					t.Fatalf("after %d answers %s of endpoint %d is %v, want %v", i+1, what, j, v[0], v[1])
				}
			}
		}
	}
}
