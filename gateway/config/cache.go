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
}

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
	}
}
