package policies_test

import "testing"

func TestSession_SticksUntilSaturated(t *testing.T) {
	p, v := must(t, "session", nil), view(3)
	for i := range v.Candidates {
		occupy(&v.Candidates[i], 4)
	}
	if best, _ := p.Pick(v); best < 0 {
		t.Fatal("no choice without a conversation")
	}
	v.Session, v.Candidates[1].Session = "a", true
	f := func(load float64, stays bool, why string) {
		t.Helper()
		occupy(&v.Candidates[1], load)
		best, second := p.Pick(v)
		if (best == 1) != stays || second == best {
			t.Errorf("with %v in flight against 4: chose %d; %s", load, best, why)
		}
	}
	f(10, true, "1.5 times the others and 4 are allowed")
	f(11, false, "it is above the bound")
	v.Candidates[1].KVUse, v.Candidates[1].Waiting = 1, 2
	f(5, false, "its memory is full and requests wait")
	v.Candidates = v.Candidates[1:2]
	if best, _ := p.Pick(v); best != 0 {
		t.Errorf("chose %d of one", best)
	}
}

func TestSession_OthersGoWhereLeastIs(t *testing.T) {
	p, v := must(t, "session", nil), view(3)
	occupy(&v.Candidates[0], 2)
	occupy(&v.Candidates[2], 1)
	v.Session = "new"
	if best, second := p.Pick(v); best != 1 || second != 2 {
		t.Errorf("a new conversation: chose %d before %d, want 1 before 2", best, second)
	}
}
