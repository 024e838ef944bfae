package config

import (
	"fmt"
	"slices"
)

// CacheRule says which requests may be answered by answers of before. The first rule that matches counts.
type CacheRule struct {
	Name      string   `yaml:"name"`       // for metrics and the admin API; one of its own
	Match     Match    `yaml:"match"`      // which requests; empty = all
	TTL       Duration `yaml:"ttl"`        // how long an answer is good
	Scope     string   `yaml:"scope"`      // who shares answers: consumer, user (of a consumer) or all
	Ignore    []string `yaml:"ignore"`     // members of the body that make no difference
	MaxAnswer Size     `yaml:"max_answer"` // longer answers are not kept
	Semantic  Semantic `yaml:"semantic"`   // whether answers to similar questions may be given
}

// Semantic says when a request may get the answer to a similar one.
type Semantic struct {
	Pool       string   `yaml:"pool"`        // whose engines tell how similar texts are, by embeddings; "" = only equal requests get answers
	Model      string   `yaml:"model"`       // as these engines know it; "" = the pool's own
	Threshold  float64  `yaml:"threshold"`   // least cosine of two texts
	Timeout    Duration `yaml:"timeout"`     // for the embedding; then the request goes its way
	MaxText    Size     `yaml:"max_text"`    // longer texts are not compared
	MaxEntries int      `yaml:"max_entries"` // texts in one conversation that are compared at most
}

// Used reports whether similar questions count.
func (s *Semantic) Used() bool { return s.Pool != "" }

// CacheScopes are who can share answers.
func CacheScopes() []string { return []string{"consumer", "user", "all"} }

func (c *checker) caches(rules []CacheRule) {
	c.names("cache", len(rules), func(i int) string { return rules[i].Name })
	for i := range rules {
		r, at := &rules[i], fmt.Sprintf("cache[%d]", i)
		c.match(at+".match", &r.Match)
		c.positive(at+".ttl", r.TTL)
		c.nonEmpty(at+".ignore", r.Ignore)
		if !slices.Contains(CacheScopes(), r.Scope) {
			c.fault(at+".scope", fmt.Sprintf("%q is nobody", r.Scope), "write consumer, user or all")
		}
		for j, name := range r.Ignore {
			if slices.Contains([]string{"model", "messages", "prompt", "input", "stream"}, name) {
				c.fault(fmt.Sprintf("%s.ignore[%d]", at, j), name+" decides what the answer is", "remove it")
			}
		}
		if r.MaxAnswer <= 0 {
			c.fault(at+".max_answer", "must be more than nothing", "write a size such as 1MiB")
		}
		c.semantic(at+".semantic", &r.Semantic)
	}
}

func (c *checker) semantic(at string, s *Semantic) {
	if _, written := c.cfg.marks[at]; written && !s.Used() {
		c.fault(at+".pool", "no pool tells how similar two texts are", "write pool: NAME of a pool with an embedding model, or remove semantic")
	}
	c.defined(at+".pool", "pool", s.Pool, namesOf(c.cfg.Pools, func(p Pool) string { return p.Name }))
	c.positive(at+".timeout", s.Timeout)
	if !(s.Threshold >= 0.5 && s.Threshold <= 1) {
		c.fault(at+".threshold", "must be 0.5 to 1", "write how similar two texts must be, such as 0.95; texts that say the opposite reach 0.97 with many models")
	}
	if s.MaxText < 1 || s.MaxText > 64<<10 {
		c.fault(at+".max_text", "must be 1B to 64KiB", "write a size that the embedding model can read, such as 2KiB")
	}
	if s.MaxEntries < 1 || s.MaxEntries > 100_000 {
		c.fault(at+".max_entries", "must be 1 to 100000", "write how many texts are compared at most, such as 1000")
	}
}
