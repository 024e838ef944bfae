package balancer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

var errProbe = errors.New("refused")

func (f *fleet) state(e int) balancer.State { return f.Status(f.now)[e].State }

// sendTo chooses until endpoint e is chosen, cancelling the others.
func (f *fleet) sendTo(t testing.TB, e int, p func() *balancer.Request) (*balancer.Lease, *balancer.Request) {
	t.Helper()
	for range 200 {
		r := p()
		l := f.try(t, r)
		if l.Endpoint().Index() == e {
			return l, r
		}
		l.End(ended(balancer.Cancelled), f.now)
	}
	t.Fatalf("endpoint %d is never chosen", e)
	return nil, nil
}

func anyRequest() *balancer.Request { return &balancer.Request{} }

// fail lets n requests fail on endpoint e.
func (f *fleet) fail(t testing.TB, e, n int, c balancer.Cause) {
	t.Helper()
	for range n {
		l, _ := f.sendTo(t, e, anyRequest)
		f.later(10 * time.Millisecond)
		l.End(ended(c), f.now)
	}
}

// probe answers all probes that are due, with err for those of endpoint bad.
func (f *fleet) probe(bad int, err error) (kinds []balancer.ProbeKind, dead bool) {
	for _, pr := range f.Due(f.now) {
		var e error
		if pr.Endpoint.Index() == bad {
			e = err
			kinds = append(kinds, pr.Kind)
		}
		dead = f.Probed(pr, e, f.now) || dead
	}
	return kinds, dead
}

func TestHealth_WhatEjects(t *testing.T) {
	for _, row := range []struct {
		cause balancer.Cause
		times int
		want  balancer.State
	}{
		{balancer.ServerError, 2, balancer.Serving},
		{balancer.ServerError, 3, balancer.Ejected},
		{balancer.Reset, 3, balancer.Ejected},
		{balancer.Timeout, 3, balancer.Ejected},
		{balancer.Stalled, 3, balancer.Ejected},
		{balancer.Cut, 3, balancer.Ejected},
		{balancer.Gone, 1, balancer.Ejected},
		{balancer.Refused, 1, balancer.Down},
		{balancer.Capacity, 1, balancer.Paused},
		{balancer.Stale, 20, balancer.Serving},
		{balancer.ClientError, 20, balancer.Serving},
		{balancer.ClientGone, 20, balancer.Serving},
		{balancer.Cancelled, 20, balancer.Serving},
	} {
		f := newFleet(t, "random", 3)
		f.fail(t, 1, row.times, row.cause)
		if got := f.state(1); got != row.want {
			t.Errorf("%d times %v: %v, want %v", row.times, row.cause, got, row.want)
		}
		if got := f.Status(f.now)[1].Failures[row.cause]; got < uint64(row.times) {
			t.Errorf("%d times %v are counted as %d", row.times, row.cause, got)
		}
	}
}

func TestHealth_SamePromptIsOneWitness(t *testing.T) {
	f := newFleet(t, "random", 3)
	poison := prompt(6, 6, 0, 3)
	for range 10 {
		l, _ := f.sendTo(t, 1, func() *balancer.Request { return &balancer.Request{Prompt: poison} })
		l.End(ended(balancer.Cut), f.now)
	}
	if got := f.state(1); got != balancer.Serving {
		t.Errorf("one prompt sent ten times made its endpoint %v", got)
	}
}

func TestHealth_PoisonPromptsEjectNobody(t *testing.T) {
	f := newFleet(t, "round_robin", 3)
	for i := range 15 {
		r := &balancer.Request{Prompt: prompt(uint64(i), 1, 0, 3)}
		for range 2 {
			l := f.try(t, r)
			f.later(5 * time.Millisecond)
			l.End(ended(balancer.ServerError), f.now)
		}
	}
	for i, s := range f.Status(f.now) {
		if s.State != balancer.Serving || s.Failing > 0.01 {
			t.Errorf("endpoint %d is %v with %.2f failures", i, s.State, s.Failing)
		}
	}
}

