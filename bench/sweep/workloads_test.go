package sweep

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// size is what a workload promises at scale 1.
type size struct {
	replicas      int
	presets       []string // in turn
	sessions      int
	rate          float64 // of sessions, a second; 0: a closed loop, or a trace
	atOnce        int
	until         time.Duration
	turns         [2]int
	system        [2]int // tokens before the first user's
	own           [2]int // tokens that each later turn adds to what was said
	first         int    // that the first turn adds, where it differs
	think         float64
	answer        float64 // mean of the gamma; 0: not gamma
	longest       int
	forced        bool
	leave         float64
	replicaBlocks int
}

func sizes() map[string]size {
	chat := size{replicas: 3, presets: []string{a10}, sessions: 60, turns: [2]int{5, 5}, own: [2]int{200, 200}, answer: 300, longest: 800}
	closed := chat
	closed.atOnce = 20
	forced := closed
	forced.forced = true
	chat.think = 5
	tenants := size{
		replicas: 4, presets: []string{a10}, sessions: 220, rate: 2.2, turns: [2]int{1, 3}, system: [2]int{500, 4000}, own: [2]int{30, 200},
		think: 6, answer: 150, longest: 400,
	}
	tight, aborts := tenants, tenants
	tight.replicaBlocks = 760
	aborts.leave = 0.2
	single := size{replicas: 4, presets: []string{a10}, sessions: 400, rate: 5, turns: [2]int{1, 1}, own: [2]int{30, 200}, answer: 150, longest: 400}
	hot, noReuse := single, single
	hot.system, noReuse.system = [2]int{1000, 6000}, [2]int{200, 1400}
	agent := size{
		replicas: 4, presets: []string{h100}, atOnce: 40, until: 75 * time.Second, turns: [2]int{1, 30}, system: [2]int{1500, 1500},
		first: 500, own: [2]int{500, 2500}, think: 2, answer: 120, longest: 500,
	}
	hetero := agent
	hetero.presets = []string{h100, h20}
	at := func(replicas, sessions int, rate float64) size {
		s := chat
		s.replicas, s.sessions, s.rate = replicas, sessions, rate
		return s
	}
	return map[string]size{
		"headline-a": closed, "headline-b": forced,
		"think": at(3, 60, 0.4), "mixed": at(4, 60, 0.5), "churn": at(4, 75, 0.5), "overload": at(3, 170, 1), "drift": at(4, 90, 0.5),
		"tenants": tenants, "tight": tight, "aborts": aborts, "hot": hot, "noreuse": noReuse, "agent": agent, "hetero": hetero,
		"siblings": {
			replicas: 4, presets: []string{a10}, sessions: 440, turns: [2]int{1, 1}, system: [2]int{1000, 1000}, own: [2]int{2000, 2000},
			answer: 150, longest: 400,
		},
		"mooncake": {replicas: 4, presets: []string{l20}, sessions: 700, turns: [2]int{1, 1}},
	}
}

// cappedMean is the mean of min(X, longest) for a gamma distributed X, by summing its density.
func cappedMean(mean float64, longest int) (m, deviation float64) {
	logGamma, _ := math.Lgamma(answerShape)
	scale := mean / answerShape
	total, sum, squares := 0.0, 0.0, 0.0
	const step = 0.05
	for x := step / 2; x < 30*mean; x += step {
		p := step * math.Exp((answerShape-1)*math.Log(x/scale)-x/scale-logGamma) / scale
		y := min(x, float64(longest))
		total, sum, squares = total+p, sum+p*y, squares+p*y*y
	}
	m = sum / total
	return m, math.Sqrt(squares/total - m*m)
}

// tally sums up what is random in a workload.
type tally struct {
	answers, thinks, turns []float64
	lasts                  []float64 // session begins
	left, early            int
}

// near tells whether the mean of independent values is where it should be, within four standard errors.
func near(values []float64, want, deviation float64) bool {
	return math.Abs(mean(values)-want) <= 4*deviation/math.Sqrt(float64(len(values)))+jitter.Seconds()
}

