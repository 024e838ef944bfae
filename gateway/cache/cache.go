// Package cache keeps whole answers and gives them to requests that ask for exactly the same.
//
// The key is everything that an answer depends on: the request's path, its route, its scope (the consumer, the user, or nobody; and the
// content rules that look at the answer) and its whole body, where only the order of members, blanks and the spelling of texts do not
// matter. Any other difference, also in a field that nobody knows, is another question. Answers are kept in memory, or in Redis if there
// is one, where several gateways share them; a Redis in trouble is left alone for a second at a time and costs a request at most 25 ms.
//
// Of equal questions that come while the first is being answered only the first is asked; the others wait for its answer, and if
// it does not come to a good end the next of them is asked. Only complete answers of status 200 that fit are kept, and
// nothing is kept of a request that says no-store.
//
// Where a rule wants it, a question that has no answer of its own may get that to a similar one: see Wording. The texts of two last
// messages are compared by their vectors, which the caller brings; all else of the two questions must be equal, and so must be the numbers,
// negations, names and quotations of both texts. README.md tells what that is worth.
//
// Costs: the digest of a body takes about 1 ns a byte, only where a rule matches.
package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/tokenize"
)

// Answer is what a caller got: the content type and the body, of a stream with all its events.
type Answer struct {
	ContentType string
	Body        []byte
	Stored      time.Time
}

// Key is the digest of a question.
type Key [sha256.Size]byte

// Cache holds the answers. It lives as long as the process; rules come and go with the configuration.
type Cache struct {
	store    store
	wordings index
	remote   bool           // the store is Redis, which nobody waits for that has his answer
	keeping  sync.WaitGroup // answers on their way there

	mu      sync.Mutex // guards flights
	flights map[Key]*Flight
}

// store is where answers are.
type store interface {
	get(ctx context.Context, rule string, k Key, now time.Time) (*Answer, bool)
	put(ctx context.Context, rule string, k Key, a *Answer, ttl time.Duration, now time.Time)
	drop(ctx context.Context, rule string) (int, error) // of all rules when ""
	close()
}

// Options make a cache.
type Options struct {
	Memory  int64        // bytes that answers may take in memory, when there is no Redis
	Vectors int64        // bytes that vectors may take in memory, when there is no Redis with vector sets
	Redis   config.Redis // not enabled = memory
	Log     *slog.Logger
}

// New makes an empty cache.
func New(o Options) (*Cache, error) {
	here := newWordings(o.Vectors)
	c := &Cache{flights: map[Key]*Flight{}}
	if !o.Redis.Enabled() {
		c.store, c.wordings = newMemory(o.Memory), here
		return c, nil
	}
	shared, err := openRedis(&o.Redis, o.Log)
	if err != nil {
		return nil, err
	}
	c.store, c.wordings, c.remote = shared, &vectorSets{shared: shared, here: here}, true
	return c, nil
}

// Close ends the connections.
func (c *Cache) Close() {
	c.keeping.Wait()
	c.store.close()
}

// errAway says that the limits wait for Redis in vain.
var errAway = errors.New("the limits found it away")

// RedisAway leaves Redis alone for a second, because another user of it has waited in vain: a request waits once at most.
func (c *Cache) RedisAway() {
	if s, ok := c.store.(*shared); ok {
		s.rest(errAway)
	}
}

// Drop forgets all answers of a rule, or of all rules when it is "", and returns how many those were.
func (c *Cache) Drop(ctx context.Context, rule string) (int, error) {
	for _, f := range c.landed() {
		<-f.kept
	}
	n, err := c.store.drop(ctx, rule)
	return n, errors.Join(err, c.wordings.drop(ctx, rule))
}

// landed are the flights whose answers are on their way to the store.
func (c *Cache) landed() (flights []*Flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.flights {
		if f.Landed() {
			flights = append(flights, f)
		}
	}
	return flights
}

// Question is a request that a rule covers.
type Question struct {
	cache *Cache
	rule  *config.CacheRule
	key   Key

	about   []byte // what the question is about beside its body
	body    []byte // until its wording is known; nil where similar questions do not count
	wording *Wording
}

