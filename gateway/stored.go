package gateway

import (
	"sync"
	"time"

	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
)

const (
	// storedFor is how long a response id is remembered.
	storedFor = time.Hour
	// maxStored bounds the response ids remembered; the oldest go first.
	maxStored = 100_000
	// longestNamed is how many bytes of a user and a model's name are kept with one; 400 MB in all, if callers want it so.
	longestNamed = 4 << 10
)

// origins remembers which endpoint holds which stored response: engines keep them in the memory of one replica.
type origins struct {
	mu    sync.Mutex // guards the fields below
	known map[string]origin
	order []string // ids by age, oldest first
}

type origin struct {
	pool, url    string
	consumer     string
	user, app    string // as the request that made it named them
	model, route string
	until        time.Time
}

func newOrigins() *origins { return &origins{known: map[string]origin{}} }

func (o *origins) put(id string, from origin) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, again := o.known[id]; !again {
		o.order = append(o.order, id)
	}
	o.known[id] = from
	now := from.until.Add(-storedFor)
	for len(o.order) > 0 && (len(o.order) > maxStored || o.known[o.order[0]].until.Before(now)) {
		delete(o.known, o.order[0])
		o.order = o.order[1:]
	}
}

func (o *origins) get(id string, now time.Time) (origin, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	from, ok := o.known[id]
	return from, ok && now.Before(from.until)
}

// remember notes where the response with this id is kept.
func (x *exchange) remember(id string) {
	user := x.user()
	if x.pool == nil || len(user)+len(x.view.Model) > longestNamed {
		return
	}
	x.g.origins.put(id, origin{
		pool: x.pool.Name(), url: x.rec.Endpoint, consumer: x.consumer.Name, until: time.Now().Add(storedFor),
		user: user, app: x.app, model: x.view.Model, route: x.route.Name,
	})
}

// held is the endpoint of p that keeps the response which this request continues, "" if it continues none that is known.
func (x *exchange) held(p *pool) string {
	if x.view.PreviousResponse == "" {
		return ""
	}
	from, ok := x.g.origins.get(x.view.PreviousResponse, time.Now())
	if !ok || from.pool != p.Name() || from.consumer != x.consumer.Name {
		return ""
	}
	return from.url
}

// serveStored passes a request about a stored response to the endpoint that holds it.
func (x *exchange) serveStored() *failure.Error {
	from, ok := x.g.origins.get(x.ep.ID, time.Now())
	if !ok || from.consumer != x.consumer.Name {
		return failure.New(failure.ResponseNotFound,
			"This response is unknown: it was made more than an hour ago, elsewhere, or not stored.")
	}
	x.app, x.rec.App, x.rec.Route = from.app, from.app, from.route
	q := limit.Query{Subject: x.subject(from.model)}
	q.User = from.user
	if fail := x.reserve(&q); fail != nil {
		return fail
	}
	p := x.state.pools[from.pool]
	if p == nil {
		return lostResponse()
	}
	server := p.serverAt(from.url)
	if server == nil {
		return lostResponse()
	}
	x.pool, x.rec.Pool, x.rec.Endpoint = p, p.Name(), from.url
	x.lane = x.g.metrics.Lane("", p.Name())
	x.watchClient()
	fail := x.tryServer(server, x.ep.Path, nil, p.cfg.Timeouts)
	if fail == nil {
		x.guard = x.state.guard.For(&q.Subject)
		if fail = x.guardOutput(); fail != nil {
			return fail
		}
		x.commit()
		return nil
	}
	if fail.Kind == failure.ConnectFailed {
		return lostResponse().Because(fail)
	}
	return fail
}

func lostResponse() *failure.Error {
	return failure.New(failure.ResponseNotFound, "The inference engine that held this response is gone.")
}