// TestHealth_PoisonForgivenAfterwards: the first tries of many poison prompts fail before any second try does.
func TestHealth_PoisonForgivenAfterwards(t *testing.T) {
	f := newFleet(t, "random", 3)
	var poison []*balancer.Request
	for range 3 {
		l, r := f.sendTo(t, 0, anyRequest)
		l.End(ended(balancer.ServerError), f.now)
		poison = append(poison, r)
	}
	if f.state(0) != balancer.Ejected {
		t.Fatal("three failures did not eject")
	}
	for _, r := range poison {
		f.try(t, r).End(ended(balancer.ServerError), f.now)
	}
	for i := range 3 {
		if got := f.state(i); got != balancer.Serving {
			t.Errorf("endpoint %d is %v after all failures turned out to be the requests' own", i, got)
		}
	}
}

func TestHealth_NeverMoreThanHalfIsLeftOut(t *testing.T) {
	f := newFleet(t, "random", 4)
	for e := range 3 {
		f.fail(t, e, 3, balancer.ServerError)
	}
	seen := map[int]bool{}
	for range 200 {
		l := f.send(t, nil)
		seen[l.Endpoint().Index()] = true
		l.End(ended(balancer.Cancelled), f.now)
	}
	if len(seen) != 4 {
		t.Errorf("with three of four ejected for errors %d endpoints are tried, want all", len(seen))
	}
	single := newFleet(t, "random", 1)
	single.fail(t, 0, 10, balancer.ServerError)
	single.send(t, nil)
}

func TestHealth_EjectionDoublesAndNeedsAProbe(t *testing.T) {
	f := newFleet(t, "random", 3)
	want := 2 * time.Second
	f.fail(t, 1, 3, balancer.ServerError)
	for range 3 {
		if until := f.Status(f.now)[1].Until; until.Sub(f.now) != want {
			t.Fatalf("out for %v, want %v", until.Sub(f.now), want)
		}
		f.later(want - time.Millisecond)
		if kinds, _ := f.probe(1, nil); len(kinds) != 0 {
			t.Fatalf("probed before its time: %v", kinds)
		}
		f.later(time.Millisecond)
		if kinds, _ := f.probe(1, errProbe); len(kinds) != 1 || kinds[0] != balancer.ProbeHealth {
			t.Fatalf("probes at its time: %v, want one of health", kinds)
		}
		if f.state(1) != balancer.Ejected {
			t.Fatal("back after a failed probe")
		}
		f.later(time.Second)
		f.probe(1, nil)
		if f.state(1) != balancer.Warming {
			t.Fatalf("%v after a good probe, want warming", f.state(1))
		}
		f.fail(t, 1, 1, balancer.ServerError) // on trial one failure is enough
		want *= 2
	}
}

func TestHealth_AnswersOutrankProbes(t *testing.T) {
	f := newFleet(t, "random", 2, func(c *balancer.PoolConfig) { c.ProbeHealthEvery = time.Second })
	l, _ := f.sendTo(t, 0, anyRequest)
	l.FirstToken(f.now)
	for range 20 {
		f.later(500 * time.Millisecond)
		l.Token(f.now, 1)
		f.probe(0, errProbe)
		if got := f.state(0); got != balancer.Serving {
			t.Fatalf("an endpoint that streams is %v for a failing probe", got)
		}
	}
	l.End(done(20), f.now)
	for range 5 {
		f.later(time.Second)
		f.probe(0, errProbe)
	}
	if got := f.state(0); got != balancer.Ejected {
		t.Errorf("a silent endpoint whose probes fail is %v, want ejected", got)
	}
}

