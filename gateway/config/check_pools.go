package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/warmlane/warmlane/balancer/policies"
	"github.com/warmlane/warmlane/scraper/engines"
)

// genericEngine is the engine name whose metric names the file gives.
const genericEngine = "generic"

func (c *checker) pools(pools []Pool) {
	if len(pools) == 0 && len(c.cfg.Providers) == 0 {
		c.fault("pools", "nothing to send requests to", "define a pool: pools: [{name: llama3, endpoints: [\"http://10.0.0.1:8000\"]}]")
	}
	c.names("pools", len(pools), func(i int) string { return pools[i].Name })
	for i := range pools {
		c.pool(fmt.Sprintf("pools[%d]", i), &pools[i])
	}
}

func (c *checker) pool(at string, p *Pool) {
	c.oneOf(at+".engine", p.Engine, engines.Names())
	c.policy(at+".policy", &p.Policy)
	c.nonEmpty(at+".models", p.Models)
	if !p.Auth.isDefault() && p.APIKey.Empty() && !c.broken[at+".api_key"] {
		c.fault(at+".auth", "there is no api_key to send", "add api_key or remove auth")
	}
	c.endpoints(at+".endpoints", p.Endpoints)
	c.clientTLS(at+".tls", p)
	c.ranks(at+".endpoints", p.Engine, p.Endpoints)
	c.session(at+".session", &p.Session)
	c.health(at+".health", &p.Health)
	c.queue(at+".queue", &p.Queue)
	c.hedge(at+".hedge", p)
	c.timeouts(at+".timeouts", &p.Timeouts)
	c.metrics(at+".metrics", p.Engine, &p.Metrics)
	if p.KVTokens < 1 {
		c.fault(at+".kv_tokens", "must be at least 1", "write how many prompt tokens an endpoint's cache holds, such as 250000")
	}
}

func (c *checker) health(at string, h *Health) {
	c.path(at+".path", h.Path)
	c.positive(at+".interval", h.Interval)
	c.positive(at+".timeout", h.Timeout)
	c.ejection(at, h.EjectAfter, h.EjectFor, h.EjectMax)
}

// ejection checks when an endpoint or a provider is taken out, and for how long.
func (c *checker) ejection(at string, after int, first, longest Duration) {
	c.positive(at+".eject_for", first)
	if after < 1 {
		c.fault(at+".eject_after", "must be at least 1", "write how many failures eject it, such as 3")
	}
	if longest < first {
		c.fault(at+".eject_max", "is shorter than eject_for", "write the longest time out, such as 1m")
	}
}

// longestQueue bounds the requests that wait in one pool: a change of place moves those behind it.
const longestQueue = 10_000

func (c *checker) queue(at string, q *Queue) {
	if q.Max < 0 || q.Max > longestQueue {
		c.fault(at+".max", fmt.Sprintf("must be 0 to %d", longestQueue), "write how many requests may wait, such as 1000, or 0 to let none wait")
	}
	c.positive(at+".wait", q.Wait)
	if q.Late > 0 && q.Max == 0 {
		c.fault(at+".late", "a late start makes nobody wait while max is 0", "write how many requests may wait, or remove late")
	}
	if q.Shed > q.Wait {
		c.fault(at+".shed", "is longer than wait", "write a shorter time such as 500ms, or remove it")
	}
}

// mostHedged bounds the share of requests that are sent twice: engines are dear, and beyond it a late first event is no exception.
const mostHedged = 0.05

func (c *checker) hedge(at string, p *Pool) {
	if !(p.Hedge >= 0 && p.Hedge <= mostHedged) {
		c.fault(at, fmt.Sprintf("must be 0 to %v", mostHedged), "write the share of requests that may be sent twice, such as 0.02, or 0 for none")
		return
	}
	ranks := 0
	for _, e := range p.Endpoints {
		ranks += e.DataParallel
	}
	if p.Hedge > 0 && ranks == 1 {
		c.fault(at, "there is no second endpoint to send a request to", "add an endpoint, or remove hedge")
	}
}

func (c *checker) metrics(at, engine string, m *Metrics) {
	if m.Path != "" {
		c.path(at+".path", m.Path)
	}
	if m.Port < 0 || m.Port > 65535 {
		c.fault(at+".port", fmt.Sprintf("%d is not a port", m.Port), "write 1 to 65535, or leave the key out for the endpoint's own")
	}
	c.positive(at+".interval", m.Interval)
	if len(m.Names) == 0 {
		return
	}
	if engine != genericEngine {
		c.fault(at+".names", fmt.Sprintf("engine %q has metric names of its own", engine), "write engine: generic, or remove names")
		return
	}
	if _, err := engines.Generic(m.Names); err != nil {
		c.fault(at+".names", err.Error(), "write SIGNAL: METRIC, such as running: my_engine_requests_running")
	}
}

// policy lets the policy itself judge its parameters.
func (c *checker) policy(at string, p *Policy) {
	known := policies.Names()
	if !slices.Contains(known, p.Name) {
		c.fault(at+".name", fmt.Sprintf("there is no policy %q", p.Name), suggest(p.Name, known, "write one of "))
		return
	}
	if _, err := policies.New(p.Name, p.Params); err != nil {
		c.fault(at, err.Error(), "see balancer/policies/README.md for the parameters")
	}
}

