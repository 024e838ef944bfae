package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/cache"
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/upstream"
	"github.com/warmlane/warmlane/tokenize"
)

const (
	headerSimilarity = "X-Warmlane-Similarity"
	maxEmbedding     = 1 << 20 // bytes of an engine's answer; 8192 numbers take about 170 KB
	maxDims          = 8192
	similarityParts  = 10_000 // to which a similarity is told
)

// recallSimilar answers a request that leads its flight with the answer to a similar one. Whatever goes wrong with that, the request goes
// its way as a miss.
func (x *exchange) recallSimilar(rule *config.CacheRule, q *cache.Question) bool {
	if !rule.Semantic.Used() || x.ep.Family != api.Chat && x.ep.Family != api.Messages || x.view.N > 1 {
		return false
	}
	w := q.Wording()
	if w == nil {
		return false
	}
	began := time.Now()
	vector, err := x.embed(&rule.Semantic, w.Text)
	x.g.metrics.Embedded(rule.Name, embedded(err), time.Since(began))
	if err != nil {
		x.g.log.Debug("no embedding for the answer cache", "request_id", x.rec.ID, "pool", rule.Semantic.Pool, "err", err)
		return false
	}
	a, similarity := q.Similar(context.Background(), vector, time.Now())
	if a == nil {
		return false
	}
	similarity = math.Round(similarity*similarityParts) / similarityParts
	x.recording.Share(a, similarity)
	x.recording = nil
	x.rec.Similarity = similarity
	x.recite(rule.Name, how("hit", similarity), a)
	return true
}

// how is the word for a request that got an answer of before.
func how(equal string, similarity float64) string {
	if similarity > 0 {
		return "similar"
	}
	return equal
}

var (
	errBusy = errors.New("no embedding engine has room")
	errLate = errors.New("the embedding came too late")
)

// embedded is the word for how an embedding ended.
func embedded(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errBusy):
		return "busy"
	case errors.Is(err, errLate):
		return "late"
	}
	return "failed"
}

// embed asks an engine for the vector of a text. It is one attempt that waits for nobody's room and overtakes nobody who waits, stands in no
// report and is charged to no limit.
func (x *exchange) embed(sem *config.Semantic, text string) ([]float32, error) {
	p := x.state.pools[sem.Pool]
	model, now := cmp.Or(sem.Model, p.served()), time.Now()
	prompt := tokenize.Prompt{Tokens: p.tokens.Tokens(len(text))}
	if p.Queue(now).Length > 0 {
		return nil, errBusy
	}
	lease, err := p.Choose(&balancer.Request{Prompt: &prompt, Model: model, Whole: true}, now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBusy, err)
	}
	o := balancer.Outcome{Cause: balancer.Cancelled, PromptTokens: -1, CachedTokens: -1, OutputTokens: -1}
	defer func() {
		lease.End(o, time.Now())
		p.nudge()
	}()
	vector, fail := x.embedAt(p.servers[lease.Endpoint().Index()], model, text, sem.Timeout.Std())
	switch {
	case fail == nil:
		o.Cause = balancer.OK
	case fail.Kind == failure.FirstEventTimeout: // it was in a greater hurry than an engine must be
		err = errLate
	default:
		o.Cause, o.RetryAfter, err = upstream.CauseOf(fail.Kind), fail.RetryAfter, fail
	}
	return vector, err
}

func (x *exchange) embedAt(s *upstream.Server, model, text string, timeout time.Duration) ([]float32, *failure.Error) {
	body, err := json.Marshal(struct {
		Model  string `json:"model"`
		Input  string `json:"input"`
		Format string `json:"encoding_format"`
	}{model, text, "float"})
	if err != nil {
		return nil, failure.New(failure.Internal, "The text cannot be sent.").Because(err)
	}
	a := upstream.NewAttempt(s)
	if !x.hold(a) {
		return nil, failure.New(failure.ClientGone, "The client left.")
	}
	timer := time.AfterFunc(timeout, func() { a.Cancel(failure.FirstEventTimeout) })
	defer timer.Stop()
	if fail := a.Send(&upstream.Request{
		Method: "POST", Path: "/v1/embeddings", Body: [][]byte{body}, First: time.Now().Add(timeout), Between: timeout,
		Header: []byte("Content-Type: application/json\r\nX-Request-Id: " + x.rec.ID + "\r\n"),
	}); fail != nil {
		return nil, fail
	}
	relay := &upstream.Relay{Attempt: a}
	defer relay.Abandon()
	if fail := relay.Refused(); fail != nil {
		return nil, fail
	}
	answer, whole, fail := relay.Whole(maxEmbedding)
	if fail != nil {
		return nil, fail
	}
	vector := readEmbedding(answer)
	if !whole || vector == nil {
		return nil, failure.New(failure.BadAnswer, "The engine's answer is no embedding.")
	}
	return vector, nil
}

// readEmbedding returns the vector in an answer, with length 1; nil when there is none.
func readEmbedding(answer []byte) []float32 {
	var list struct {
		Data []struct {
			Embedding []float32 `json:"embedding"`
		} `json:"data"`
	}
	if json.Unmarshal(answer, &list) != nil || len(list.Data) != 1 {
		return nil
	}
	v, sum := list.Data[0].Embedding, 0.0
	for _, f := range v {
		sum += float64(f) * float64(f)
	}
	if len(v) > maxDims || sum < 1e-12 || math.IsInf(sum, 0) {
		return nil
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / math.Sqrt(sum))
	}
	return v
}