func TestHealth_RefusingPort(t *testing.T) {
	f := newFleet(t, "random", 3)
	refusedAt := f.now
	f.fail(t, 1, 1, balancer.Refused)
	for range 50 { // out at once, as long as another accepts
		if l := f.send(t, nil); l.Endpoint().Index() == 1 {
			t.Fatal("sent to a port that has just refused")
		}
	}
	deadAt, dials := time.Time{}, 0
	for f.now.Sub(refusedAt) < 6*time.Second {
		f.later(f.Wake(f.now).Sub(f.now))
		kinds, dead := f.probe(1, errProbe)
		dials += len(kinds)
		if dead {
			if !deadAt.IsZero() {
				t.Error("the streams were ended twice")
			}
			deadAt = f.now
		}
		if len(kinds) == 0 {
			f.later(10 * time.Millisecond)
		}
	}
	if d := deadAt.Sub(refusedAt); d < 3*time.Second || d > 3700*time.Millisecond {
		t.Errorf("streams ended %v after the first refusal, want 3 s and at most one dial", d)
	}
	if dials < 7 || dials > 12 {
		t.Errorf("%d dials in 6 s, want two a second for 3 s, then one", dials)
	}
	f.later(time.Second)
	f.probe(1, nil) // the port is back
	if got := f.state(1); got != balancer.Ejected {
		t.Errorf("an open port makes it %v, want ejected until a health probe", got)
	}
	if kinds, _ := f.probe(1, nil); len(kinds) != 1 || kinds[0] != balancer.ProbeHealth {
		t.Errorf("probes after the port opened: %v, want one of health", kinds)
	}
	if got := f.state(1); got != balancer.Warming {
		t.Errorf("after a good probe it is %v, want warming", got)
	}
}

func TestHealth_OneRefusedDialIsForgivenByTheNext(t *testing.T) {
	f := newFleet(t, "random", 2)
	f.fail(t, 1, 1, balancer.Refused)
	f.later(500 * time.Millisecond)
	if kinds, _ := f.probe(1, nil); len(kinds) != 1 || kinds[0] != balancer.ProbeDial {
		t.Fatalf("probes half a second after a refusal: %v, want one dial", kinds)
	}
	if got := f.state(1); got != balancer.Serving {
		t.Errorf("it is %v, want serving", got)
	}
}

func TestHealth_AllRefusing(t *testing.T) {
	f := newFleet(t, "random", 3)
	for e := range 3 {
		l, _ := f.sendTo(t, e, anyRequest)
		l.End(ended(balancer.Refused), f.now)
	}
	r := &balancer.Request{}
	for range 3 { // each is dialled once
		f.try(t, r).End(ended(balancer.Refused), f.now)
	}
	var none *balancer.Unavailable
	if _, err := f.Choose(r, f.now); !errors.As(err, &none) || none.RetryAfter <= 0 {
		t.Errorf("error when all refuse is %v, want Unavailable with a time", err)
	}
}

func TestHealth_FailedScrapeLeadsToADial(t *testing.T) {
	f := newFleet(t, "random", 2)
	f.Unobserved(f.Endpoints()[1], f.now)
	if kinds, _ := f.probe(1, errProbe); len(kinds) != 1 || kinds[0] != balancer.ProbeDial {
		t.Fatalf("probes after a failed scrape: %v, want one dial", kinds)
	}
	if got := f.state(1); got != balancer.Down {
		t.Errorf("it is %v, want down", got)
	}
}

func TestHealth_CapacityRefusalPauses(t *testing.T) {
	f := newFleet(t, "random", 2)
	want := 500 * time.Millisecond
	for range 7 {
		l, _ := f.sendTo(t, 1, anyRequest)
		for range 10 { // a burst is one refusal
			if other := f.send(t, nil); other.Endpoint().Index() == 1 {
				defer other.End(ended(balancer.Capacity), f.now)
			} else {
				other.End(ended(balancer.Cancelled), f.now)
			}
		}
		f.later(time.Millisecond)
		l.End(ended(balancer.Capacity), f.now)
		pause := f.Status(f.now)[1].Until.Sub(f.now)
		if pause < want*8/10 || pause > want*12/10 {
			t.Errorf("paused for %v, want %v jittered", pause, want)
		}
		if got := f.state(1); got != balancer.Paused {
			t.Fatalf("it is %v, want paused", got)
		}
		f.later(pause)
		want = min(2*want, 10*time.Second)
	}
	if s := f.Status(f.now)[1]; s.Failing > 0 || s.Ejections > 0 {
		t.Errorf("capacity refusals counted as %.1f failures, %d ejections", s.Failing, s.Ejections)
	}
}

func TestHealth_FirstTokenEndsAPause(t *testing.T) {
	f := newFleet(t, "random", 2)
	running, _ := f.sendTo(t, 1, anyRequest)
	refused, _ := f.sendTo(t, 1, anyRequest)
	o := ended(balancer.Capacity)
	o.RetryAfter = 30 * time.Second
	refused.End(o, f.now)
	f.later(20 * time.Second)
	if got := f.state(1); got != balancer.Paused {
		t.Errorf("20 s into a pause of 30 s it is %v", got)
	}
	running.FirstToken(f.now)
	if got := f.state(1); got != balancer.Serving {
		t.Errorf("after a first token it is %v, want serving", got)
	}
}