// Ask makes a question of a request; nil when its body is no JSON object. What was changed in the body before it goes to an engine may be
// put back into the answer, so that both bodies belong to the question then: the one that is sent first.
func (c *Cache) Ask(rule *config.CacheRule, path, route, scope string, bodies ...[]byte) *Question {
	q := &Question{cache: c, rule: rule, about: join(make([]byte, 0, 256), rule.Name, path, route, scope)}
	parts := q.about
	for _, body := range bodies {
		sum, ok := tokenize.Digest(body, rule.Ignore...)
		if !ok {
			return nil
		}
		parts = append(parts, sum[:]...)
	}
	q.key = sha256.Sum256(parts)
	if rule.Semantic.Used() && len(bodies) == 1 {
		q.body = bodies[0]
	}
	return q
}

// join appends parts, none of which can be taken for a piece of another.
func join(dst []byte, parts ...string) []byte {
	for _, part := range parts {
		dst = append(binary.BigEndian.AppendUint64(dst, uint64(len(part))), part...)
	}
	return dst
}

// Name is the rule's.
func (q *Question) Name() string { return q.rule.Name }

// Longest is the size up to which an answer is kept, in bytes.
func (q *Question) Longest() int { return int(q.rule.MaxAnswer) }

// Answer looks for the answer.
func (q *Question) Answer(ctx context.Context, now time.Time) (*Answer, bool) {
	return q.cache.store.get(ctx, q.rule.Name, q.key, now)
}

// Flight is a question that is being answered.
type Flight struct {
	question *Question
	done     chan struct{}
	kept     chan struct{} // closed when it has left

	// Once done:

	answer     *Answer // nil when nothing good came
	long       bool    // the answer was too long to be kept
	similarity float64 // of the question that the answer belongs to; 0: it is this one
}

// Board returns the flight of the question, and whether the caller leads it: then its recording must be ended. Others wait for Done.
func (q *Question) Board() (f *Flight, leads bool) {
	q.cache.mu.Lock()
	defer q.cache.mu.Unlock()
	if f = q.cache.flights[q.key]; f != nil {
		return f, false
	}
	f = &Flight{question: q, done: make(chan struct{}), kept: make(chan struct{})}
	q.cache.flights[q.key] = f
	return f, true
}

// Done is closed when the flight has landed.
func (f *Flight) Done() <-chan struct{} { return f.done }

// Landed says whether the flight is over: who finds it then finds its answer, which is not in the store yet.
func (f *Flight) Landed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// Kept is closed when the answer is in the store, or cannot be.
func (f *Flight) Kept() <-chan struct{} { return f.kept }

// TooLong tells that the answer was good but is not kept for its length, so that waiting for the next one is of no use.
func (f *Flight) TooLong() bool { return f.long }

// Answer is what the flight brought, nil for nothing that others could use.
func (f *Flight) Answer() *Answer { return f.answer }

// Similarity is how similar the question is that the answer belongs to, 0 for the flight's own.
func (f *Flight) Similarity() float64 { return f.similarity }

// land ends a flight; a is nil when nothing good came. Until the answer is in the store the flight can still be found, so that nobody
// asks in between.
func (f *Flight) land(a *Answer, long bool) {
	if a == nil {
		f.end(nil, long)
		return
	}
	f.answer = a
	c := f.question.cache
	if !c.remote {
		f.keep()
		close(f.done)
		return
	}
	close(f.done)
	c.keeping.Go(f.keep)
}

// keep stores the answer.
func (f *Flight) keep() {
	q, a := f.question, f.answer
	q.cache.store.put(context.Background(), q.rule.Name, q.key, a, time.Duration(q.rule.TTL), a.Stored)
	if w := q.wording; w != nil && w.vector != nil {
		q.cache.wordings.add(context.Background(), w, a.Stored)
	}
	f.leave()
}

// end lets those go on that wait for a flight whose answer is not kept.
func (f *Flight) end(a *Answer, long bool) {
	f.leave()
	f.answer, f.long = a, long
	close(f.done)
}

func (f *Flight) leave() {
	q := f.question
	q.cache.mu.Lock()
	delete(q.cache.flights, q.key)
	q.cache.mu.Unlock()
	close(f.kept)
}

func (k Key) String() string { return hex.EncodeToString(k[:]) }
