package config

import (
	"crypto/sha256"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

func (c *checker) consumers(consumers []Consumer) {
	c.names("consumers", len(consumers), func(i int) string { return consumers[i].Name })
	owners := map[[sha256.Size]byte]string{}
	for i, consumer := range consumers {
		at := fmt.Sprintf("consumers[%d]", i)
		c.consumerKeys(at, &consumer)
		c.jwt(at+".jwt", &consumer.JWT)
		c.nonEmpty(at+".models", consumer.Models)
		c.nonEmpty(at+".paths", consumer.Paths)
		if consumer.Priority < -balancer.LastPriority || consumer.Priority > balancer.LastPriority {
			c.fault(at+".priority", fmt.Sprintf("must be %d to %d", -balancer.LastPriority, balancer.LastPriority), "write a smaller number for a consumer that is served earlier, such as -1; 0 is usual")
		}
		for j, key := range consumer.Keys {
			c.consumerKey(fmt.Sprintf("%s.keys[%d].key", at, j), key.Key, consumer.Name, owners)
		}
	}
}

// consumerKeys checks that there is a way to call, and that each key can count at all.
func (c *checker) consumerKeys(at string, consumer *Consumer) {
	if len(consumer.Keys) == 0 && !consumer.JWT.Used() {
		c.keys(at+".keys", nil)
	}
	for i, key := range consumer.Keys {
		path := fmt.Sprintf("%s.keys[%d]", at, i)
		if key.Key.Empty() {
			c.fault(path+".key", "an empty key", "give it a value or remove it")
		} else if slices.IndexFunc(consumer.Keys, func(k Key) bool { return k.Key == key.Key }) < i {
			c.fault(path+".key", "the same key is here a second time", "remove it")
		}
		if !key.From.IsZero() && key.Until.passed(time.Time(key.From)) {
			c.fault(path+".until", "the key ends before it begins", "write a later time than from")
		}
	}
}

// consumerKey checks that a key is well written and tells one consumer from all others.
func (c *checker) consumerKey(path string, key Secret, consumer string, owners map[[sha256.Size]byte]string) {
	if key.Empty() {
		return
	}
	sum, err := key.Digest()
	if err != nil {
		c.fault(path, err.Error(), "write the digest as sha256sum prints it: printf %s KEY | sha256sum")
		return
	}
	if owner, taken := owners[sum]; taken && owner != consumer {
		c.fault(path, fmt.Sprintf("this key belongs to consumer %q already", owner), "give every consumer keys of its own")
		return
	}
	owners[sum] = consumer
}

func (c *checker) routes(routes []Route) {
	c.names("routes", len(routes), func(i int) string { return routes[i].Name })
	for i := range routes {
		r, at := &routes[i], fmt.Sprintf("routes[%d]", i)
		c.nonEmpty(at+".models", r.Models)
		c.match(at+".match", &r.Match)
		if len(r.Match.Routes) > 0 {
			c.fault(at+".match.routes", "a route cannot be chosen by routes", "remove it")
		}
		c.targets(at+".targets", r.Targets)
		c.oneOf(at+".sticky", r.Sticky, []string{"session", "user", "consumer", "none"})
		for j, class := range r.FallbackOn {
			if slices.Index(r.FallbackOn, class) < j {
				c.fault(fmt.Sprintf("%s.fallback_on[%d]", at, j), fmt.Sprintf("%s is here a second time", class), "remove it")
			}
		}
		for j := range routes[:i] {
			if hides(&routes[j], r) {
				c.fault(at, fmt.Sprintf("no request comes here: route %q above takes them all", routes[j].Name),
					"put the narrower route first, or remove one of the two")
				break
			}
		}
	}
}

// hides reports whether every request of later is taken by earlier. It may miss cases, but is never wrong.
func hides(earlier, later *Route) bool {
	if !earlier.Match.Empty() {
		return false
	}
	if len(earlier.Models) == 0 {
		return true
	}
	for _, p := range later.Models {
		if !slices.ContainsFunc(earlier.Models, func(e string) bool { return globHides(e, p) }) {
			return false
		}
	}
	return len(later.Models) > 0
}

// globHides reports whether earlier matches all that later matches: read as a text, the stars of later can only fall under
// stars of earlier, unless a ? took one.
func globHides(earlier, later string) bool {
	certain := !strings.Contains(earlier, "?") || !strings.Contains(later, "*")
	return earlier == later || certain && Glob(earlier, later)
}

func (c *checker) targets(at string, targets []Target) {
	if len(targets) == 0 {
		c.fault(at, "a route needs at least one target", "write targets: [{pool: NAME}]")
	}
	for i, t := range targets {
		path := fmt.Sprintf("%s[%d]", at, i)
		switch {
		case (t.Pool == "") == (t.Provider == ""):
			c.fault(path, "a target is either a pool or a provider", "write {pool: NAME} or {provider: NAME}")
		case t.Pool != "":
			c.defined(path+".pool", "pool", t.Pool, namesOf(c.cfg.Pools, func(p Pool) string { return p.Name }))
		default:
			c.defined(path+".provider", "provider", t.Provider, namesOf(c.cfg.Providers, func(p Provider) string { return p.Name }))
		}
		same := func(o Target) bool { return o.Pool == t.Pool && o.Provider == t.Provider && o.Model == t.Model }
		if slices.IndexFunc(targets, same) < i {
			c.fault(path, "the same target is here a second time", "remove it")
		}
		if t.Weight < 0 {
			c.fault(path+".weight", "must not be negative", "write a share such as 95, or leave it out for a target that others fall back to")
		}
		if t.Context < 0 {
			c.fault(path+".context", "must not be negative", "write a number of tokens such as 32768, or leave the key out")
		}
	}
}

func (c *checker) match(at string, m *Match) {
	c.patterns(at+".models", m.Models)
	c.patterns(at+".consumers", m.Consumers)
	c.fitting(at+".consumers", "consumer", m.Consumers, namesOf(c.cfg.Consumers, func(p Consumer) string { return p.Name }))
	c.patterns(at+".users", m.Users)
	c.patterns(at+".apps", m.Apps)
	c.patterns(at+".routes", m.Routes)
	c.fitting(at+".routes", "route", m.Routes, c.cfg.routeNames())
	if m.Path != "" && m.Path[0] != '/' && m.Path[0] != '*' && !isRegex(m.Path) {
		c.fault(at+".path", fmt.Sprintf("%q is not a path", m.Path), "write a path or a glob such as /v1/chat/completions or /v1/*")
	}
	c.pattern(at+".path", m.Path)
	c.headers(at+".headers", m.Headers)
	c.values(at+".query", "parameter's", m.Query)
	c.values(at+".cookies", "cookie's", m.Cookies)
}

// patterns checks a list of patterns.
func (c *checker) patterns(at string, list []string) {
	c.nonEmpty(at, list)
	for i, pattern := range list {
		c.pattern(fmt.Sprintf("%s[%d]", at, i), pattern)
	}
}

// fitting checks that each pattern stands for something that is there.
func (c *checker) fitting(at, kind string, patterns, known []string) {
	for i, p := range patterns {
		path := fmt.Sprintf("%s[%d]", at, i)
		switch {
		case p == "" || badPattern(p) != "":
		case !IsGlob(p) && !isRegex(p):
			c.defined(path, kind, p, known)
		case !slices.ContainsFunc(known, func(name string) bool { return Fits(p, name) }):
			c.fault(path, fmt.Sprintf("no %s fits %q", kind, p), fmt.Sprintf("define one under %ss, or remove it", kind))
		}
	}
}

// routeNames are the names that routes can have, but for those of adapters that only engines know: a model without a route has one
// of its own name.
func (c *Config) routeNames() []string {
	names := namesOf(c.Routes, func(r Route) string { return r.Name })
	for _, p := range c.Pools {
		names = append(append(names, p.Name, p.ServedModel), p.Models...)
	}
	for _, p := range c.Providers {
		names = append(names, namesOf(p.Models, func(m ProviderModel) string { return m.Name })...)
	}
	return namesOf(names, func(name string) string { return name })
}

func (c *checker) headers(at string, headers map[string]string) {
	seen := map[string]string{}
	for _, name := range sortedKeys(headers) {
		path, key := join(at, name), textproto.CanonicalMIMEHeaderKey(name)
		switch first, twice := seen[key]; {
		case !isToken(name):
			c.fault(path, fmt.Sprintf("%q cannot be a header's name", name), "write a name such as x-app")
		case twice:
			c.fault(path, fmt.Sprintf("the same header as %s", first), "keep one of them")
		case headers[name] == "":
			c.fault(path, "an empty value", `write the value, or a glob such as "*" for any`)
		}
		c.pattern(path, headers[name])
		seen[key] = name
	}
}

// values checks patterns of cookies or parameters; whose names these are is told in a word.
func (c *checker) values(at, whose string, values map[string]string) {
	for _, name := range sortedKeys(values) {
		path := join(at, name)
		switch {
		case !isToken(name):
			c.fault(path, fmt.Sprintf("%q cannot be a %s name", name, whose), "write a name such as session")
		case values[name] == "":
			c.fault(path, "an empty value", `write the value, or a glob such as "*" for any`)
		}
		c.pattern(path, values[name])
	}
}

func (c *checker) pattern(path, pattern string) {
	if wrong := badPattern(pattern); wrong != "" {
		c.fault(path, wrong, "write a regular expression that RE2 knows after regex:, or a glob")
	}
}

// namesOf returns the names of a list, each once.
func namesOf[T any](list []T, name func(T) string) []string {
	names := make([]string, 0, len(list))
	for _, item := range list {
		if n := name(item); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}