func (c *checker) endpoints(at string, endpoints []Endpoint) {
	if len(endpoints) == 0 {
		c.fault(at, "a pool needs at least one endpoint", "list the URLs of its replicas")
	}
	seen := map[string]int{}
	for i, e := range endpoints {
		path := fmt.Sprintf("%s[%d]", at, i)
		c.endpointURL(path+".url", e.URL)
		if first, twice := seen[e.URL]; twice && e.URL != "" {
			c.fault(path+".url", fmt.Sprintf("the same URL as %s[%d]", at, first), "list every endpoint once")
		} else {
			seen[e.URL] = i
		}
		if e.MaxConcurrency < 0 {
			c.fault(path+".max_concurrency", "must not be negative", "write the most requests in flight, or 0 for no cap")
		}
		if e.Weight <= 0 {
			c.fault(path+".weight", "must be greater than 0", "write a share such as 1 or 0.5; to take an endpoint out of use, drain it or remove it")
		}
	}
}

// mostRanks bounds the ranks of one URL.
const mostRanks = 1024

// ranks checks the data-parallel ranks of endpoints: every one of them is an endpoint for the balancer.
func (c *checker) ranks(at, engine string, endpoints []Endpoint) {
	for i, e := range endpoints {
		path := fmt.Sprintf("%s[%d].data_parallel", at, i)
		switch {
		case e.DataParallel < 1 || e.DataParallel > mostRanks:
			c.fault(path, fmt.Sprintf("must be 1 to %d", mostRanks), "write the engine's --data-parallel-size, or 1 for one endpoint")
		case e.DataParallel > 1 && slices.Contains(engines.Names(), engine) && !engines.Ranked(engine):
			c.fault(path, fmt.Sprintf("engine %q lets nobody choose a data-parallel rank", engine), "remove it; vllm and sglang can")
		}
	}
}

// longestBonus is the most that warm takes.
const longestBonus = Duration(time.Minute)

func (c *checker) session(at string, s *Session) {
	for i, name := range s.Headers {
		path := fmt.Sprintf("%s.headers[%d]", at, i)
		switch {
		case !isToken(name):
			c.fault(path, fmt.Sprintf("%q is not a header's name", name), "write a name such as x-session-id")
		case slices.ContainsFunc(s.Headers[:i], func(other string) bool { return strings.EqualFold(other, name) }):
			c.fault(path, fmt.Sprintf("%q is here a second time", name), "remove it")
		}
	}
	if s.Bonus > longestBonus {
		c.fault(at+".bonus", "must be at most "+longestBonus.String(), "write what a change of endpoint may cost, such as 50ms")
	}
}

func (c *checker) endpointURL(path, text string) {
	u := c.url(path, text)
	if u != nil && (u.Path == "/v1" || strings.HasSuffix(u.Path, "/v1")) {
		c.fault(path, fmt.Sprintf("%q ends with /v1", text), "leave /v1 out: the path of the request is appended to the URL")
	}
}

// url checks an http or https URL of host, optional port and optional path. A URL with a password in it is not quoted.
func (c *checker) url(path, text string) *url.URL {
	if text == "" {
		c.fault(path, "the URL is missing", "write a URL such as http://10.0.0.1:8000")
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		c.fault(path, "the URL cannot be read", "write a URL such as http://10.0.0.1:8000")
	case u.User != nil:
		c.fault(path, "a user or password in the URL", "use api_key and auth, or keys, and leave it out of the URL")
	case u.Scheme != "http" && u.Scheme != "https":
		c.fault(path, fmt.Sprintf("%q does not begin with http:// or https://", text), "write a URL such as http://10.0.0.1:8000")
	case u.Hostname() == "" || !validPort(u):
		c.fault(path, fmt.Sprintf("%q has no usable host or port", text), "write a URL such as http://10.0.0.1:8000")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#"):
		c.fault(path, fmt.Sprintf("%q has a query or fragment", text), "leave out everything from ? or #")
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		c.fault(path, fmt.Sprintf("%q has blanks or signs that a URL must encode", text), "encode them as %XX")
	default:
		return u
	}
	return nil
}

// validPort reports whether u has no port or one that can be dialled.
func validPort(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	return len(port) <= 5 && port != "0" && (len(port) < 5 || port <= "65535")
}

// path checks a path below an endpoint's base path.
func (c *checker) path(at, text string) {
	if !strings.HasPrefix(text, "/") || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		c.fault(at, fmt.Sprintf("%q is not a path", text), "write a path such as /health")
	}
}

func (c *checker) timeouts(at string, t *Timeouts) {
	c.positive(at+".connect", t.Connect)
	c.positive(at+".first_event", t.FirstEvent)
	c.positive(at+".answer", t.Answer)
	c.positive(at+".between_events", t.BetweenEvents)
}

// keys checks a list of credentials without showing one.
func (c *checker) keys(at string, keys []Secret) {
	if len(keys) == 0 {
		c.fault(at, "at least one key is needed", `list it as "${env:NAME}" or "${file:PATH}"`)
	}
	for i, key := range keys {
		path := fmt.Sprintf("%s[%d]", at, i)
		if key.Empty() {
			c.fault(path, "an empty key", "give it a value or remove it")
		} else if slices.Index(keys, key) < i {
			c.fault(path, "the same key is here a second time", "remove it")
		}
	}
}

func (a Auth) isDefault() bool { return a == Auth{} }
