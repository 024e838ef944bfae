package cache

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/warmlane/warmlane/gateway/config"
)

var start = time.Unix(1_800_000_000, 0)

func rule(name string) *config.CacheRule {
	return &config.CacheRule{Name: name, TTL: config.Duration(time.Minute), MaxAnswer: 1 << 10}
}

func inMemory(t testing.TB, most int64) *Cache {
	t.Helper()
	c, err := New(Options{Memory: most})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Cache) fly(t testing.TB, q *Question, text string, now time.Time) {
	t.Helper()
	f, leads := q.Board()
	if !leads {
		t.Fatal("somebody else leads")
	}
	r := f.Record()
	r.Write([]byte(text))
	r.End(true, now)
	<-f.Kept()
}

// slowStore is a store far away: nothing gets there before it is let in.
type slowStore struct {
	store
	letIn chan struct{}
}

func (s *slowStore) put(ctx context.Context, rule string, k Key, a *Answer, ttl time.Duration, now time.Time) {
	<-s.letIn
	s.store.put(ctx, rule, k, a, ttl, now)
}

func farAway(t *testing.T) (c *Cache, letIn func()) {
	t.Helper()
	c = inMemory(t, 1<<20)
	slow := &slowStore{c.store, make(chan struct{})}
	c.store, c.wordings, c.remote = slow, newWordings(1<<20), true
	t.Cleanup(c.Close)
	return c, func() { close(slow.letIn) }
}

// Whoever asks while an answer is on its way to the store finds it, and what is dropped meanwhile does not come back.
func TestFlight_AnswersOnTheirWayToTheStore(t *testing.T) {
	c, letIn := farAway(t)
	q := c.Ask(rule("r"), "/", "", "", []byte(`{}`))
	f, _ := q.Board()
	rec := f.Record()
	rec.Write([]byte("text"))
	rec.End(true, start)
	found, leads := q.Board()
	if leads || !found.Landed() || string(found.Answer().Body) != "text" {
		t.Errorf("while the store takes its time: leads %v, landed %v", leads, found.Landed())
	}
	dropped := make(chan error)
	go func() {
		_, err := c.Drop(context.Background(), "r")
		dropped <- err
	}()
	letIn()
	<-f.Kept()
	if err := <-dropped; err != nil {
		t.Error(err)
	}
	if a, ok := q.Answer(context.Background(), start); ok {
		t.Errorf("dropped, but %q is left", a.Body)
	}
	if _, leads := q.Board(); !leads {
		t.Error("the flight does not leave")
	}
}

// So does a similar question, whose nearest answer may be on its way or there.
func TestFlight_AnswersOnTheirWayAreSimilarToo(t *testing.T) {
	c, letIn := farAway(t)
	r := semantic("r")
	ask := func(text string, angle float64) (*Question, string) {
		q := c.Ask(r, "/", "", "", []byte(`{"messages":[{"role":"user","content":"`+text+`"}]}`))
		q.Wording()
		a, similarity := q.Similar(t.Context(), about(r, 0, 0, angle).vector, start)
		if a == nil {
			return q, ""
		}
		return q, fmt.Sprintf("%s %.3f", a.Body, similarity)
	}
	var flights []*Flight
	for text, angle := range map[string]float64{"red": 0, "blue": 60} {
		q, got := ask(text, angle)
		if got != "" {
			t.Fatalf("%s: %s", text, got)
		}
		f, _ := q.Board()
		rec := f.Record()
		rec.Write([]byte(text))
		rec.End(true, start)
		flights = append(flights, f)
	}
	look := func(when string) {
		t.Helper()
		for angle, want := range map[float64]string{5: "red 0.996", 55: "blue 0.996", 30: ""} {
			if _, got := ask("what", angle); got != want {
				t.Errorf("%s, at %g degrees: %q, want %q", when, angle, got, want)
			}
		}
	}
	look("on their way")
	letIn()
	for _, f := range flights {
		<-f.Kept()
	}
	look("there")
}

