package balancer

import (
	"math"
	"slices"
	"time"
)

// The learner: from dispatch times, first tokens and the gaps between tokens it finds for every endpoint how long an
// engine step takes (W), what a token of context adds to it (b), how fast it prefills (r) and what a first token
// costs with nothing to prefill (al). Nothing is configured. Start values are dimensionless or scale with what is
// measured, so that they may be wrong by far. What is learned stays within bounds whatever the samples are: W between
// leastStep and longestGap, al at most longestGap, lengths between 1 and longestText, ratios within boundBy of their
// start or of the pool's.
const (
	startAnswer  = 200.0   // tokens, of the expected answer
	answerWeight = 0.02    // of one more answer
	longestText  = 1 << 17 // tokens of a prompt or an answer that are believed, the context of large models

	startStep     = 0.020 // s, W before anything is measured
	startGrowth   = 8e-6  // growth of a step per context token, relative to the step
	growthWeight  = 2e8   // of the start value, in squared tokens
	startPrefill  = 150.0 // tokens prefilled in the time of one step
	prefillWeight = 2.5e6 // of the start value, in squared tokens
	floorWeight   = 2.0   // of the start value of al, one step, in samples

	stepSamples  = 8 // that make an endpoint measured
	firstSamples = 4 // first tokens that make its prefill measured
	clipAfter    = 8
	clipBy       = 3.0
	boundBy      = 10.0
	stepBand     = 0.1 // |ln| below which a step counts as the pool's
	prefillBand  = 0.3

	sampleDecay = 0.98
	sampleHalf  = 10.0 // s
	silenceHalf = 30.0 // s, of learned differences where idle endpoints are not probed
	sameStep    = 2 * time.Millisecond
	leastStep   = 1e-4                   // s a token; what comes faster is one step in several events, or a wrong count
	longestGap  = 60.0                   // s; a longer one is a stall, not a step
	fitEvery    = 100 * time.Microsecond // for each endpoint of the pool
)

// sums are the decayed sums of a straight line's samples.
type sums struct {
	w, x, y, xx, xy float64
	n               int // samples ever
	at              time.Time
}

func (s *sums) add(x, y float64, now time.Time) {
	f := sampleDecay * s.aged(now)
	s.w, s.x, s.y, s.xx, s.xy = f*s.w+1, f*s.x+x, f*s.y+y, f*s.xx+x*x, f*s.xy+x*y
	s.n++
	s.at = now
}

// aged is the decay since the last sample; a clock that jumps back does not decay.
func (s *sums) aged(now time.Time) float64 {
	if s.at.IsZero() || !now.After(s.at) {
		return 1
	}
	return math.Exp2(-now.Sub(s.at).Seconds() / sampleHalf)
}

func (s *sums) means() (x, y float64) { return s.x / s.w, s.y / s.w }

// centred are the sums about the means, aged.
func (s *sums) centred(now time.Time) (xx, xy float64) {
	f := s.aged(now)
	return f * max(0, s.xx-s.x*s.x/s.w), f * (s.xy - s.x*s.y/s.w)
}

// speed is what one endpoint's samples say.
type speed struct {
	step, perCtx, perTok, floor float64 // W, b, 1/r, al: what the policy is told

	steps, firsts sums
	lastStep      time.Time // of the last step sample
	lastFirst     time.Time // of the last first token
	lastWait      time.Time // last moment at which a request waited for its first token
	heard         *heard    // from other gateways, if they told anything

	fW, g float64 // factors over the pool
}

// heard is what other gateways tell of an endpoint's speed.
type heard struct {
	first        time.Time // of their last first token
	step, perTok float64   // W and 1/r, 0 when not told
	at           time.Time
}

// heardAfter is the age of the own last sample from which a newer word of another gateway is believed instead.
const heardAfter = 10 * time.Second

// newer tells whether h is to be believed instead of the own samples of s.
func (h *heard) newer(s *speed) bool {
	return h != nil && h.step > 0 && (!s.measured() || h.at.Sub(s.steps.at) > heardAfter)
}

func (s *speed) measured() bool { return s.steps.n >= stepSamples }

func (s *speed) forget() { *s = speed{fW: 1, g: 1, lastWait: s.lastWait} }

