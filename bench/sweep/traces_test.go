package sweep

import (
	"slices"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/workload"
)

func quoted(at time.Duration, session, input, output int, blocks ...uint64) workload.TraceRequest {
	return workload.TraceRequest{At: at * time.Second, Input: input, Output: output, Blocks: blocks, BlockTokens: 64, Session: session}
}

func TestContinued_FindsTheNextPromptThatQuotes(t *testing.T) {
	for name, c := range map[string]struct {
		requests []workload.TraceRequest
		want     []int
	}{
		"a conversation": {[]workload.TraceRequest{quoted(0, -1, 128, 40, 1, 2), quoted(5, -1, 256, 9, 1, 2, 3, 4), quoted(9, -1, 330, 9, 1, 2, 3, 4, 5)}, []int{1, 2, 0}},
		"two that part":  {[]workload.TraceRequest{quoted(0, -1, 64, 40, 1), quoted(5, -1, 128, 9, 1, 2), quoted(6, -1, 128, 9, 1, 3)}, []int{1, 0, 0}},
		"two at once":    {[]workload.TraceRequest{quoted(0, -1, 64, 40, 1), quoted(0, -1, 64, 40, 1), quoted(6, -1, 128, 9, 1, 3)}, []int{2, 2, 0}},
		"same prompt":    {[]workload.TraceRequest{quoted(0, -1, 64, 40, 1), quoted(5, -1, 64, 40, 1)}, []int{0, 0}},
		"other sessions": {[]workload.TraceRequest{quoted(0, 1, 64, 40, 1), quoted(5, 2, 128, 9, 1, 2), quoted(6, 1, 128, 9, 1, 3)}, []int{2, 0, 0}},
		"no blocks":      {[]workload.TraceRequest{{Input: 100, Output: 10, Session: -1}, {Input: 200, Output: 10, Session: -1}}, []int{0, 0}},
	} {
		if got := continued(c.requests); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestTrace_AnswersAreFoundAgainThroughTheNextPrompt(t *testing.T) {
	w := Trace("trace", []workload.TraceRequest{
		quoted(0, 7, 128, 40, 1, 2), quoted(1, 8, 500, 0, 9), quoted(20, 7, 256, 20, 1, 2, 3, 4), quoted(40, -1, 256, 20, 1, 2, 3, 5),
	}, 1)
	p := w.write(&w, 1).on(Fleet{{preset: a10}})
	if len(p.sessions) != 3 || p.sessions[0].id != "s7" || p.sessions[2].id != "r3" || w.About != "3 recorded requests" {
		t.Fatalf("%d sessions, %+v: want those that generated", len(p.sessions), p.sessions[0])
	}
	r := playedPlan(t, p, gatewayPolicy(t, "warm"), 1)
	// The second prompt begins with the first one's 128 tokens and 40 of its answer, in 10 full blocks; the third shares 192 tokens.
	for i, want := range []int{0, 160, 192} {
		if q := r.records[i]; q.Cached != want || q.Arrived != p.sessions[i].begin || q.Arrived != []time.Duration{0, 20 * time.Second, 40 * time.Second}[i] {
			t.Errorf("request %d at %v found %d tokens, want %d", i, q.Arrived, q.Cached, want)
		}
	}
}

func TestSubdivide_EqualBeginningsStayEqual(t *testing.T) {
	a, b := []uint64{1, 2, 3}, []uint64{1, 2, 4}
	for _, tokens := range []int{fineTokens, coarseTokens, 100} {
		x, y := subdivide(a, 0, 192, 64, tokens), subdivide(b, 0, 192, 64, tokens)
		if len(x) != 192/tokens || common(x, y) != 128/tokens {
			t.Errorf("blocks of %d: %d, of which %d equal; 128 of 192 tokens are", tokens, len(x), common(x, y))
		}
		if common(x, subdivide(a, 1, 192, 64, tokens)) != 0 {
			t.Error("two windows share blocks")
		}
	}
	if x := subdivide(a, 0, 250, 64, 16); len(x) != 12 {
		t.Errorf("%d blocks: what lies behind the last known one has none", len(x))
	}
}