func TestMemory_KeepsWhatWasUsedLastWithinItsBytes(t *testing.T) {
	c := inMemory(t, 3*(100+overhead))
	body := func(i int) []byte { return []byte{'{', '"', 'n', '"', ':', byte('0' + i), '}'} }
	questions := make([]*Question, 5)
	for i := range questions {
		questions[i] = c.Ask(rule("r"), "/", "", "", body(i))
		if i == 3 { // the first is used before the fourth comes
			if _, ok := questions[0].Answer(context.Background(), start); !ok {
				t.Fatal("the first answer has gone too early")
			}
		}
		c.fly(t, questions[i], strings.Repeat("x", 100), start)
	}
	for i, want := range []bool{true, false, false, true, true} {
		if _, ok := questions[i].Answer(context.Background(), start); ok != want {
			t.Errorf("answer %d is there: %v, want %v", i, ok, want)
		}
	}
	if m := c.store.(*memory); m.size != 3*(100+overhead) || len(m.byKey) != 3 || m.used.Len() != 3 {
		t.Errorf("%d bytes in %d answers", m.size, len(m.byKey))
	}
	if _, ok := questions[0].Answer(context.Background(), start.Add(time.Minute)); ok {
		t.Error("an answer outlived its time")
	}
	if n, err := c.Drop(context.Background(), "other"); n != 0 || err != nil {
		t.Errorf("dropped %d of another rule, %v", n, err)
	}
	if n, err := c.Drop(context.Background(), ""); n != 2 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
}

func TestFlight_BadEndsLetTheNextLead(t *testing.T) {
	c := inMemory(t, 1<<20)
	q := c.Ask(rule("r"), "/", "", "", []byte(`{}`))
	f, _ := q.Board()
	other, leads := q.Board()
	if leads || other != f {
		t.Fatal("two lead")
	}
	f.Record().End(false, start)
	<-other.Done()
	if other.Answer() != nil || other.TooLong() {
		t.Error("a failed flight brought something")
	}
	f, leads = q.Board()
	if !leads {
		t.Fatal("nobody may ask after a failure")
	}
	r := f.Record()
	r.Write(bytes.Repeat([]byte("x"), 2<<10))
	r.End(true, start)
	if f.Answer() != nil || !f.TooLong() {
		t.Error("a long answer was kept, or not told")
	}
}

func TestRedis_InTroubleIsLeftAlone(t *testing.T) {
	server := miniredis.RunT(t)
	c, err := New(Options{Redis: config.Redis{URL: config.NewSecret("redis://" + server.Addr())}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := c.Ask(rule("a[b]c"), "/", "", "", []byte(`{}`))
	c.fly(t, q, "text", start)
	if a, ok := q.Answer(context.Background(), start); !ok || string(a.Body) != "text" || !a.Stored.Equal(start) {
		t.Fatalf("%+v, %v", a, ok)
	}
	if n, err := c.Drop(context.Background(), "a[b]c"); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	c.RedisAway()
	c.fly(t, q, "text", start)
	if _, ok := q.Answer(context.Background(), start); ok || len(server.Keys()) != 0 {
		t.Error("Redis was asked although others had found it away")
	}
	c.store.(*shared).rests.Store(0)
	server.SetError("LOADING")
	if _, ok := q.Answer(context.Background(), start); ok {
		t.Error("an answer out of trouble")
	}
	server.SetError("")
	c.fly(t, q, "text", start) // not stored: Redis rests
	if len(server.Keys()) != 0 || !c.store.(*shared).resting() {
		t.Errorf("Redis was asked again at once: %v", server.Keys())
	}
}

func BenchmarkAsk(b *testing.B) {
	c := inMemory(b, 1<<20)
	body := []byte(`{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("some text of a prompt ", 1500) + `"}],"temperature":0.1}`)
	r := rule("r")
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if c.Ask(r, "/v1/chat/completions", "m", "dify", body) == nil {
			b.Fatal("no question")
		}
	}
}

// TestRedis_IsNamedAsForLimits: further nodes and Sentinel stand in the URL's query, which go-redis itself does not read.
func TestRedis_IsNamedAsForLimits(t *testing.T) {
	for _, url := range []string{"redis://127.0.0.1:1?addr=127.0.0.1:2", "redis://127.0.0.1:1?master_name=dify&sentinel_password=x"} {
		for _, cluster := range []bool{false, true} {
			c, err := New(Options{Redis: config.Redis{URL: config.NewSecret(url), Cluster: cluster}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Errorf("%s, cluster %v: %v", url, cluster, err)
				continue
			}
			c.Close()
		}
	}
}
