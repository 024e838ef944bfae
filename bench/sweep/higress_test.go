package sweep

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// higressRig asks the rule for one host after the other.
type higressRig struct {
	*prefixHigress
	now  time.Time
	rand *rand.Rand
}

func newHigressRig() *higressRig {
	h := &higressRig{prefixHigress: &prefixHigress{}, now: clock(0), rand: rand.New(rand.NewPCG(1, 1))}
	h.enter(&run{})
	return h
}

// at is a host with requests in flight.
func at(index, own int) balancer.Candidate {
	return balancer.Candidate{Index: index, Own: float64(own), Sent: 1}
}

// ask is the host for a prompt of these chunks.
func (h *higressRig) ask(chunks []uint64, hosts ...balancer.Candidate) int {
	h.run.asking = &turn{chunks: chunks}
	best, _ := h.Pick(&balancer.View{Now: h.now, Rand: h.rand, Candidates: hosts})
	return hosts[best].Index
}

func chunks(c ...uint64) []uint64 { return c }

func TestPrefixHigress_FollowsAConversationWhateverTheLoad(t *testing.T) {
	h := newHigressRig()
	h.ask(chunks(1), at(2, 0))
	for turn := 2; turn < 9; turn++ {
		chain := chunks(1, 2, 3, 4, 5, 6, 7, 8)[:turn]
		if got := h.ask(chain, at(0, 0), at(1, 0), at(2, 100_000)); got != 2 {
			t.Fatalf("turn %d went to %d: the rule knows no bound on load", turn, got)
		}
	}
}

func TestPrefixHigress_ASystemPromptBeforeTheFirstQuestionNeverMatches(t *testing.T) {
	first := func(question uint64) []uint64 {
		w := newWriter("", 0)
		w.say(1, 6000)
		return w.ask(question, 50, 0).chunks
	}
	a, b, same := first(2), first(3), first(2)
	if len(a) != 1 || a[0] != same[0] || a[0] == b[0] {
		t.Fatalf("chunks %v, %v and %v: want one each, different for different questions", a, b, same)
	}
	h := newHigressRig()
	h.ask(a, at(2, 0))
	if got := h.ask(b, at(0, 0), at(1, 9), at(2, 9)); got != 0 {
		t.Errorf("another question behind the same system prompt went to %d, not to the least busy host", got)
	}
	if got := h.ask(same, at(0, 0), at(1, 9), at(2, 9)); got != 2 {
		t.Errorf("the same question went to %d", got)
	}
}

func TestPrefixHigress_EqualChunksCancelOut(t *testing.T) {
	h := newHigressRig()
	h.ask(chunks(5), at(1, 0))
	h.ask(chunks(5, 5), at(1, 0))
	h.ask(chunks(7), at(2, 0))
	if got := h.ask(chunks(7, 7), at(0, 0), at(1, 0), at(2, 0)); got != 1 {
		t.Errorf("went to %d; a question asked twice has the key of all questions asked twice", got)
	}
}

func TestPrefixHigress_RemembersForHalfAnHourSinceTheLastUse(t *testing.T) {
	others := []balancer.Candidate{at(0, 0), at(1, 5), at(2, 5)}
	h := newHigressRig()
	h.ask(chunks(1), at(2, 0))
	for range 3 {
		h.now = h.now.Add(1800 * time.Second)
		if got := h.ask(chunks(1), others...); got != 2 {
			t.Fatalf("after 1800 s it went to %d", got)
		}
	}
	h.now = h.now.Add(1800*time.Second + 1)
	if got := h.ask(chunks(1), others...); got != 0 {
		t.Errorf("after more than 1800 s it went to %d", got)
	}
}

func TestPrefixHigress_AConversationOfADeadHostIsNeverRemembered(t *testing.T) {
	h := newHigressRig()
	h.ask(chunks(1, 2), at(0, 0))
	if got := h.ask(chunks(1, 2), at(1, 5), at(2, 0)); got != 2 {
		t.Fatalf("went to %d, not to the least busy of those alive", got)
	}
	// What was written then stands under keys that hold the chunk of the dead host's key twice.
	if got := h.ask(chunks(1, 2), at(1, 0), at(2, 5)); got != 1 {
		t.Errorf("went to %d: it was remembered", got)
	}
	if got := h.ask(chunks(1, 2), at(0, 9), at(1, 0), at(2, 0)); got != 0 {
		t.Errorf("went to %d: the host is back, cold, and its keys still stand", got)
	}
	h = newHigressRig()
	h.ask(chunks(1), at(1, 0))
	h.ask(chunks(1, 2), at(1, 0))
	h.placed[1^2^3] = placement{0, h.now.Add(time.Hour)}
	if got := h.ask(chunks(1, 2, 3), at(1, 7), at(2, 0)); got != 1 {
		t.Errorf("went to %d, not to the host of the longest beginning that is alive", got)
	}
}

func TestPrefixHigress_AHostNeverUsedIsTakenOnlyWhenDrawn(t *testing.T) {
	fresh := balancer.Candidate{Index: 0}
	h := newHigressRig()
	var count [3]int
	for i := range 3000 {
		count[h.ask(chunks(uint64(i)+100), fresh, at(1, 3), at(2, 3))]++
	}
	if count[0] < 900 || count[0] > 1100 || count[1] < 600 || count[2] < 600 {
		t.Errorf("%v: want a third on the host without a counter, though it is idle", count)
	}
}
