package guard

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/warmlane/warmlane/gateway/config"
)

// rule is one rule of the configuration, ready to be applied.
type rule struct {
	config.GuardRule
	finders []labelled
	hook    *hook // the service that is asked as well; nil = none
}

// labelled is a finder and the name of what it finds, which stands in the place of it.
type labelled struct {
	finder
	label string
}

// longestWord bounds a word or phrase, in bytes.
const longestWord = 1024

func newRule(c config.GuardRule, fold *folder) (*rule, error) {
	r := &rule{GuardRule: c}
	var words []string
	for _, path := range c.Words {
		list, err := readWords(path, fold)
		if err != nil {
			return nil, fmt.Errorf("reading the words of rule %q: %w", c.Name, err)
		}
		words = append(words, list...)
	}
	if len(words) > 0 {
		l := newLexicon(words, c.WholeWords)
		if l.longest > int(c.LookBack) {
			return nil, fmt.Errorf("rule %q: its longest word has %d bytes, its look_back is %s: raise look_back", c.Name, l.longest, c.LookBack)
		}
		r.finders = append(r.finders, labelled{l, ""})
	}
	for _, expr := range c.Regex {
		p, err := newPattern(expr)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", c.Name, err)
		}
		r.finders = append(r.finders, labelled{p, ""})
	}
	if c.Moderation.URL != "" {
		h, err := newHook(c.Moderation)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", c.Name, err)
		}
		r.hook = h
	}
	for _, name := range c.Detect {
		f := newDetector(name)
		if f == nil {
			return nil, fmt.Errorf("rule %q: nothing detects %q", c.Name, name)
		}
		r.finders = append(r.finders, labelled{f, strings.ToUpper(name)})
	}
	return r, nil
}

// readWords reads a file with a word or phrase a line. Empty lines and those that begin with # say nothing.
func readWords(path string, fold *folder) ([]string, error) {
	f, err := os.Open(path) //nolint:gosec // the operator's own file names what to read
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var words []string
	var t text
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		t.load([]byte(line), 0, fold)
		if len(t.fold) > longestWord {
			return nil, fmt.Errorf("%s:%d: longer than %d bytes", path, n, longestWord)
		}
		if len(t.fold) > 0 {
			words = append(words, string(t.fold))
		}
	}
	return words, lines.Err()
}

// masked is what stands in the place of what a finder with this label found.
func (r *rule) masked(label string) string {
	switch {
	case r.Mask != "":
		return r.Mask
	case label != "":
		return "[" + label + "]"
	}
	return "***"
}
