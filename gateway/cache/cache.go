// Package cache keeps whole answers and gives them to requests that ask for exactly the same.
//
// The key is everything that an answer depends on: the request's path, its route, its scope (the consumer, the user, or nobody)
// and its whole body in a canonical form, where only the order of members, blanks and the spelling of texts do not matter. Any other
// difference, also in a field that nobody knows, is another question. Answers are kept in memory, or in Redis if there is one, where
// several gateways share them; a Redis in trouble is left alone for a second at a time and costs a request at most 25 ms.
//
// Of equal questions that come while the first is being answered only the first is asked; the others wait for its answer, and if
// it does not come to a good end the next of them is asked. Only complete answers of status 200 that fit are kept, and
// nothing is kept of a request that says no-store.
//
// Costs: reading a body into its canonical form takes about 15 ns a byte, only where a rule matches.
package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
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
	store store

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
	Memory int64        // bytes that answers may take in memory, when there is no Redis
	Redis  config.Redis // not enabled = memory
	Log    *slog.Logger
}

// New makes an empty cache.
func New(o Options) (*Cache, error) {
	c := &Cache{flights: map[Key]*Flight{}}
	if !o.Redis.Enabled() {
		c.store = newMemory(o.Memory)
		return c, nil
	}
	shared, err := openRedis(&o.Redis, o.Log)
	if err != nil {
		return nil, err
	}
	c.store = shared
	return c, nil
}

// Close ends the connections.
func (c *Cache) Close() { c.store.close() }

// Drop forgets all answers of a rule, or of all rules when it is "", and returns how many those were.
func (c *Cache) Drop(ctx context.Context, rule string) (int, error) { return c.store.drop(ctx, rule) }

// Question is a request that a rule covers.
type Question struct {
	cache *Cache
	rule  *config.CacheRule
	key   Key
}

// Ask makes a question of a request; nil when its body is no JSON object. What was changed in the body before it goes to an engine may be
// put back into the answer, so that both bodies belong to the question then: the one that is sent first.
func (c *Cache) Ask(rule *config.CacheRule, path, route, scope string, bodies ...[]byte) *Question {
	parts := [][]byte{[]byte(rule.Name), []byte(path), []byte(route), []byte(scope)}
	for _, body := range bodies {
		canonical, ok := canonicalBody(body, rule.Ignore)
		if !ok {
			return nil
		}
		parts = append(parts, canonical)
	}
	h := sha256.New()
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		_, _ = h.Write(length[:])
		_, _ = h.Write(part)
	}
	q := &Question{cache: c, rule: rule}
	h.Sum(q.key[:0])
	return q
}

// canonicalBody brings a JSON object into one form: members in order, no blanks, one spelling of texts. Numbers stay as they are
// written.
func canonicalBody(body []byte, ignore []string) ([]byte, bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var members map[string]any
	if d.Decode(&members) != nil || members == nil {
		return nil, false
	}
	for _, name := range ignore {
		delete(members, name)
	}
	text, err := json.Marshal(members)
	return text, err == nil
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
	answer   *Answer // once done; nil when nothing good came
	long     bool    // once done; the answer was too long to be kept
}

// Board returns the flight of the question, and whether the caller leads it: then its recording must be ended. Others wait for Done.
func (q *Question) Board() (f *Flight, leads bool) {
	q.cache.mu.Lock()
	defer q.cache.mu.Unlock()
	if f = q.cache.flights[q.key]; f != nil {
		return f, false
	}
	f = &Flight{question: q, done: make(chan struct{})}
	q.cache.flights[q.key] = f
	return f, true
}

// Done is closed when the flight has landed.
func (f *Flight) Done() <-chan struct{} { return f.done }

// TooLong tells that the answer was good but is not kept for its length, so that waiting for the next one is of no use.
func (f *Flight) TooLong() bool { return f.long }

// Answer is what the flight brought, nil for nothing that others could use.
func (f *Flight) Answer() *Answer { return f.answer }

// land ends a flight; a is nil when nothing good came. The answer is stored first, so that nobody asks in between.
func (f *Flight) land(a *Answer, long bool) {
	q := f.question
	if a != nil {
		q.cache.store.put(context.Background(), q.rule.Name, q.key, a, time.Duration(q.rule.TTL), a.Stored)
	}
	q.cache.mu.Lock()
	delete(q.cache.flights, q.key)
	q.cache.mu.Unlock()
	f.answer, f.long = a, long
	close(f.done)
}

func (k Key) String() string { return hex.EncodeToString(k[:]) }
