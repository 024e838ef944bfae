package gateway

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

// The threshold is where a sorted list of the same ratios has it, within a band.
func TestLateness_LikeASortedList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{100, 400, latenessMemory - 1} {
		var l lateness
		var all []float64
		for range n {
			ratio := rnd.ExpFloat64() + 0.01
			l.add(ratio)
			all = append(all, ratio)
		}
		slices.Sort(all)
		for _, share := range []float64{0.01, 0.02, 0.05} {
			want := all[n-1-int(share*float64(n))]
			if got := l.above(share); got < want || got > 1.1*want {
				t.Errorf("of %d, the threshold for %v is %v, the list has %v", n, share, got, want)
			}
		}
	}
}

// It follows when first events become slower or faster for good, and stays in bounds whatever comes.
func TestLateness_Follows(t *testing.T) {
	var l lateness
	for _, ratio := range []float64{1, 8, 0.1, 1e9, 1e-9} {
		for range 3 * latenessMemory {
			l.add(ratio)
		}
		want := min(max(ratio, 1.0/(1<<latenessMost)), 1<<latenessMost)
		if got := l.above(0.05); got < want/1.1 || got > 1.1*want {
			t.Errorf("the threshold is %v after ratios of %v", got, ratio)
		}
	}
	l.add(0)
	if l.sum > latenessMemory {
		t.Errorf("it remembers %v", l.sum)
	}
}

// Second attempts are at most the configured share of the requests at every moment, and few at once after a quiet time.
func TestHedging_StaysWithinItsShare(t *testing.T) {
	for _, share := range []float64{0.01, 0.05} {
		h := newHedging(share)
		taken := 0
		for i := range 100_000 {
			h.request(time.Second)
			h.took(time.Second, time.Second)
			if i%3 == 0 && h.take() {
				taken++
			}
			if float64(taken) > share*float64(i+1) {
				t.Fatalf("%d of %d requests were sent twice", taken, i+1)
			}
		}
		if float64(taken) < 0.99*share*100_000 {
			t.Errorf("only %d of 100000 requests were sent twice, %v are allowed", taken, share)
		}
		for range 10_000 {
			h.request(time.Second)
		}
		saved := 0
		for h.take() {
			saved++
		}
		if saved > mostAtOnce {
			t.Errorf("%d second attempts at once", saved)
		}
	}
}

// Nothing is late before enough has been seen; then a long prompt is late later than a short one; and what was seen outlives a reload.
func TestHedging_WhatIsLate(t *testing.T) {
	h := newHedging(0.05)
	for i := range leastSeen {
		if late := h.request(100 * time.Millisecond); late != 0 {
			t.Fatalf("late after %v, when %d first events have been seen", late, i)
		}
		h.took(time.Duration(90+i%10)*time.Millisecond, 100*time.Millisecond)
	}
	for usual, most := range map[time.Duration]time.Duration{time.Millisecond: leastPatience, 100 * time.Millisecond: 110 * time.Millisecond, 10 * time.Second: 11 * time.Second} {
		if late := h.request(usual); late < usual*9/10 || late < leastPatience || late > most {
			t.Errorf("usual after %v, late after %v", usual, late)
		}
	}
	next := newHedging(0.02)
	next.adopt(h)
	if next.request(time.Second) == 0 {
		t.Error("a reload has forgotten what is late")
	}
	newHedging(0).adopt(h)
	next.adopt(nil)
}

// What an answer says while it is not known whether it is the one that is sent, is told once it is.
func TestDraft_Replays(t *testing.T) {
	var d draft
	var _ api.Sink = &d
	buf := []byte("hi")
	d.Text(buf)
	copy(buf, "no")
	d.Tool([]byte("f"), []byte("{"))
	d.Tool(nil, []byte("}"))
	var again draft
	d.replay(&again)
	if w := again.words; len(w) != 3 || string(w[0].text) != "hi" || string(w[1].name) != "f" || string(w[2].args) != "}" || !w[2].tool || w[0].tool {
		t.Errorf("replayed %+v", w)
	}
}

// A second attempt that panics has failed; the process and the first attempt go on.
func TestHedge_PanicIsAFailure(t *testing.T) {
	h := &hedge{x: &exchange{g: &Gateway{log: slog.New(slog.DiscardHandler)}}, ended: make(chan struct{})}
	go h.run() // without a pool to go to
	<-h.ended
	if h.fail == nil || h.fail.Kind != failure.Internal {
		t.Errorf("it ended with %v", h.fail)
	}
}
