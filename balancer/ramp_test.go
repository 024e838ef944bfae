package balancer_test

import (
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// newcomer is a fleet of three whose second endpoint has just come back.
func newcomer(t *testing.T) *fleet {
	t.Helper()
	f := newFleet(t, "random", 3)
	f.fail(t, 1, 3, balancer.ServerError)
	f.later(2 * time.Second)
	f.probe(1, nil)
	if got := f.state(1); got != balancer.Warming {
		t.Fatalf("it is %v after a good probe, want warming", got)
	}
	return f
}

// share sends some requests a second for a while and returns which part of them went to endpoint 1.
func (f *fleet) share(t *testing.T, each, during time.Duration) float64 {
	t.Helper()
	all, mine := 0, 0
	for end := f.now.Add(during); f.now.Before(end); f.later(each) {
		l := f.send(t, nil)
		l.FirstToken(f.now)
		l.End(done(1), f.now)
		all++
		if l.Endpoint().Index() == 1 {
			mine++
		}
	}
	return float64(mine) / float64(all)
}

func TestRamp_ShareGrowsFromATenth(t *testing.T) {
	f := newcomer(t)
	const each = 2 * time.Millisecond
	for _, row := range []struct{ after, fair float64 }{{0, 0.13}, {5, 0.28}, {10, 0.43}, {20, 0.73}, {28, 0.97}} {
		f.later(start.Add(2*time.Second + 30*time.Millisecond + time.Duration(row.after*float64(time.Second))).Sub(f.now))
		// A random choice leaves some of its turns unused.
		if got := 3 * f.share(t, each, 2*time.Second); got > row.fair*1.1 || got < row.fair*0.7 {
			t.Errorf("after %v s it gets %.2f of its fair share, want up to %.2f", row.after, got, row.fair)
		}
	}
	f.later(3 * time.Second)
	if got := f.state(1); got != balancer.Serving {
		t.Errorf("after 30 s it is %v, want serving", got)
	}
}

func TestRamp_FewWaitForTheirFirstToken(t *testing.T) {
	f := newcomer(t)
	f.later(25 * time.Second) // a large share, but nothing has been answered yet
	for round, want := range []int{1, 2, 4} {
		var mine []*balancer.Lease
		for range 80 {
			if l := f.send(t, nil); l.Endpoint().Index() == 1 {
				mine = append(mine, l)
			} else {
				l.End(ended(balancer.Cancelled), f.now)
			}
		}
		if len(mine) != want {
			t.Errorf("round %d: %d requests wait for their first token there, want %d", round, len(mine), want)
		}
		mine[0].FirstToken(f.now) // one more first token doubles the room
		for _, l := range mine {
			l.End(ended(balancer.Cancelled), f.now)
		}
	}
}

// TestRamp_TakesAllWhereNothingElseIs: a slow start never refuses anybody.
func TestRamp_TakesAllWhereNothingElseIs(t *testing.T) {
	f := newcomer(t)
	for _, e := range []int{0, 2} {
		if err := f.SetAdmin(url(e), balancer.Draining); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		f.send(t, nil)
	}
}