// learner is what the samples of all endpoints together say.
type learner struct {
	growth  float64 // bw
	step    float64 // Wp
	prefill float64 // s
	floor   float64 // al, at factor 1
	median  float64 // m, of the raw prefill factors
	answer  float64 // o
	// The usual length of a prompt and of its uncached part, 0 before the first one. They stand for requests of others.
	prompt, uncached float64

	dirty  bool
	fitted time.Time
	sort   []float64
	raw    []float64
}

func newLearner() *learner {
	return &learner{
		growth: startGrowth, step: startStep, prefill: startStep / startPrefill, floor: startStep,
		median: 1, answer: startAnswer, dirty: true,
	}
}

// sawAnswer takes in the length of a complete answer.
func (l *learner) sawAnswer(tokens int) {
	if tokens > 0 {
		l.answer += answerWeight * (float64(min(tokens, longestText)) - l.answer)
	}
}

// sawPrompt takes in the length of a prompt and how much of it is not cached where it goes.
func (l *learner) sawPrompt(tokens, uncached int) {
	p, u := float64(min(tokens, longestText)), float64(min(uncached, longestText))
	if l.prompt == 0 {
		l.prompt, l.uncached = p, u
	}
	l.prompt += answerWeight * (p - l.prompt)
	l.uncached += answerWeight * (u - l.uncached)
}

// sawStep takes in the gap between two events of a stream on e, the later one with n tokens. The caller has made
// sure that no request there waited for its first token meanwhile.
func (l *learner) sawStep(s *speed, context, gap float64, n int, now time.Time) {
	y := gap / float64(n)
	if !(y >= leastStep) || gap > longestGap {
		return
	}
	if since := now.Sub(s.lastStep).Seconds(); !s.lastStep.IsZero() && since >= 0 && since <= gap/2 {
		return // the same engine step, seen by another stream
	}
	s.lastStep = now
	if s.steps.n >= clipAfter {
		xbar, ybar := s.steps.means()
		y = clip(y, ybar/(1+l.growth*xbar)*(1+l.growth*context))
	}
	s.steps.add(context, y, now)
	l.dirty = true
}

// sawFirst takes in a first token on e of a request that had to prefill uncached tokens.
func (l *learner) sawFirst(s *speed, uncached float64, dispatched, now time.Time) {
	previous := s.lastFirst
	if s.heard != nil && s.heard.first.After(previous) && !s.heard.first.After(now) {
		previous = s.heard.first
	}
	s.lastFirst = now
	if !previous.IsZero() && now.Sub(previous) < sameStep {
		return // the same engine step, or a clock that ran back
	}
	from := dispatched
	if previous.After(from) {
		from = previous
	}
	y := now.Sub(from).Seconds()
	if !(y > 0) || y > 10*longestGap {
		return
	}
	if s.firsts.n >= clipAfter {
		y = clip(y, (l.floor+l.prefill*uncached)*l.median*s.g)
	}
	s.firsts.add(uncached, y, now)
	l.dirty = true
}

func clip(y, expected float64) float64 {
	if !(expected > 0) {
		return y
	}
	return min(max(y, expected/clipBy), expected*clipBy)
}

// refit makes the next fit work out everything, however short ago the last was.
func (l *learner) refit() { l.dirty, l.fitted = true, time.Time{} }

// fit works out the coefficients of all endpoints anew, unless that was done a moment ago or nothing has come since.
func (l *learner) fit(all []*Endpoint, fading bool, now time.Time) {
	since := now.Sub(l.fitted)
	if !l.fitted.IsZero() && since >= 0 && since < fitEvery*time.Duration(len(all)) {
		return
	}
	if !l.dirty && !fading {
		return
	}
	l.dirty, l.fitted = false, now
	l.fitSteps(all, now)
	l.fitPrefill(all, now)
	l.setFactors(all)
	for _, e := range all {
		l.tell(&e.speed, fading, now)
	}
}

