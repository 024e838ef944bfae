package sweep

import (
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// plan is everything that will happen in one run and does not depend on the policy. It is read only.
type plan struct {
	fleet    []machine
	sessions []*session
	atOnce   int           // sessions under way at any time; 0: each begins at its own time
	until    time.Duration // after which no request begins; 0: all do
	faults   []fault
}

// on is the plan with another fleet; what would happen to replicas that are not there does not.
func (p *plan) on(fleet Fleet) *plan {
	moved := *p
	moved.fleet = fleet
	moved.faults = nil
	for _, f := range p.faults {
		if f.replica < len(fleet) {
			moved.faults = append(moved.faults, f)
		}
	}
	return &moved
}

// machine is one replica of the fleet.
type machine struct {
	preset string
	blocks int     // KV blocks; 0: the preset's
	slow   float64 // factor on every step; 0: 1
}

// fault changes a replica: it dies, returns with an empty cache, or becomes slow.
type fault struct {
	at      time.Duration
	replica int
	change  change
	slow    float64 // of a slowdown, the new factor
}

type change uint8

const (
	dies change = iota
	returns
	slows
)

// session is a conversation: requests that follow each other.
type session struct {
	id    string
	begin time.Duration // of the first request; in a closed loop after the end of the session before
	ended time.Duration // when its last answer did, where that was recorded
	turns []turn
}

// turn is one request of a session.
type turn struct {
	think  time.Duration // since the end of the turn before
	prompt int           // tokens, all of the history included
	output int           // tokens that the engine would generate
	limit  int           // the caller's max_tokens; 0: none
	cut    int           // tokens after which the caller leaves; 0: it stays
	early  time.Duration // since its arrival, when the caller leaves before the first token; 0: it does not
	said   int           // tokens of the answer that the caller has seen

	fine, coarse []uint64 // chains of blocks of 16 and 64 tokens, of the prompt and the answer
	chunks       []uint64 // the prompt cut behind each user message
}

const (
	fineTokens   = 16 // engine blocks
	coarseTokens = 64 // the gateway's
)

// known are the chain's blocks of the first n tokens.
func known(chain []uint64, n, blockTokens int) []uint64 {
	return chain[:min(len(chain), n/blockTokens)]
}

// writer writes one session.
type writer struct {
	s      *session
	text   []uint32
	chunks []uint64
	chunk  uint64 // what was said since the last of them
}

func newWriter(id string, begin time.Duration) *writer {
	return &writer{s: &session{id: id, begin: begin}}
}

// say adds n tokens of content that key stands for: the same key is the same text.
func (w *writer) say(key uint64, n int) {
	state := key
	for range n {
		state = state*6364136223846793005 + 1442695040888963407
		w.text = append(w.text, uint32(state>>32))
	}
	w.chunk = (w.chunk^key^uint64(n))*0x9e3779b97f4a7c15 + 1
}

// ask adds what a user says and with it a request, which comes think after the answer before.
func (w *writer) ask(key uint64, n int, think time.Duration) *turn {
	w.say(key, n)
	w.chunks = append(w.chunks, w.chunk)
	w.chunk = 0
	return w.request(w.chunks, think)
}

// request adds a request with the prompt as it stands, cut into these chunks.
func (w *writer) request(chunks []uint64, think time.Duration) *turn {
	w.s.turns = append(w.s.turns, turn{think: think, prompt: len(w.text), chunks: chunks[:len(chunks):len(chunks)]})
	return &w.s.turns[len(w.s.turns)-1]
}

// answer adds the answer to the last request.
func (w *writer) answer(key uint64, n int) {
	t := &w.s.turns[len(w.s.turns)-1]
	t.output, t.said = n, n
	if t.early > 0 {
		t.said = 0
	} else if t.cut > 0 {
		t.said = min(t.cut, n)
	}
	w.say(key, t.said)
}

// end gives every request its part of the chains.
func (w *writer) end() *session {
	fine := engine.HashBlocks(nil, 1, w.text, fineTokens)
	coarse := engine.HashBlocks(nil, 2, w.text, coarseTokens)
	for i := range w.s.turns {
		t := &w.s.turns[i]
		t.fine, t.coarse = known(fine, t.prompt+t.said, fineTokens), known(coarse, t.prompt+t.said, coarseTokens)
	}
	return w.s
}
