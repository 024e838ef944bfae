// Package workload makes the conversations that a load test plays.
//
// A conversation is a few turns of user text, each of a wanted number of tokens, behind an optional system prompt.
// The same Config always gives the same conversations, byte for byte, in the same order; any two conversations of
// one workload differ within the first three words of the first turn, so that they share no block of an engine's
// prefix cache except through a shared system prompt. The order is shuffled by the seed: sessions started in a
// fixed order give a round-robin balancer perfect affinity whenever the concurrency divides by its replicas.
//
// Text is made of the 256 short words of words.txt, one word for one token. A tokenizer with one token per word
// (the simulated engine) counts exactly the wanted length; byte-pair tokenizers come close, because the words are
// common ones.
//
// Text is made on demand; a workload of a million sessions costs a few words of memory each.
package workload

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// Range is an inclusive span of token counts; the length of each text is drawn evenly from it.
type Range struct {
	Min, Max int
}

// Config says what conversations to make.
type Config struct {
	Seed     uint64 // same seed, same text and order
	Sessions int    // conversations, at least 1
	Turns    int    // user turns in each, at least 1
	Input    Range  // tokens of user text in each turn; Max 0 means Min

	SystemTokens  int // tokens of the system prompt; 0 = no system prompt
	SystemPrompts int // distinct system prompts, dealt to the sessions in turn; 0 = 1, shared by all
}

// Session is one conversation. It is immutable and safe for concurrent use.
type Session struct {
	cfg   *Config
	words []string
	id    int
}

// New checks cfg and makes its sessions, in the order in which they are to be started.
func New(cfg Config) ([]Session, error) {
	if cfg.Input.Max == 0 {
		cfg.Input.Max = cfg.Input.Min
	}
	if cfg.SystemPrompts == 0 {
		cfg.SystemPrompts = 1
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	words := vocabulary()
	sessions := make([]Session, cfg.Sessions)
	for i := range sessions {
		sessions[i] = Session{cfg: &cfg, words: words, id: i}
	}
	order := cfg.random(streamOrder, 0, 0)
	order.Shuffle(len(sessions), func(i, j int) { sessions[i], sessions[j] = sessions[j], sessions[i] })
	return sessions, nil
}

func (c *Config) check() error {
	switch {
	case c.Sessions < 1:
		return fmt.Errorf("sessions must be at least 1, not %d", c.Sessions)
	case c.Turns < 1:
		return fmt.Errorf("turns must be at least 1, not %d", c.Turns)
	case c.Input.Min < 1 || c.Input.Max < c.Input.Min:
		return fmt.Errorf("input tokens must be at least 1 and min <= max, not %d..%d", c.Input.Min, c.Input.Max)
	case c.SystemTokens < 0 || c.SystemPrompts < 1:
		return fmt.Errorf("system prompt: %d tokens, %d prompts: neither may be negative", c.SystemTokens, c.SystemPrompts)
	case c.Sessions > distinct(c.Input.Min):
		return fmt.Errorf("%d sessions cannot all begin differently with %d input tokens, at most %d can", c.Sessions, c.Input.Min, distinct(c.Input.Min))
	case c.SystemTokens > 0 && c.SystemPrompts > distinct(c.SystemTokens):
		return fmt.Errorf("%d system prompts cannot all begin differently with %d tokens", c.SystemPrompts, c.SystemTokens)
	}
	return nil
}

// ID is the number of the session, 0 to Sessions-1, independent of the order.
func (s *Session) ID() int { return s.id }

// Turns is the number of user turns.
func (s *Session) Turns() int { return s.cfg.Turns }

// System is the system prompt, "" when there is none.
func (s *Session) System() string {
	if s.cfg.SystemTokens == 0 {
		return ""
	}
	prompt := s.id % s.cfg.SystemPrompts
	return s.text(s.cfg.random(streamSystem, prompt, 0), prompt, s.cfg.SystemTokens)
}

// User is the user text of a turn, counted from 0.
func (s *Session) User(turn int) string {
	r := s.cfg.random(streamUser, s.id, turn)
	n := s.cfg.Input.Min + r.IntN(s.cfg.Input.Max-s.cfg.Input.Min+1)
	number := s.id
	if turn > 0 {
		number = -1
	}
	return s.text(r, number, n)
}

// text makes n words, the first of which spell number where it is not negative, so that texts with different
// numbers differ.
func (s *Session) text(r *rand.Rand, number, n int) string {
	var b strings.Builder
	b.Grow(n * 5)
	spelled := 0
	if number >= 0 {
		spelled = min(n, spellWords)
		number = s.cfg.mixed(number) & (distinct(n) - 1)
	}
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		w := r.IntN(len(s.words))
		if i < spelled {
			w = number % len(s.words)
			number /= len(s.words)
		}
		b.WriteString(s.words[w])
	}
	return b.String()
}

// mixed spreads small numbers. Modulo any power of two it keeps them apart, because the factor is odd.
func (c *Config) mixed(number int) int {
	return int((uint64(number)*0x9E3779B1 + c.Seed) & math.MaxInt64)
}

// What a stream of random numbers is for; part of its seed.
const (
	streamOrder = iota + 1
	streamSystem
	streamUser
)

// random gives the numbers of one text, independent of every other text's.
func (c *Config) random(stream, a, b int) *rand.Rand {
	// The second word of the seed must differ for each text; the multipliers are odd, so that no small a and b
	// collide within a stream.
	return rand.New(rand.NewPCG(c.Seed, uint64(stream)<<56^uint64(a)*0x9E3779B97F4A7C15^uint64(b)*0xC2B2AE3D27D4EB4F))
}
