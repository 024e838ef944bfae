package upstream

import (
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	take := func(b *Budget, at time.Time) (n int) {
		for n < 10_000 && b.Retry(at) {
			n++
		}
		return n
	}
	b := new(Budget)
	if n := take(b, start); n != 20 {
		t.Errorf("without requests %d retries, want 20", n)
	}
	for i := range 1000 {
		b.Request(start.Add(time.Duration(i) * time.Millisecond))
	}
	if n := take(b, start.Add(time.Second)); n != 200-20 {
		t.Errorf("after 1000 requests %d more, want 180", n)
	}
	if n := take(b, start.Add(9*time.Second)); n != 0 {
		t.Errorf("%d more within the window, want 0", n)
	}
	if n := take(b, start.Add(20*time.Second)); n != 20 {
		t.Errorf("%d after the window has passed, want 20", n)
	}
	if n := take(b, start.Add(25*time.Second)); n != 0 {
		t.Errorf("%d more 5 s later, want 0", n)
	}
	if n := take(b, start.Add(31*time.Second)); n != 20 {
		t.Errorf("%d more 11 s later, want 20", n)
	}
	// A clock that is set back must not lock retries out.
	if n := take(b, start.Add(-time.Hour)); n != 20 {
		t.Errorf("%d after the clock went back, want 20", n)
	}
}