// fitSteps finds how a step grows with the context, the same on every card, and the pool's usual step.
func (l *learner) fitSteps(all []*Endpoint, now time.Time) {
	num, den := growthWeight*startGrowth, growthWeight
	for _, e := range all {
		if s := &e.speed; s.measured() {
			_, ybar := s.steps.means()
			xx, xy := s.steps.centred(now)
			num += xy / ybar
			den += xx
		}
	}
	l.growth = bound(num/den, startGrowth)
	l.sort = l.sort[:0]
	for _, e := range all {
		if s := &e.speed; s.measured() {
			l.sort = append(l.sort, l.ownStep(s))
		}
	}
	l.step = startStep
	if len(l.sort) > 0 {
		l.step = min(max(median(l.sort), leastStep), longestGap)
	}
}

func (l *learner) ownStep(s *speed) float64 {
	xbar, ybar := s.steps.means()
	return ybar / (1 + l.growth*xbar)
}

// fitPrefill finds the pool's seconds a prefilled token and its floor, each endpoint's samples divided by its factor.
func (l *learner) fitPrefill(all []*Endpoint, now time.Time) {
	start := l.step / startPrefill
	num, den := prefillWeight*start, prefillWeight
	for _, e := range all {
		if s := &e.speed; s.firsts.n >= firstSamples {
			xx, xy := s.firsts.centred(now)
			num += xy / s.g
			den += xx
		}
	}
	l.prefill = bound(num/den, start)
	num, den = floorWeight*l.step, floorWeight
	for _, e := range all {
		if s := &e.speed; s.firsts.n >= firstSamples {
			xbar, ybar := s.firsts.means()
			w := s.firsts.w * s.firsts.aged(now)
			num += w * (ybar/s.g - l.prefill*xbar)
			den += w
		}
	}
	l.floor = min(max(0, num/den), longestGap)
}

// setFactors finds how each endpoint differs from the pool. One never measured is believed as fast as the fastest.
func (l *learner) setFactors(all []*Endpoint) {
	l.sort, l.raw = l.sort[:0], l.raw[:0]
	fastest := math.Inf(1)
	for _, e := range all {
		s, raw := &e.speed, 0.0
		if s.firsts.n >= firstSamples {
			xbar, ybar := s.firsts.means()
			raw = min(max(ybar/(l.floor+l.prefill*xbar), 1/boundBy), boundBy)
			l.sort = append(l.sort, raw)
		}
		l.raw = append(l.raw, raw)
		if s.measured() {
			s.fW = band(min(max(l.ownStep(s)/l.step, 1/boundBy), boundBy), stepBand)
			fastest = min(fastest, s.fW)
		}
	}
	if math.IsInf(fastest, 1) {
		fastest = 1
	}
	l.median = 1
	if len(l.sort) > 0 {
		l.median = median(l.sort)
	}
	for i, e := range all {
		s := &e.speed
		if !s.measured() {
			s.fW = fastest
		}
		s.g = s.fW
		if l.raw[i] > 0 {
			s.g = band(l.raw[i]/l.median, prefillBand)
		}
	}
}

// tell sets what the policy is told of an endpoint.
func (l *learner) tell(s *speed, fading bool, now time.Time) {
	fW, g := s.fW, s.g
	last := s.steps.at
	if s.firsts.at.After(last) {
		last = s.firsts.at
	}
	known := s.measured() || s.firsts.n >= firstSamples
	if h := s.heard; h.newer(s) {
		fW, g, last, known = bound(h.step/l.step, 1), bound(h.perTok/(l.prefill*l.median), 1), h.at, true
	}
	if silent := now.Sub(last).Seconds(); fading && known && silent > 0 {
		f := math.Exp2(-silent / silenceHalf)
		fW, g = math.Pow(fW, f), math.Pow(g, f)
	}
	s.step = min(max(l.step*fW, leastStep), longestGap)
	s.perCtx = l.growth * s.step
	s.perTok = l.prefill * l.median * g
	s.floor = min(l.floor*l.median*g, longestGap)
}

// median sorts v and returns its middle.
func median(v []float64) float64 {
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// band takes a factor that is nearly 1 for 1.
func band(factor, width float64) float64 {
	if math.Abs(math.Log(factor)) < width {
		return 1
	}
	return factor
}

// bound keeps v within a factor of ten of start.
func bound(v, start float64) float64 { return min(max(v, start/boundBy), start*boundBy) }