func TestWorkloads_AreWhatTheyPromise(t *testing.T) {
	all, promised := Workloads(), sizes()
	if len(all) != 48 || len(promised) != 16 {
		t.Fatalf("%d workloads, %d of them described", len(all), len(promised))
	}
	for _, w := range all {
		t.Run(w.Name, func(t *testing.T) {
			name, large := strings.CutSuffix(w.Name, w.suffix())
			want, ok := promised[name]
			if !ok || w.About == "" || !large {
				t.Fatalf("not described: %+v", w)
			}
			var sum tally
			for seed := range uint64(max(1, 4-w.scale)) {
				sum.check(t, w.write(&w, seed), want, w.scale)
			}
			if want.answer > 0 && !want.forced {
				if m, deviation := cappedMean(want.answer, want.longest); !near(sum.answers, m, deviation) {
					t.Errorf("answers of %.1f tokens on average, want %.1f", mean(sum.answers), m)
				}
			}
			if want.think > 0 && !near(sum.thinks, want.think, want.think) {
				t.Errorf("users think %.2f s, want %v", mean(sum.thinks), want.think)
			}
			if rate := want.rate * float64(w.scale); want.rate > 0 && !near(sum.lasts, float64(want.sessions)/want.rate, math.Sqrt(float64(want.sessions*w.scale))/rate) {
				t.Errorf("the last sessions begin at %v, want %v a second", sum.lasts, rate)
			}
			if want.turns == [2]int{1, 3} && !near(sum.turns, 1.7, math.Sqrt(0.61)) {
				t.Errorf("%.2f turns a session, want 1.7", mean(sum.turns))
			}
			n := float64(len(sum.answers))
			if share := float64(sum.left) / n; math.Abs(share-want.leave) > 4*math.Sqrt(want.leave/n) {
				t.Errorf("%.3f of the callers leave, want %v", share, want.leave)
			}
			if want.leave > 0 {
				if share := float64(sum.early) / float64(sum.left); math.Abs(share-0.2) > 4*math.Sqrt(0.16/float64(sum.left)) {
					t.Errorf("%.3f of those that leave do before the first token, want 0.2", share)
				}
			}
		})
	}
}

func (sum *tally) check(t *testing.T, p *plan, want size, scale int) {
	t.Helper()
	if len(p.fleet) != want.replicas*scale || p.atOnce != want.atOnce*scale || p.until != want.until {
		t.Errorf("%d replicas, %d at once until %v; want %+v", len(p.fleet), p.atOnce, p.until, want)
	}
	for i, m := range p.fleet {
		if m.preset != want.presets[i%len(want.presets)] || m.blocks != want.replicaBlocks {
			t.Errorf("replica %d is %+v", i, m)
		}
	}
	if n := len(p.sessions); want.sessions > 0 && n != want.sessions*scale {
		t.Errorf("%d sessions, want %d", n, want.sessions*scale)
	}
	for _, s := range p.sessions {
		if n := len(s.turns); n < want.turns[0] || n > want.turns[1] {
			t.Fatalf("session %s has %d turns, want %v", s.id, n, want.turns)
		}
		sum.turns = append(sum.turns, float64(len(s.turns)))
		if want.answer > 0 {
			sum.session(t, s, want)
		}
	}
	if want.rate > 0 {
		sum.lasts = append(sum.lasts, p.lastBegin().Seconds())
	}
}

func (sum *tally) session(t *testing.T, s *session, want size) {
	t.Helper()
	said := 0
	for k := range s.turns {
		turn := &s.turns[k]
		low, high := want.own[0], want.own[1]
		if k == 0 {
			if want.first > 0 {
				low, high = want.first, want.first
			}
			low, high = low+want.system[0], high+want.system[1]
		} else if want.think > 0 {
			sum.thinks = append(sum.thinks, turn.think.Seconds())
		}
		if own := turn.prompt - said; own < low || own > high {
			t.Fatalf("turn %d of session %s adds %d tokens, want %d to %d", k, s.id, own, low, high)
		}
		if turn.output < 1 || turn.output > want.longest || turn.limit != want.longest || want.forced && turn.output != want.longest {
			t.Fatalf("an answer of %d tokens with a limit of %d, want at most %d", turn.output, turn.limit, want.longest)
		}
		sum.answers = append(sum.answers, float64(turn.output))
		switch {
		case turn.early > 0:
			sum.left, sum.early = sum.left+1, sum.early+1
			if turn.said != 0 || turn.cut != 0 {
				t.Fatalf("%+v: one that leaves before the first token has seen some", turn)
			}
		case turn.cut > 0:
			sum.left++
			if turn.cut > turn.output || turn.said != turn.cut {
				t.Fatalf("%+v: want one that has seen what came before it left", turn)
			}
		case turn.said != turn.output:
			t.Fatalf("%+v: want one that has seen its whole answer", turn)
		}
		if len(turn.fine) != (turn.prompt+turn.said)/fineTokens || len(turn.coarse) != (turn.prompt+turn.said)/coarseTokens {
			t.Fatalf("chains of %d and %d blocks for a prompt of %d tokens and %d seen of the answer", len(turn.fine), len(turn.coarse), turn.prompt, turn.said)
		}
		said = turn.prompt + turn.said
	}
	if want.until > 0 && said > 20_500 {
		t.Errorf("a context of %d tokens", said)
	}
}

func written(t *testing.T, name string, seed uint64) *plan {
	t.Helper()
	w := find(t, name)[0]
	return w.write(&w, seed)
}

