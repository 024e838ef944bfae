package workload

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func mustNew(t *testing.T, cfg Config) []Session {
	t.Helper()
	sessions, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// spelled is everything that the sessions say, in order.
func spelled(sessions []Session) string {
	var b strings.Builder
	for i := range sessions {
		s := &sessions[i]
		fmt.Fprintf(&b, "%d: %s\n", s.ID(), s.System())
		for turn := range s.Turns() {
			fmt.Fprintln(&b, s.User(turn))
		}
	}
	return b.String()
}

func TestNew_SameSeedSameTextAndOrder(t *testing.T) {
	cfg := Config{Seed: 7, Sessions: 20, Turns: 3, Input: Range{Min: 5, Max: 60}, SystemTokens: 30}
	first := spelled(mustNew(t, cfg))
	if again := spelled(mustNew(t, cfg)); again != first {
		t.Error("two workloads of one seed differ")
	}
	cfg.Seed = 8
	if other := spelled(mustNew(t, cfg)); other == first {
		t.Error("another seed makes the same workload")
	}
}

func TestNew_TextIsTheSameFromRunToRun(t *testing.T) {
	sessions := mustNew(t, Config{Seed: 1, Sessions: 3, Turns: 1, Input: Range{Min: 6}})
	const want = "1: \ncold trade door season head sound\n2: \nseat walk step small truth trip\n0: \nyear time time color early large\n"
	if got := spelled(sessions); got != want {
		t.Errorf("got %q", got)
	}
}

func TestNew_OrderIsShuffled(t *testing.T) {
	sessions := mustNew(t, Config{Seed: 1, Sessions: 60, Turns: 1, Input: Range{Min: 10}})
	ids := make([]int, len(sessions))
	for i := range sessions {
		ids[i] = sessions[i].ID()
	}
	if slices.IsSorted(ids) {
		t.Error("the sessions are in the order of their numbers")
	}
	slices.Sort(ids)
	for i, id := range ids {
		if id != i {
			t.Fatalf("session %d is missing", i)
		}
	}
}

func TestSession_TextHasTheWantedLength(t *testing.T) {
	sessions := mustNew(t, Config{Seed: 3, Sessions: 50, Turns: 4, Input: Range{Min: 20, Max: 40}, SystemTokens: 25})
	shortest, longest := 1000, 0
	for i := range sessions {
		s := &sessions[i]
		if n := len(strings.Fields(s.System())); n != 25 {
			t.Errorf("a system prompt of %d words", n)
		}
		for turn := range 4 {
			n := len(strings.Fields(s.User(turn)))
			shortest, longest = min(shortest, n), max(longest, n)
		}
	}
	if shortest != 20 || longest != 40 {
		t.Errorf("lengths from %d to %d, want 20 to 40", shortest, longest)
	}
	fixed := mustNew(t, Config{Sessions: 1, Turns: 1, Input: Range{Min: 200}})
	if n := len(strings.Fields(fixed[0].User(0))); n != 200 {
		t.Errorf("%d words, want 200", n)
	}
}

func TestSession_ConversationsDifferWithinThreeWords(t *testing.T) {
	sessions := mustNew(t, Config{Seed: 3, Sessions: 70_000, Turns: 2, Input: Range{Min: 3}})
	seen := map[string]bool{}
	for i := range sessions {
		seen[sessions[i].User(0)] = true
	}
	if len(seen) != len(sessions) {
		t.Errorf("%d conversations begin in %d ways", len(sessions), len(seen))
	}
}

func TestSession_SystemPromptsAreShared(t *testing.T) {
	f := func(prompts, want int) {
		t.Helper()
		seen := map[string]int{}
		sessions := mustNew(t, Config{Seed: 3, Sessions: 30, Turns: 1, Input: Range{Min: 10}, SystemTokens: 40, SystemPrompts: prompts})
		for i := range sessions {
			seen[sessions[i].System()]++
		}
		if len(seen) != want {
			t.Errorf("%d system prompts, want %d", len(seen), want)
		}
		for _, n := range seen {
			if n != 30/want {
				t.Errorf("a system prompt is shared by %d sessions, want %d", n, 30/want)
			}
		}
	}
	f(0, 1)
	f(1, 1)
	f(5, 5)
	if s := mustNew(t, Config{Sessions: 1, Turns: 1, Input: Range{Min: 1}})[0].System(); s != "" {
		t.Errorf("a system prompt that nobody asked for: %q", s)
	}
}

func TestNew_RefusesWhatCannotBeMade(t *testing.T) {
	good := Config{Sessions: 1, Turns: 1, Input: Range{Min: 1}}
	for name, change := range map[string]func(c *Config){
		"no session":              func(c *Config) { c.Sessions = 0 },
		"no turn":                 func(c *Config) { c.Turns = 0 },
		"no input":                func(c *Config) { c.Input.Min = 0 },
		"turned range":            func(c *Config) { c.Input = Range{Min: 9, Max: 3} },
		"negative system prompt":  func(c *Config) { c.SystemTokens = -1 },
		"too short to tell apart": func(c *Config) { c.Sessions = 257 },
		"prompts too short":       func(c *Config) { c.SystemTokens, c.SystemPrompts = 1, 257 },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if len(vocabulary()) != vocabularySize {
		t.Errorf("%d words in words.txt", len(vocabulary()))
	}
}
