package promises_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// held says whether the promised figures themselves are asserted (`make promises`), with full counts and without the race detector.
func held() bool { return os.Getenv("WARMLANE_PROMISES") != "" }

// count is how often something is tried: seldom in a normal run, in full where figures are held.
func count(normal, full int) int {
	if held() {
		return full
	}
	return normal
}

// ceiling is what a time must stay under: the promise where figures are held, ten times as much in a normal run.
func ceiling(promised time.Duration) time.Duration {
	if held() {
		return promised
	}
	return 10 * promised
}

// times is a sample of durations.
type times []time.Duration

// at returns the quantile q, 0 to 1, by nearest rank; 0 of an empty sample.
func (d times) at(q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

// String tells the sample in short.
func (d times) String() string {
	us := time.Microsecond
	return fmt.Sprintf("p50 %v, p99 %v, p99.9 %v, longest %v", d.at(0.5).Round(us), d.at(0.99).Round(us), d.at(0.999).Round(us), d.at(1).Round(us))
}

// hold prints a measured time beside its promise and fails the test beyond the ceiling.
func hold(t *testing.T, what string, measured, promised time.Duration) {
	t.Helper()
	limit := ceiling(promised)
	t.Logf("FIGURE %s: %v (promised %v, held to %v here)", what, measured.Round(time.Microsecond), promised, limit)
	if measured > limit {
		t.Errorf("%s is %v, more than %v", what, measured, limit)
	}
}

// quiet measures up to three times and stops at the first time that ok accepts: what shares the machine with the tests can slow down
// one measurement, and a slow gateway is slow in all.
func quiet(measure func(), ok func() bool) {
	for range 3 {
		if measure(); ok() {
			return
		}
	}
}

// none prints a count that must be zero and fails the test if it is not.
func none(t *testing.T, what string, n, of int) {
	t.Helper()
	t.Logf("FIGURE %s: %d of %d (promised 0)", what, n, of)
	if n != 0 {
		t.Errorf("%s: %d of %d, want 0", what, n, of)
	}
	if of == 0 {
		t.Errorf("%s: nothing was tried", what)
	}
}

// await polls until ok, or fails the test when the time is over.
func await(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting: %s", what)
		}
		<-tick.C
	}
}
