package gateway

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/cache"
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/console"
	"github.com/warmlane/warmlane/gateway/failure"
)

const (
	headerCache  = "X-Warmlane-Cache"
	dropPatience = 30 * time.Second
)

// openAnswers makes the answer cache, or goes on with the old one where nothing about it has changed.
func (g *Gateway) openAnswers(cfg *config.Config, old *state) (*cache.Cache, error) {
	o := g.answerOptions(cfg)
	if old.answers != nil && o == g.answerOptions(old.cfg) {
		return old.answers, nil
	}
	return cache.New(o)
}

// answerOptions are those of the answer cache. Without rules nothing connects to Redis.
func (g *Gateway) answerOptions(cfg *config.Config) cache.Options {
	o := cache.Options{Memory: int64(cfg.Server.CacheMemory), Vectors: int64(cfg.Server.CacheVectors), Log: g.log}
	if len(cfg.Cache) > 0 {
		o.Redis = cfg.Redis
	}
	return o
}

// recall answers a request from the cache, or by the answer to an equal one that is under way. If neither is there, and a rule covers the
// request, what the engine says to it will be recorded.
func (x *exchange) recall() (answered bool, fail *failure.Error) {
	rule := x.cacheRule()
	if rule == nil {
		return false, nil
	}
	wants := x.ctx.Request.Header.Peek(fasthttp.HeaderCacheControl)
	if bytes.Contains(wants, []byte("no-store")) {
		x.recalled(rule.Name, "bypass")
		return false, nil
	}
	bodies := [][]byte{x.body}
	if came := x.ctx.PostBody(); &came[0] != &x.body[0] { // content rules have changed it
		bodies = append(bodies, came)
	}
	if r := x.state.redis; r != nil && !r.Up() {
		x.state.answers.RedisAway()
	}
	q := x.state.answers.Ask(rule, x.rec.Path, x.route.Name, x.scope(rule), bodies...)
	if q == nil {
		return false, nil
	}
	fresh := bytes.Contains(wants, []byte("no-cache"))
	for {
		if a, found := q.Answer(context.Background(), time.Now()); found && !fresh {
			x.recite(q.Name(), "hit", a)
			return true, nil
		}
		flight, leads := q.Board()
		if leads {
			x.recording = flight.Record()
			if !fresh && x.recallSimilar(rule, q) {
				return true, nil
			}
			x.recalled(q.Name(), "miss")
			return false, nil
		}
		word, landed := "join", flight.Landed()
		if landed {
			word = "hit"
		}
		if fresh && landed { // what this one will bring replaces its answer
			<-flight.Kept()
			continue
		}
		if fresh {
			x.recalled(q.Name(), "bypass")
			return false, nil
		}
		select {
		case <-flight.Done():
		case <-x.park():
			return false, failure.New(x.cancelled(), "The request was cancelled.")
		}
		if a := flight.Answer(); a != nil {
			x.rec.Similarity = flight.Similarity()
			x.recite(q.Name(), how(word, x.rec.Similarity), a)
			return true, nil
		}
		if flight.TooLong() { // nobody would gain by asking one after the other
			x.recalled(q.Name(), "miss")
			return false, nil
		}
	}
}

// cacheRule is the first rule that covers the request, nil if there is none or nothing of the kind can be kept.
func (x *exchange) cacheRule() *config.CacheRule {
	if len(x.state.cfg.Cache) == 0 || !keepable(x.ep.Family) {
		return nil
	}
	s := x.subject(x.view.Model)
	for i := range x.state.cfg.Cache {
		if r := &x.state.cfg.Cache[i]; r.Match.Covers(&s) {
			return r
		}
	}
	return nil
}

// keepable says whether equal requests of the family have equal answers. Responses have names that later requests refer to.
func keepable(f api.Family) bool {
	switch f {
	case api.Chat, api.Completions, api.Messages, api.Embeddings, api.Rerank, api.Score, api.Classify, api.Pooling:
		return true
	}
	return false
}

// scope is who shares the answer: those of the rule's scope whose answers the same content rules look at. No name has a zero byte.
func (x *exchange) scope(rule *config.CacheRule) string {
	looked := strings.Join(x.guard.OutputRules(), ",") + "\x00"
	switch rule.Scope {
	case "user":
		return looked + x.consumer.Name + "\x00" + x.user()
	case "consumer":
		return looked + x.consumer.Name
	}
	return looked
}

// recite sends an answer of before.
func (x *exchange) recite(rule, how string, a *cache.Answer) {
	x.recalled(rule, how)
	x.recited, x.usage = true, api.Usage{} // no engine has done anything
	out := &x.ctx.Response
	out.SetStatusCode(fasthttp.StatusOK)
	out.Header.SetContentType(a.ContentType)
	out.Header.Set("Age", strconv.Itoa(max(0, int(time.Since(a.Stored).Seconds()))))
	out.SetBodyRaw(a.Body)
	x.stamp()
	x.rec.Status = fasthttp.StatusOK
	x.rec.BytesOut = int64(len(a.Body))
	x.end(nil)
}

// recalled notes what became of a request that a rule covers.
func (x *exchange) recalled(rule, how string) {
	x.rec.Cache = how
	x.g.metrics.Recalled(rule, how)
}

// keepAnswer ends the recording of an answer, when there is one.
func (x *exchange) keepAnswer(complete bool, now time.Time) {
	if x.recording != nil {
		x.recording.End(complete && x.rec.Status == fasthttp.StatusOK, now)
		x.recording = nil
	}
}

// dropAnswers forgets the answers of one rule, or of all.
func (g *Gateway) dropAnswers(c *console.Call) (any, *failure.Error) {
	ctx, cancel := context.WithTimeout(context.Background(), dropPatience)
	defer cancel()
	n, err := g.state.Load().answers.Drop(ctx, c.Param("rule"))
	if err != nil {
		return nil, failure.New(failure.Internal, "Redis did not forget all answers. Please try again.").Because(err)
	}
	return map[string]int{"dropped": n}, nil
}
