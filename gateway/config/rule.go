package config

import "net/netip"

// Route sends the requests that it matches to its targets. The first route that matches wins.
type Route struct {
	Name       string     `yaml:"name"`        // for limits, metrics and logs; default route-N, counted from 1
	Models     []string   `yaml:"models"`      // globs of model names; none = every model
	Match      Match      `yaml:"match"`       // further conditions
	Targets    []Target   `yaml:"targets"`     // in order, at least one; those with a weight share the first place
	Sticky     string     `yaml:"sticky"`      // what keeps choosing the same one of the weighted targets: session, user, consumer or none
	FallbackOn []FailedBy `yaml:"fallback_on"` // failures before the first event that pass a request on to the next target
}

// Target is a pool or a provider; exactly one of the two.
type Target struct {
	Pool     string `yaml:"pool"`
	Provider string `yaml:"provider"`
	Model    string `yaml:"model"` // name sent there; "" = a pool's served_model, else the caller's

	Weight     float64  `yaml:"weight"`      // share of the requests that come here first; 0 = comes after those with a weight
	FirstEvent Duration `yaml:"first_event"` // bound on a stream's first event, in place of the pool's or provider's; 0 = theirs
	Answer     Duration `yaml:"answer"`      // bound on an answer in one piece, in place of the pool's or provider's; 0 = theirs
	Context    int      `yaml:"context"`     // most tokens of prompt and answer together; 0 = what the pool's engines tell, else unknown
}

// Limit bounds what may be done in a time. All limits that match apply.
type Limit struct {
	Name  string `yaml:"name"`
	Match Match  `yaml:"match"`  // which requests count; empty = all
	By    []By   `yaml:"by,one"` // one bucket for each combination of these; none = one bucket for all

	Requests     []Rate  `yaml:"requests,one"`      // every rate has its own bucket
	Tokens       []Rate  `yaml:"tokens,one"`        // of prompt and answer together
	InputTokens  []Rate  `yaml:"input_tokens,one"`  // of the prompt
	OutputTokens []Rate  `yaml:"output_tokens,one"` // of the answer
	Concurrency  int     `yaml:"concurrency"`       // requests at a time; 0 = no bound
	Cost         []Spend `yaml:"cost,one"`          // in the currency of prices

	Zone      string `yaml:"zone"`       // whose midnights begin days and months, such as Asia/Shanghai
	Reserve   string `yaml:"reserve"`    // expected or strict: how much of an answer is set aside before it is there
	MaxOutput int    `yaml:"max_output"` // tokens that strict allows a request which names no bound
	RedisDown string `yaml:"redis_down"` // allow or refuse
	Cached    string `yaml:"cached"`     // what a request counts that the answer cache answered: requests or nothing
	Enforce   bool   `yaml:"enforce"`    // false: count refusals only
	Status    int    `yaml:"status"`     // of refusals
	Message   string `yaml:"message"`    // of refusals, {limit} and {wait} are filled in; "" = made from the limit
}

// The words of Limit.Reserve, Limit.RedisDown and Limit.Cached.
const (
	ReserveExpected = "expected"
	ReserveStrict   = "strict"
	RedisAllow      = "allow"
	RedisRefuse     = "refuse"
	CachedRequests  = "requests" // it counts as a request, and no token and no cost
	CachedNothing   = "nothing"
)

// Prices tell what tokens cost.
type Prices struct {
	Currency string  `yaml:"currency"` // as it is shown to callers, such as CNY
	Models   []Price `yaml:"models"`   // the first that names a model counts; a model that none names costs nothing
}

// Price is what a million tokens of a model cost.
type Price struct {
	Models []string `yaml:"models"` // globs of models that callers ask for
	Input  float64  `yaml:"input"`  // of the prompt
	Cached float64  `yaml:"cached"` // of the prompt where it came from a cache; 0 = as input
	Output float64  `yaml:"output"` // of the answer
}

// Match is the vocabulary of conditions, the same everywhere. Every condition that is given must hold;
// within a list one entry suffices. Globs know * (any text) and ? (one character); a pattern is a glob, or regex:EXPRESSION.
type Match struct {
	Models    []string          `yaml:"models"`    // patterns of the model that the caller asks for, without @ and app
	Consumers []string          `yaml:"consumers"` // patterns of consumers' names
	Users     []string          `yaml:"users"`     // patterns of the user: a token's, else the request's own word
	Apps      []string          `yaml:"apps"`      // patterns of the calling app
	Routes    []string          `yaml:"routes"`    // patterns of routes' names; not within routes
	IPs       []netip.Prefix    `yaml:"ips"`       // networks of the client's address
	Path      string            `yaml:"path"`      // pattern of the request's path
	Headers   map[string]string `yaml:"headers"`   // canonical name -> pattern of its value; a missing header never matches
	Query     map[string]string `yaml:"query"`     // name -> pattern of the parameter's value; a missing one never matches
	Cookies   map[string]string `yaml:"cookies"`   // name -> pattern of its value; a missing cookie never matches
}

// ByKind names what separates the buckets of a limit.
type ByKind uint8

// What can separate buckets.
const (
	ByConsumer ByKind = iota // the consumer's name
	ByUser                   // the user field of the request
	ByModel                  // the model that the caller asks for
	ByRoute                  // the route's name
	ByIP                     // the client's address
	ByApp                    // the calling app
	ByHeader                 // the value of a header
	ByQuery                  // the value of a parameter in the query
	ByCookie                 // the value of a cookie
)

// By is one dimension of a limit's buckets.
type By struct {
	Kind ByKind
	Name string // of the header (canonical), parameter or cookie
}

// FailedBy is a class of failures that fallback_on can name; from 400 on it is the one status that an engine or provider answered with.
type FailedBy uint16

// The classes of failures, all of them before the first event.
const (
	FailedConnect FailedBy = iota + 1 // no endpoint to connect to, or the connection was lost
	FailedTimeout                     // no first event in time
	Failed429                         // a refusal for lack of capacity
	Failed5xx                         // an error of the engine
	FailedQueue                       // no place in the pool's queue, or none in time
	FailedContext                     // the prompt is too long for the target
)