func TestWorkloads_FaultsAndSlowReplicas(t *testing.T) {
	slow := func(p *plan) (all []float64) {
		for _, m := range p.fleet {
			all = append(all, m.slow)
		}
		return all
	}
	for name, want := range map[string][]float64{
		"mixed": {0, 0, 0, 3}, "drift": {0, 0, 0, 3}, "churn": {0, 0, 0, 0},
		"mixed16": {0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 3},
	} {
		if got := slow(written(t, name, 1)); !slices.Equal(got, want) {
			t.Errorf("%s: factors %v", name, got)
		}
	}
	p := written(t, "churn", 1)
	last := p.lastBegin()
	if want := []fault{{last / 3, 1, dies, 0}, {2 * last / 3, 1, returns, 0}}; !slices.Equal(p.faults, want) {
		t.Errorf("churn: %v, want %v", p.faults, want)
	}
	p = written(t, "drift", 1)
	half := p.lastBegin() / 2
	if want := []fault{{half, 3, slows, 1}, {half, 0, slows, 3}}; !slices.Equal(p.faults, want) {
		t.Errorf("drift: %v, want %v", p.faults, want)
	}
	if a, b := len(written(t, "churn16", 1).faults), len(written(t, "drift16", 1).faults); a != 8 || b != 8 {
		t.Errorf("%d and %d faults on sixteen replicas", a, b)
	}
	for _, name := range []string{"headline-a", "think", "tenants", "agent", "hot", "mooncake", "noreuse", "siblings", "tight", "overload", "aborts", "hetero"} {
		if p := written(t, name, 1); len(p.faults) != 0 || slices.Max(slow(p)) != 0 {
			t.Errorf("%s: faults %v, factors %v", name, p.faults, slow(p))
		}
	}
}

func TestWorkloads_SystemPrompts(t *testing.T) {
	// The first block tells system prompts apart.
	kinds := func(name string) (count map[uint64]int, lengths map[uint64]map[int]bool, n int) {
		count, lengths = map[uint64]int{}, map[uint64]map[int]bool{}
		for _, s := range written(t, name, 1).sessions {
			first := s.turns[0].fine[0]
			count[first]++
			if lengths[first] == nil {
				lengths[first] = map[int]bool{}
			}
			lengths[first][s.turns[0].prompt] = true
			n++
		}
		return count, lengths, n
	}
	count, _, n := kinds("tenants")
	if most := slices.Max(slices.Collect(maps.Values(count))); len(count) != 12 || math.Abs(float64(most)/float64(n)-0.322) > 0.126 {
		t.Errorf("tenants: %v; want 12 apps, the first with 1/H(12) = 32 %% of the sessions", count)
	}
	count, lengths, n := kinds("hot")
	for first, c := range count {
		long := 0
		for l := range lengths[first] {
			long = max(long, l)
		}
		if share := float64(c) / float64(n); (long > 6000) != (share > 0.5) || long > 6000 && math.Abs(share-0.6) > 0.1 {
			t.Errorf("hot: a system prompt with prompts up to %d tokens in %.2f of the requests", long, share)
		}
	}
	if len(count) != 12 {
		t.Errorf("hot: %d system prompts, want 12", len(count))
	}
	if count, _, n = kinds("noreuse"); len(count) != n {
		t.Errorf("noreuse: %d system prompts for %d sessions", len(count), n)
	}
	if count, _, _ = kinds("agent"); len(count) != 1 {
		t.Errorf("agent: %d system prompts", len(count))
	}
	if count, _, _ = kinds("siblings"); len(count) < 10 || len(count) > 12 {
		t.Errorf("siblings: %d system prompts of 12 in 55 draws", len(count))
	}
}

func TestWorkloads_SiblingsShareTheWholePrompt(t *testing.T) {
	p := written(t, "siblings", 1)
	var gaps []float64
	for i := 0; i < len(p.sessions); i += 8 {
		group := p.sessions[i : i+8]
		for k, s := range group {
			a, b := &group[0].turns[0], &s.turns[0]
			if s.begin != group[0].begin+time.Duration(k)*2*time.Millisecond || b.prompt != 3000 || common(a.fine, b.fine) < 187 || s.id != group[0].id {
				t.Fatalf("sample %d of prompt %d is another one: %+v", k, i/8, s)
			}
			if k > 0 && common(a.fine, b.fine) > 187 {
				t.Fatalf("samples 0 and %d of prompt %d have the same answer", k, i/8)
			}
		}
		if i > 0 {
			gaps = append(gaps, (group[0].begin - p.sessions[i-8].begin).Seconds())
		}
	}
	if !near(gaps, 2, 2) {
		t.Errorf("a prompt every %.2f s, want 8 samples at 4 a second", mean(gaps))
	}
}

