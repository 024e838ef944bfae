package provider

import (
	"testing"
	"time"
)

var start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestRing_SharesFollowWeights(t *testing.T) {
	r := NewRing([]Key{{"a", 5}, {"b", 1}, {"c", 1}})
	text := ""
	for range 14 {
		text += r.Take(start, nil).Secret()
	}
	if text != "aabacaaaabacaa" {
		t.Errorf("order %s: shares of 5, 1 and 1 are not spread evenly", text)
	}
}

func TestRing_RefusedKeyRestsAloneAndReturns(t *testing.T) {
	r := NewRing([]Key{{"a", 1}, {"b", 1}})
	now := start
	a := r.Take(now, nil)
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		r.Settle(a, KeyLimited, now, now, 0)
		for range 4 {
			if k := r.Take(now, nil); k.Secret() != "b" {
				t.Fatalf("key %s is given out while it rests", k.Secret())
			}
		}
		if got := r.States(now)[0].Rests; got != want {
			t.Errorf("rests %v, want %v", got, want)
		}
		if rest, _ := r.Back(now); rest != 0 {
			t.Errorf("b is in use, but the ring is back after %v", rest)
		}
		now = now.Add(want)
		if k := r.Take(now, []*Held{r.keys[1]}); k != a {
			t.Fatal("the key does not return after its rest")
		}
	}
	r.Settle(a, KeyFine, now, now, 0)
	r.Settle(a, KeyLimited, now.Add(time.Second), now.Add(time.Second), 0)
	if got := r.States(now.Add(time.Second))[0].Rests; got != time.Second {
		t.Errorf("an answer in between did not end the doubling: rests %v", got)
	}
}

func TestRing_RestsAreBounded(t *testing.T) {
	for _, c := range []struct {
		fate        KeyFate
		told        time.Duration
		first, last time.Duration
	}{
		{KeyLimited, 0, time.Second, time.Minute},
		{KeyRefused, 0, 30 * time.Second, 30 * time.Minute},
		{KeyLimited, 7 * time.Second, 7 * time.Second, 7 * time.Second},
		{KeyRefused, 1000 * time.Hour, time.Hour, time.Hour},
	} {
		r := NewRing([]Key{{"a", 1}})
		now := start
		k := r.Take(now, nil)
		for i := range 20 {
			r.Settle(k, c.fate, now, now, c.told)
			got, _ := r.Back(now)
			if i == 0 && got != c.first || i == 19 && got != c.last {
				t.Errorf("%v, told %v: rest %d is %v", c.fate, c.told, i, got)
			}
			now = now.Add(got)
		}
	}
}

// A burst that is refused as a whole is one refusal.
func TestRing_RefusalsOfOneBurstCountOnce(t *testing.T) {
	r := NewRing([]Key{{"a", 1}})
	k := r.Take(start, nil)
	for i := range 50 {
		r.Settle(k, KeyLimited, start, start.Add(time.Duration(i+1)*time.Millisecond), 0)
	}
	if s := r.States(start.Add(time.Millisecond))[0]; s.Rests != time.Second || s.Limited != 50 {
		t.Errorf("rests %v after %d refusals, want 1s after 50", s.Rests, s.Limited)
	}
	// An answer to a request from before the rest does not end it.
	r.Settle(k, KeyFine, start, start.Add(100*time.Millisecond), 0)
	if got := r.Take(start.Add(100*time.Millisecond), nil); got != nil {
		t.Error("a late answer ended the rest")
	}
}

func TestRing_AllResting(t *testing.T) {
	r := NewRing([]Key{{"a", 1}, {"b", 1}})
	a, b := r.Take(start, nil), r.Take(start, nil)
	r.Settle(a, KeyLimited, start, start, 9*time.Second)
	r.Settle(b, KeyLimited, start, start, 4*time.Second)
	if r.Take(start, nil) != nil {
		t.Error("a resting key is given out")
	}
	if rest, limited := r.Back(start); rest != 4*time.Second || !limited {
		t.Errorf("back after %v (limited %v), want 4s for a limit", rest, limited)
	}
	r.Settle(b, KeyRefused, start, start, 0)
	if rest, limited := r.Back(start); rest != 9*time.Second || limited {
		t.Errorf("back after %v (limited %v), want 9s, not for a limit alone", rest, limited)
	}
}

func TestRing_ReloadKeepsRests(t *testing.T) {
	old := NewRing([]Key{{"a", 1}, {"b", 1}})
	old.Settle(old.Take(start, nil), KeyRefused, start, start, 0)
	r := NewRing([]Key{{"c", 1}, {"a", 3}})
	r.Inherit(old)
	s := r.States(start)
	if s[0].Rests != 0 || s[1].Rests != 30*time.Second || s[1].Number != 2 {
		t.Errorf("states %+v", s)
	}
}