func TestHealth_AllPausedTellsWhen(t *testing.T) {
	f := newFleet(t, "random", 2)
	for e := range 2 {
		l, _ := f.sendTo(t, e, anyRequest)
		o := ended(balancer.Capacity)
		o.RetryAfter = time.Duration(5*(e+1)) * time.Second
		l.End(o, f.now)
	}
	var none *balancer.Unavailable
	_, err := f.Choose(&balancer.Request{}, f.now)
	if !errors.As(err, &none) || !none.Paused || none.RetryAfter < 4*time.Second || none.RetryAfter > 6*time.Second {
		t.Errorf("error when all are paused is %#v, want Unavailable after about 5 s", err)
	}
}

func TestHealth_ShuttingDownWaitsForAGeneration(t *testing.T) {
	f := newFleet(t, "random", 2)
	f.fail(t, 1, 1, balancer.Gone)
	kinds := map[balancer.ProbeKind]int{}
	for range 22 {
		f.later(500 * time.Millisecond)
		got, _ := f.probe(1, nil)
		for _, k := range got {
			kinds[k]++
		}
		if f.state(1) == balancer.Warming {
			break
		}
	}
	if kinds[balancer.ProbeHealth] > 0 || kinds[balancer.ProbeGenerate] != 1 || kinds[balancer.ProbeDial] < 10 {
		t.Errorf("probes of an engine that said it is going: %v, want dials, then one generation", kinds)
	}
	if got := f.state(1); got != balancer.Warming {
		t.Errorf("it is %v after a generation, want warming", got)
	}
}

// TestHealth_ErrorRateEjects: an endpoint that answers now and then never fails three times in a row without an answer between.
func TestHealth_ErrorRateEjects(t *testing.T) {
	for _, row := range []struct {
		failures, answers int // in turn
		want              balancer.State
	}{
		{2, 1, balancer.Ejected},
		{1, 1, balancer.Serving},
		{2, 4, balancer.Serving},
	} {
		f := newFleet(t, "random", 3)
		ejected := false
		for range 10 {
			for i := range row.failures + row.answers {
				f.later(10 * time.Millisecond)
				l, _ := f.sendTo(t, 1, anyRequest)
				f.later(10 * time.Millisecond)
				if i < row.failures {
					l.End(ended(balancer.ServerError), f.now)
				} else {
					l.End(done(1), f.now)
				}
				if s := f.Status(f.now)[1]; s.State == balancer.Ejected && !ejected {
					ejected = true
					if s.Reason != "error rate" {
						t.Errorf("%d of %d fail: ejected for %q", row.failures, row.failures+row.answers, s.Reason)
					}
				}
				if ejected {
					break
				}
			}
			if ejected {
				break
			}
		}
		if ejected != (row.want == balancer.Ejected) {
			t.Errorf("%d of %d requests fail: ejected %v", row.failures, row.failures+row.answers, ejected)
		}
	}
}

func TestHealth_FastFailingNeverLooksIdle(t *testing.T) {
	for _, policy := range []string{"least_request", "warm", "power_of_two", "prefix", "least_tokens", "lmetric"} {
		f := newFleet(t, policy, 4, func(c *balancer.PoolConfig) { c.EjectAfter = 1000 })
		var running []*balancer.Lease
		toBad := 0
		for range 200 {
			f.later(50 * time.Millisecond)
			l := f.send(t, prompt(uint64(len(running)), 1, 0, 2))
			if l.Endpoint().Index() == 2 {
				toBad++
				l.End(ended(balancer.ServerError), f.now)
				continue
			}
			running = append(running, l)
			if len(running) > 24 {
				running[0].FirstToken(f.now)
				running[0].End(done(30), f.now)
				running = running[1:]
			}
		}
		if toBad > 50 {
			t.Errorf("%s: an endpoint that fails at once got %d of 200 requests, more than its quarter", policy, toBad)
		}
	}
}
