package policies_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/warmlane/warmlane/balancer"
)

func TestConsistentHash_KeepsConversationsTogether(t *testing.T) {
	p, v := must(t, "consistent_hash", nil), view(8)
	homes := map[string]int{}
	used := map[int]bool{}
	for i := range 200 {
		v.Session = fmt.Sprint("session-", i)
		best, second := p.Pick(v)
		homes[v.Session] = v.Candidates[best].Index
		used[best] = true
		if again, next := p.Pick(v); again != best || next != second {
			t.Fatalf("%s went to %d then %d", v.Session, best, again)
		}
	}
	if len(used) != 8 {
		t.Errorf("200 conversations use %d of 8 endpoints", len(used))
	}
	gone := 3
	v.Candidates = append(v.Candidates[:gone:gone], v.Candidates[gone+1:]...)
	for session, home := range homes {
		v.Session = session
		best, _ := p.Pick(v)
		if now := v.Candidates[best].Index; home != gone && now != home {
			t.Errorf("%s moved from %d to %d when %d left", session, home, now, gone)
		}
	}
}

func TestConsistentHash_SessionBeforeBeginningOfThePrompt(t *testing.T) {
	p, v := must(t, "consistent_hash", nil), view(8)
	first, _ := p.Pick(v)
	for i := 4; i < len(v.Blocks); i++ {
		v.Blocks[i]++ // another continuation of the same four blocks
	}
	if best, _ := p.Pick(v); best != first {
		t.Error("a prompt with the same beginning went elsewhere")
	}
	moved := false
	for i := range 20 {
		v.Session = fmt.Sprint(i)
		best, _ := p.Pick(v)
		moved = moved || best != first
	}
	if !moved {
		t.Error("conversations of one beginning all went to its endpoint")
	}
}

func TestConsistentHash_LoadIsBounded(t *testing.T) {
	p, v := must(t, "consistent_hash", nil), view(4)
	v.Session = "hot"
	home, next := p.Pick(v)
	for i := range v.Candidates {
		occupy(&v.Candidates[i], 20)
	}
	occupy(&v.Candidates[home], 25) // mean with this one 21.5, bound 26.9
	if best, _ := p.Pick(v); best != home {
		t.Error("left an endpoint within 1.25 times the mean")
	}
	occupy(&v.Candidates[home], 29) // bound 28.1
	if best, _ := p.Pick(v); best != next {
		t.Error("not on the next endpoint of the hash when the first is above 1.25 times the mean")
	}
}

// TestConsistentHash_ManyEndpoints is a hot prompt in a large, mostly idle pool, where 1.25 times the mean is below one
// request: it must neither stick to one endpoint nor leave it for a single request in flight.
func TestConsistentHash_ManyEndpoints(t *testing.T) {
	p, v := must(t, "consistent_hash", nil), view(300)
	v.Session = "hot"
	by := map[int]int{}
	for range 30 {
		best, _ := p.Pick(v)
		by[best]++
		occupy(&v.Candidates[best], float64(by[best]))
	}
	if len(by) != 10 {
		t.Errorf("30 requests of one conversation at once are on %d of 300 endpoints, want three each: %v", len(by), by)
	}
}

func TestConsistentHash_LeavesThrashingEngine(t *testing.T) {
	p, v := must(t, "consistent_hash", nil), view(4)
	v.Session = "a"
	home, next := p.Pick(v)
	v.Candidates[home].KVUse, v.Candidates[home].Waiting = 0.99, 3
	if best, _ := p.Pick(v); best != next {
		t.Error("stayed on an engine whose memory is full and whose queue grows")
	}
	v.Candidates[home].Waiting = math.NaN()
	if best, _ := p.Pick(v); best != home {
		t.Error("left an engine that is full of cached blocks but has no queue")
	}
}

func TestConsistentHash_FollowsWeights(t *testing.T) {
	p, v := must(t, "consistent_hash", nil), view(2)
	v.Candidates[1].Weight = 3
	heavy := 0
	for i := range 4000 {
		v.Session = fmt.Sprint(i)
		if best, _ := p.Pick(v); best == 1 {
			heavy++
		}
	}
	if heavy < 2850 || heavy > 3150 {
		t.Errorf("a weight of 3 to 1 got %d of 4000 conversations, want about 3000", heavy)
	}
}

// TestConsistentHash_KeyIsTheEndpointsOwn: two gateways that list the same endpoints in another order agree.
func TestConsistentHash_KeyIsTheEndpointsOwn(t *testing.T) {
	urls := []string{"http://a:8000", "http://b:8000", "http://c:8000", "http://d:8000"}
	pool := func(urls ...string) *balancer.Pool {
		cfg := balancer.PoolConfig{Name: "test", Policy: must(t, "consistent_hash", nil)}
		for _, u := range urls {
			cfg.Endpoints = append(cfg.Endpoints, balancer.EndpointConfig{URL: u})
		}
		p, err := balancer.NewPool(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	one, other := pool(urls...), pool(urls[2], urls[3], urls[1], urls[0])
	seen := map[string]bool{}
	for i := range 40 {
		var at [2]string
		for k, p := range []*balancer.Pool{one, other} {
			l, err := p.Choose(&balancer.Request{Session: fmt.Sprint(i)}, now)
			if err != nil {
				t.Fatal(err)
			}
			at[k] = l.Endpoint().URL()
			l.End(balancer.Outcome{Cause: balancer.ClientGone, PromptTokens: -1, CachedTokens: -1, OutputTokens: -1}, now)
		}
		if at[0] != at[1] {
			t.Errorf("conversation %d is on %s and on %s", i, at[0], at[1])
		}
		seen[at[0]] = true
	}
	if len(seen) < 4 {
		t.Errorf("40 conversations use only %v", seen)
	}
}