func TestWorkloads_MooncakeIsAWindowOfTheTrace(t *testing.T) {
	p, next := written(t, "mooncake", 0), written(t, "mooncake", 1)
	if p.sessions[0].turns[0].prompt == next.sessions[0].turns[0].prompt && p.sessions[1].turns[0].prompt == next.sessions[1].turns[0].prompt {
		t.Error("two seeds, one window")
	}
	prompts, shared := 0.0, map[uint64]int{}
	for _, s := range p.sessions {
		turn := &s.turns[0]
		prompts += float64(turn.prompt)
		if len(turn.fine) > turn.prompt/fineTokens || len(turn.fine)/4 != len(turn.coarse) || s.begin < 0 {
			t.Fatalf("%+v", turn)
		}
		shared[turn.coarse[0]]++
	}
	if m := prompts / 700; m < 900 || m > 2400 {
		t.Errorf("prompts of %.0f tokens; an eighth of the trace's 12,035 are 1,504", m)
	}
	if slices.Max(slices.Collect(maps.Values(shared))) < 100 {
		t.Error("no first block is shared by many, as the trace's is")
	}
}

// What is equal in one chain is equal in the other, and prefixes only: two chains have no block in common behind the first unequal one.
func TestWorkloads_EqualPrefixesHaveEqualBlocks(t *testing.T) {
	for _, name := range []string{"headline-a", "tenants", "agent", "aborts", "siblings", "mooncake"} {
		p := written(t, name, 1)
		place := map[uint64]string{} // where a block stands: behind which, in which chain
		for _, s := range p.sessions {
			for k := range s.turns {
				turn := &s.turns[k]
				for chain, blocks := range map[string][]uint64{"fine": turn.fine, "coarse": turn.coarse} {
					before := uint64(0)
					for i, b := range blocks {
						at := fmt.Sprint(chain, i, before)
						if was, seen := place[b]; seen && was != at {
							t.Fatalf("%s: a block stands at %s and at %s", name, was, at)
						}
						place[b], before = at, b
					}
				}
				if k > 0 {
					last := &s.turns[k-1]
					if n := len(last.fine); !slices.Equal(turn.fine[:n], last.fine) {
						t.Fatalf("%s: turn %d of %s does not continue what was said", name, k, s.id)
					}
				}
			}
		}
		for i := range min(100, len(p.sessions)-1) {
			a, b := &p.sessions[i].turns[0], &p.sessions[i+1].turns[0]
			fine, coarse := common(a.fine, b.fine), common(a.coarse, b.coarse)
			if coarse != fine/4 {
				t.Fatalf("%s: %d blocks of 16 tokens in common, %d of 64", name, fine, coarse)
			}
		}
	}
}

func TestWriter_EqualTextEqualBlocksToTheLastToken(t *testing.T) {
	write := func(own uint64, cut int) *session {
		w := newWriter("", 0)
		w.say(1, 100)
		w.ask(2, 51, 0).cut = cut
		w.answer(3, 90)
		w.ask(own, 100, 0)
		w.answer(5, 40)
		return w.end()
	}
	a, b := write(8, 0), write(9, 0)
	last := func(s *session) *turn { return &s.turns[1] }
	if n, m := common(last(a).fine, last(b).fine), common(last(a).coarse, last(b).coarse); n != 241/16 || m != 241/64 {
		t.Errorf("241 tokens in common are %d blocks of 16 and %d of 64", n, m)
	}
	c := write(8, 7) // the caller saw 7 tokens of the answer; what it asks then stands right behind them
	if n := common(a.turns[0].fine, c.turns[0].fine); len(c.turns[0].fine) != 158/16 || n != 158/16 || last(c).prompt != 258 {
		t.Errorf("a cut answer: %d blocks, %d in common, next prompt %d tokens", len(c.turns[0].fine), n, last(c).prompt)
	}
	if n := common(last(a).fine, last(c).fine); n != 158/16 {
		t.Errorf("what a caller never saw is in its next prompt: %d blocks in common", n)
	}
}

func common(a, b []uint64) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func TestFind(t *testing.T) {
	for list, want := range map[string]int{"all": 16, "all16": 16, "think, hot16": 2, "all,all64": 32} {
		if got := find(t, list); len(got) != want {
			t.Errorf("%s: %d workloads", list, len(got))
		}
	}
	if _, err := Find("think,thonk"); err == nil || !strings.Contains(err.Error(), `"thonk"`) || !strings.Contains(err.Error(), "headline-a, headline-b") {
		t.Errorf("error %v", err)
	}
}

func TestDice_Zipf(t *testing.T) {
	d := newDice(1, 2)
	var count [4]float64
	for range 25_000 {
		count[d.zipf(4)]++
	}
	for i, n := range count {
		if want := 12_000 / float64(i+1); math.Abs(n-want) > 4*math.Sqrt(want) {
			t.Errorf("%d was drawn %v times, want %v", i, n, want)
		}
	}
}
