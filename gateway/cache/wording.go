package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"time"

	"gonum.org/v1/gonum/blas/blas32"

	"github.com/warmlane/warmlane/gateway/config"
)

// Wording is what in a question may be said in other words: the text of the last message. All else of the question, and the text's marks,
// are the partition: only questions of one partition are compared.
type Wording struct {
	Text      string
	rule      *config.CacheRule
	partition Key
	answer    Key       // of the question as it stands
	vector    []float32 // of length 1; nil while it is not known
}

// index is where wordings are, by the vectors of their texts.
type index interface {
	// near returns the keys of answers to wordings of the partition that are at least as similar as the rule wants, the most similar first.
	near(ctx context.Context, w *Wording, now time.Time) []neighbour
	add(ctx context.Context, w *Wording, now time.Time)
	forget(ctx context.Context, w *Wording, answer Key)
	drop(ctx context.Context, rule string) error
}

// neighbour is an answer to a similar question.
type neighbour struct {
	answer     Key
	similarity float64 // cosine of the angle between the vectors
}

// mostNear is how many similar wordings are tried: the answers of the nearest may have gone.
const mostNear = 4

// Wording returns what may be said in other words, nil where the question can only be compared as a whole: when its rule says nothing of
// similar questions, content rules have changed it, its last message is not a plain and short text of the user, or tools may be called.
func (q *Question) Wording() *Wording {
	if q.wording != nil || q.body == nil {
		return q.wording
	}
	var members map[string]any
	d := json.NewDecoder(bytes.NewReader(q.body))
	d.UseNumber()
	q.body = nil
	if d.Decode(&members) != nil {
		return nil
	}
	for _, ignored := range q.rule.Ignore {
		delete(members, ignored)
	}
	for _, name := range []string{"tools", "functions"} {
		if list, isList := members[name].([]any); members[name] != nil && (!isList || len(list) > 0) {
			return nil
		}
	}
	messages, _ := members["messages"].([]any)
	if len(messages) == 0 {
		return nil
	}
	last, _ := messages[len(messages)-1].(map[string]any)
	holder, name := last, "content"
	if parts, _ := last["content"].([]any); len(parts) == 1 {
		holder, _ = parts[0].(map[string]any)
		if name = "text"; holder["type"] != "text" {
			return nil
		}
	}
	text, _ := holder[name].(string)
	if last["role"] != "user" || text == "" || len(text) > int(q.rule.Semantic.MaxText) {
		return nil
	}
	holder[name] = nil
	rest, err := json.Marshal(members)
	if err != nil {
		return nil
	}
	s := &q.rule.Semantic
	q.wording = &Wording{
		Text: text, rule: q.rule, answer: q.key,
		partition: sha256.Sum256(append(join(q.about, "wording", s.Pool, s.Model, marks(text)), rest...)),
	}
	return q.wording
}

// Similar looks for the answer to the most similar question, once the vector of the wording's text is known: of length 1. If none is there,
// the question's own answer will be found by it.
func (q *Question) Similar(ctx context.Context, vector []float32, now time.Time) (a *Answer, similarity float64) {
	w, c := q.wording, q.cache
	w.vector = vector
	a, similarity = c.similarLanded(w)
	for _, n := range c.wordings.near(ctx, w, now) {
		if n.similarity <= similarity {
			break
		}
		if stored, found := c.store.get(ctx, q.rule.Name, n.answer, now); found {
			return stored, n.similarity
		}
		c.wordings.forget(ctx, w, n.answer)
	}
	return a, similarity
}

// similarLanded looks among the answers that are on their way to the store.
func (c *Cache) similarLanded(w *Wording) (a *Answer, similarity float64) {
	for _, f := range c.landed() {
		other := f.question.wording
		if other == nil || other.partition != w.partition || len(other.vector) != len(w.vector) {
			continue
		}
		if s := min(cosine(w.vector, other.vector), 1); s >= w.rule.Semantic.Threshold && s > similarity {
			a, similarity = f.answer, s
		}
	}
	return a, similarity
}

func cosine(a, b []float32) float64 {
	v := func(data []float32) blas32.Vector { return blas32.Vector{N: len(data), Inc: 1, Data: data} }
	return float64(blas32.Dot(v(a), v(b)))
}
