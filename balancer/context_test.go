package balancer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/tokenize"
)

// A request that is too long for some endpoints goes to those with a longer context; one too long for all goes where the longest is, and
// hears of it from the engine.
func TestChoose_RespectsContexts(t *testing.T) {
	p := newFleet(t, "round_robin", 3)
	for i, most := range []int{8000, 32000, 32000} {
		p.Observe(p.Endpoints()[i], balancer.Load{MaxModelLen: most}, p.now)
	}
	if got := p.LongestContext(); got != 32000 {
		t.Errorf("longest context %d, want 32000", got)
	}
	short := 0
	for _, f := range []struct{ prompt, answer int }{{7000, 500}, {7000, 2000}, {40000, 0}} {
		for range 6 {
			prompt := tokenize.Prompt{Tokens: f.prompt}
			l, err := p.Choose(&balancer.Request{Prompt: &prompt, MaxTokens: f.answer}, p.now)
			if err != nil {
				t.Fatal(err)
			}
			if l.Endpoint().Index() == 0 {
				short++
				if f.prompt+f.answer > 8000 {
					t.Errorf("%d + %d tokens went to a context of 8000", f.prompt, f.answer)
				}
			}
			l.End(balancer.Outcome{Cause: balancer.OK}, p.now)
		}
	}
	if short == 0 {
		t.Error("nothing went to the short context: nothing is shown")
	}
	p.Observe(p.Endpoints()[1], balancer.Load{}, p.now)
	if got := p.LongestContext(); got != 0 {
		t.Errorf("longest context %d though one is not known, want 0", got)
	}
}

// Who has somewhere else to go does not wait for endpoints that have refused; who has not waits.
func TestEnter_ElsewhereDoesNotWaitForRefusals(t *testing.T) {
	p := queued(t, 2, 0, balancer.QueueConfig{Max: 10})
	now := p.now
	for range 2 {
		l, ticket, err := p.Enter(&balancer.Request{}, now)
		if err != nil || ticket != nil {
			t.Fatal(ticket, err)
		}
		l.End(balancer.Outcome{Cause: balancer.Capacity}, now)
	}
	var out *balancer.Unavailable
	if _, ticket, err := p.Enter(&balancer.Request{Elsewhere: true}, now); ticket != nil || !errors.As(err, &out) || !out.Paused {
		t.Errorf("with an elsewhere: ticket %v, %v, want a paused pool at once", ticket, err)
	}
	_, waits, err := p.Enter(&balancer.Request{}, now)
	if waits == nil {
		t.Fatalf("without an elsewhere: %v, want a ticket", err)
	}
	if _, ticket, err := p.Enter(&balancer.Request{Elsewhere: true}, now); ticket != nil || !errors.As(err, &out) {
		t.Errorf("behind one that waits: ticket %v, %v", ticket, err)
	}
	// The pauses are over: one request at each endpoint tries whether there is room, the others go elsewhere.
	now = now.Add(2 * time.Second)
	p.Due(now)
	<-waits.Done()
	tried := 0
	for range 4 {
		l, ticket, err := p.Enter(&balancer.Request{Elsewhere: true}, now)
		switch {
		case l != nil:
			tried++
		case ticket != nil || !errors.As(err, &out):
			t.Errorf("in doubt: ticket %v, %v", ticket, err)
		}
	}
	if tried != 1 {
		t.Errorf("%d requests try the second endpoint, want 1", tried)
	}
}
