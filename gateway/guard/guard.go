package guard

import (
	"sync"

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
}

// Note tells what a rule found.
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
func (s *Session) note(r *rule, side string, n int) {
	if s.g.onFind != nil {
		s.g.onFind(r.Name, side, r.Action, n)
	}
	for i := range s.notes {
		if s.notes[i].Rule == r.Name && s.notes[i].Side == side {
			s.notes[i].Count += n
			return
		}
	}
	s.notes = append(s.notes, Note{r.Name, side, r.Action, n})
}

// Refusal is a rule's word that a request or an answer must not pass.
type Refusal struct {
	// Message is for the caller.
	Message string
	// Answer says that the caller wants an answer with that message in it, not an error.
	Answer bool
}

func (r *rule) refusal() *Refusal { return &Refusal{Message: r.Message, Answer: r.Refuse == "answer"} }

// Failure is the refusal as an error for the caller. A repetition is useless.
func (r *Refusal) Failure() *failure.Error {
	fail := failure.New(failure.ContentRefused, r.Message)
	fail.Final = true
	return fail
}
