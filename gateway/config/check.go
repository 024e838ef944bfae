package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// checker finds what decoding cannot: values out of bounds, names that nothing defines, things that contradict each other.
type checker struct {
	cfg    *Config
	broken map[string]bool   // paths of which the decoder has said what is wrong
	filled map[string]string // values that no fault may quote, see unfill
	faults Faults
}

// run checks everything and returns all faults in the order of the file.
func (c *checker) run() Faults {
	if !c.broken[""] {
		c.server(&c.cfg.Server)
		c.redis(&c.cfg.Redis)
		c.observe(&c.cfg.Observe)
		c.consumers(c.cfg.Consumers)
		c.pools(c.cfg.Pools)
		c.providers(c.cfg.Providers)
		c.routes(c.cfg.Routes)
		c.limits(c.cfg.Limits)
		c.guard(c.cfg.Guard)
		c.prices(&c.cfg.Prices)
		c.usage(&c.cfg.Usage)
		c.caches(c.cfg.Cache)
	}
	slices.SortStableFunc(c.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return c.faults
}

// fault notes what is wrong at path. Nothing is said about a path, or what lies below one, that the decoder has already rejected.
func (c *checker) fault(path, message, remedy string) {
	for p := path; p != ""; p = parent(p) {
		if c.broken[p] {
			return
		}
	}
	m := c.place(path)
	c.faults = append(c.faults, Fault{
		File: c.cfg.file, Line: m.line, Column: m.column, Path: path,
		Message: unfill(message, c.filled), Remedy: unfill(remedy, c.filled),
	})
}

// place returns where path is in the file; what is not there is said to be where its parent is.
func (c *checker) place(path string) mark {
	for {
		if m, ok := c.cfg.marks[path]; ok || path == "" {
			return m
		}
		path = parent(path)
	}
}

// parent returns the path of what contains path.
func parent(path string) string {
	i := strings.LastIndexAny(path, ".[")
	if strings.HasSuffix(path, `"`) { // a quoted key may hold dots and brackets
		i = strings.LastIndex(path, `."`)
	}
	return path[:max(i, 0)]
}

// names checks that every element of a list has a name of its own.
func (c *checker) names(list string, n int, name func(int) string) {
	seen := map[string]int{}
	for i := range n {
		path := fmt.Sprintf("%s[%d].name", list, i)
		text := name(i)
		if text == "" {
			c.fault(path, "the name is missing", "give it a name of its own")
			continue
		}
		if first, twice := seen[text]; twice {
			c.fault(path, fmt.Sprintf("the name %q is taken by %s[%d]", text, list, first), "give it a name of its own")
			continue
		}
		seen[text] = i
		if strings.ContainsFunc(text, notInName) || len(text) > 128 {
			c.fault(path, fmt.Sprintf("%q cannot be a name", text), "use at most 128 letters, digits and signs, without blanks, commas, quotes, * and ?")
		}
	}
}

// notInName reports what a name must not contain: it stands in globs, lists, labels and logs.
func notInName(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(`*?,"'`, r)
}

// nonEmpty checks that no entry of a list of names or globs is empty or there twice.
func (c *checker) nonEmpty(path string, list []string) {
	for i, text := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if text == "" {
			c.fault(at, "an empty entry", "give it a value or remove it")
		} else if slices.Index(list, text) < i {
			c.fault(at, fmt.Sprintf("%q is here a second time", text), "remove it")
		}
	}
}

// positive checks that a duration is there.
func (c *checker) positive(path string, d Duration) {
	if d <= 0 {
		c.fault(path, "must be longer than 0", "write a duration such as 5s, or leave the key out for the default")
	}
}

// defined checks that name is one of known.
func (c *checker) defined(path, kind, name string, known []string) {
	switch {
	case name == "" || slices.Contains(known, name):
	case len(known) == 0:
		c.fault(path, fmt.Sprintf("there is no %s %q", kind, name), fmt.Sprintf("define it under %ss", kind))
	default:
		c.fault(path, fmt.Sprintf("there is no %s %q", kind, name), suggest(name, known, "defined are "))
	}
}

// oneOf checks that a word is one of the words that a key knows.
func (c *checker) oneOf(path, word string, known []string) {
	if !slices.Contains(known, word) {
		c.fault(path, fmt.Sprintf("%q is not known here", word), suggest(word, known, "write one of "))
	}
}
