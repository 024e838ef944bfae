package gateway_test

import (
	"cmp"
	"fmt"
	"testing"
)

// call is what a request says of itself.
type call struct{ model, query, user, from string }

func (r *rig) call(c call) int {
	r.t.Helper()
	body := fmt.Sprintf(`{"model":%q,"user":%q,"messages":[]}`, cmp.Or(c.model, "m"), c.user)
	return r.post(chat+c.query, body, "X-Forwarded-For", cmp.Or(c.from, "203.0.113.1")).status
}

// A limit sees of a request whatever a condition can name, and counts each value alone where it is told to.
func TestMatch_LimitsSeeTheWholeRequest(t *testing.T) {
	u, _ := counting(t, good)
	for name, c := range map[string]struct {
		limit         string
		counted, free call // free is not counted, or has a bucket of its own
	}{
		"users":    {`match: {users: ["u-*"]}`, call{user: "u-1"}, call{user: "v"}},
		"apps":     {`match: {apps: ["regex:^shop"]}`, call{model: "m@shop-1"}, call{model: "m@support"}},
		"models":   {`match: {models: ["regex:^m$"]}`, call{model: "m@shop-1"}, call{model: "other"}},
		"routes":   {`match: {routes: [special]}`, call{query: "?special=1"}, call{}},
		"ips":      {`match: {ips: [192.0.2.0/24]}`, call{from: "192.0.2.7"}, call{from: "198.51.100.1"}},
		"query":    {`match: {query: {tenant: "a*"}}`, call{query: "?tenant=ab"}, call{query: "?tenant=b"}},
		"by user":  {`by: user`, call{user: "a"}, call{user: "b"}},
		"by app":   {`by: app`, call{model: "m@a"}, call{model: "m@b"}},
		"by route": {`by: route`, call{query: "?special=1"}, call{}},
		"by ip":    {`by: ip`, call{from: "192.0.2.7"}, call{from: "192.0.2.8"}},
		"by query": {`by: "query:tenant"`, call{query: "?tenant=a"}, call{query: "?tenant=b"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, fmt.Sprintf(`
server: {lame_duck: 0s, drain: 2s, trusted_proxies: [127.0.0.1]}
pools: [{name: m, endpoints: ENGINES, models: [other]}]
routes: [{name: special, match: {query: {special: "1"}}, targets: [{pool: m}]}]
limits: [{name: l, %s, requests: 1/day}]
`, c.limit), u)
			got := [3]int{r.call(c.counted), r.call(c.counted), r.call(c.free)}
			if got != [3]int{200, 429, 200} {
				t.Errorf("answered %v, want 200, 429 and, to the other, 200", got)
			}
		})
	}
}

// Routes are chosen by the same conditions, but for what only a route can tell.
func TestMatch_RoutesAreChosenByIt(t *testing.T) {
	u, _ := counting(t, good)
	r := newRig(t, `
server: {lame_duck: 0s, drain: 2s, trusted_proxies: [127.0.0.1]}
pools: [{name: m, endpoints: ENGINES}]
routes:
  - {name: user, match: {users: [u]}, targets: [{pool: m}]}
  - {name: app, match: {apps: [a]}, targets: [{pool: m}]}
  - {name: ip, match: {ips: [192.0.2.7]}, targets: [{pool: m}]}
  - {name: query, match: {query: {q: "regex:."}}, targets: [{pool: m}]}
`, u)
	for want, c := range map[string]call{
		"user": {user: "u"}, "app": {model: "m@a"}, "ip": {from: "192.0.2.7"}, "query": {query: "?q=1"}, "m": {query: "?q="},
	} {
		if status := r.call(c); status != 200 || r.lastLine()["route"] != want {
			t.Errorf("%+v: status %d, access line %v", c, status, r.lastLine())
		}
	}
}
