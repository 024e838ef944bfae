package guard

import (
	"sync"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
)

// Guard applies all rules of a configuration. It is safe for concurrent use and needs no closing.
type Guard struct {
	rules  []*rule
	fold   *folder // nil where no rule has words
	looks  sync.Pool
	onFind func(rule, side, action string, n int)
}

// New makes a guard of rules, nil if there are none. onFind is called with the number of matches of one rule in one text; nil = nobody
// asks. The error names the rule that cannot be applied.
func New(rules []config.GuardRule, onFind func(rule, side, action string, n int)) (*Guard, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	g := &Guard{onFind: onFind}
	for _, c := range rules {
		if len(c.Words) > 0 && g.fold == nil {
			g.fold = newFolder()
		}
		r, err := newRule(c, g.fold)
		if err != nil {
			return nil, err
		}
		g.rules = append(g.rules, r)
	}
	if g.fold == nil {
		g.fold = newFolder() // for what is restored
	}
	g.looks.New = func() any { return new(look) }
	return g, nil
}

// Session is the rules for one request and its answer, and what they found. It is used by one goroutine. A nil Session has no rules.
type Session struct {
	g             *Guard
	input, output []*rule
	hidden        []hidden // what was taken out of the request, to be restored in the answer
	placeholders  *lexicon
	notes         []Note
	repeats       bool // what is looked at was looked at in pieces before: it is not counted again
	unasked       bool // a service did not answer, and so its rule refuses
}

// Note tells what a rule found. Its action is the rule's, or failed where the service to be asked did not answer.
type Note struct {
	Rule, Side, Action string
	Count              int
}

// hidden is a piece of the request that the engine does not see.
type hidden struct{ placeholder, value string }

// For returns the session of a request, nil if no rule looks at it.
func (g *Guard) For(subject *config.Subject) *Session {
	if g == nil {
		return nil
	}
	var s *Session
	for _, r := range g.rules {
		if !r.Match.Covers(subject) {
			continue
		}
		if s == nil {
			s = &Session{g: g}
		}
		if r.Checks("input") {
			s.input = append(s.input, r)
		}
		if r.Checks("output") && r.Action != "restore" {
			s.output = append(s.output, r)
		}
	}
	return s
}

// Notes are what the rules have found so far, one note for each rule and side.
func (s *Session) Notes() []Note {
	if s == nil {
		return nil
	}
	return s.notes
}

// note counts n matches of r.
func (s *Session) note(r *rule, side string, n int) { s.noteAs(r, side, r.Action, n) }

func (s *Session) noteAs(r *rule, side, action string, n int) {
	if s.repeats {
		return
	}
	if s.g.onFind != nil {
		s.g.onFind(r.Name, side, action, n)
	}
	for i := range s.notes {
		if at := &s.notes[i]; at.Rule == r.Name && at.Side == side && at.Action == action {
			at.Count += n
			return
		}
	}
	s.notes = append(s.notes, Note{r.Name, side, action, n})
}

// Refusal is a rule's word that a request or an answer must not pass.
type Refusal struct {
	// Message is for the caller.
	Message string
	// Answer says that the caller wants an answer with that message in it, not an error.
	Answer bool
	// Unasked says that the service which had to be asked did not answer.
	Unasked bool
}

func (s *Session) refusal(r *rule) *Refusal {
	if s.unasked {
		return &Refusal{Message: "This text could not be checked. Please try again.", Unasked: true}
	}
	return &Refusal{Message: r.Message, Answer: r.Refuse == "answer"}
}

// Failure is the refusal as an error for the caller. A repetition is useless, unless a service did not answer.
func (r *Refusal) Failure() *failure.Error {
	fail := failure.New(failure.ContentRefused, r.Message)
	fail.Final = !r.Unasked
	if r.Unasked {
		fail.Status, fail.Code, fail.RetryAfter = 503, "moderation_unavailable", time.Second
	}
	return fail
}
