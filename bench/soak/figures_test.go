package main

import (
	"strings"
	"testing"
	"time"
)

// course is a run of samples whose heap and goroutines are given by their number.
func course(n int, heap func(i int) uint64, goroutines func(i int) int) []sample {
	var all []sample
	for i := range n {
		all = append(all, sample{at: time.Duration(i) * time.Second, heap: heap(i), goroutines: goroutines(i)})
	}
	return all
}

func TestSoak_FlatOrNot(t *testing.T) {
	const mib = 1 << 20
	steady := func(int) uint64 { return 100 * mib }
	few := func(int) int { return 500 }
	f := func(what string, all []sample, want string) {
		t.Helper()
		err := flat(all)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	f("steady", course(60, steady, few), "")
	f("grows until it is warm", course(60, func(i int) uint64 { return uint64(min(i, 14)) * 10 * mib }, few), "")
	f("a peak in the middle", course(60, func(i int) uint64 { return uint64(100+300*(i%60/40%2)*(1-i/45)) * mib }, few), "")
	f("leaks memory", course(60, func(i int) uint64 { return uint64(50+3*i) * mib }, few), "heap")
	f("leaks goroutines", course(60, steady, func(i int) int { return 500 + 20*i }), "goroutines")
	f("too short", course(7, steady, few), "too short")
}

func TestSoak_VerdictNamesWhatFailed(t *testing.T) {
	c := newCrowd("127.0.0.1:1", 1)
	defer c.close()
	if c.verdict() == nil {
		t.Error("a run in which nobody was served is good")
	}
	c.ask(7, false, 0) // nobody listens there
	if err := c.verdict(); err == nil || !strings.Contains(err.Error(), "request 7 failed") {
		t.Errorf("verdict: %v", err)
	}
}
