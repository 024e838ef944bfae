package cache

import (
	"cmp"
	"context"
	"encoding/binary"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/redistest"
)

// vectors are the commands of Redis 8 that are used here, over plain lists.
type vectors struct {
	mu   sync.Mutex
	sets map[string]map[string][]float64
}

func fakeVectorSets(t *testing.T) string {
	t.Helper()
	r, v := miniredis.RunT(t), &vectors{sets: map[string]map[string][]float64{}}
	for name, run := range map[string]server.Cmd{"VADD": v.add, "VSIM": v.sim, "VCARD": v.card, "VREM": v.rem, "VRANDMEMBER": v.any} {
		if err := r.Server().Register(name, func(c *server.Peer, cmd string, args []string) {
			v.mu.Lock()
			defer v.mu.Unlock()
			run(c, cmd, args)
		}); err != nil {
			t.Fatal(err)
		}
	}
	return "redis://" + r.Addr()
}

func decode(raw string) []float64 {
	var v []float64
	for i := 0; i+4 <= len(raw); i += 4 {
		v = append(v, float64(math.Float32frombits(binary.LittleEndian.Uint32([]byte(raw[i:])))))
	}
	return v
}

func (v *vectors) add(c *server.Peer, _ string, args []string) { // key FP32 vector element NOQUANT
	if v.sets[args[0]] == nil {
		v.sets[args[0]] = map[string][]float64{}
	}
	v.sets[args[0]][args[3]] = decode(args[2])
	c.WriteInt(1)
}

func (v *vectors) sim(c *server.Peer, _ string, args []string) { // key FP32 vector WITHSCORES COUNT n
	type scored struct {
		name  string
		score float64
	}
	var all []scored
	for name, x := range v.sets[args[0]] {
		dot := 0.0
		for i, y := range decode(args[2]) {
			dot += x[i] * y
		}
		all = append(all, scored{name, (1 + dot) / 2})
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	n, _ := strconv.Atoi(args[5])
	all = all[:min(n, len(all))]
	c.WriteMapLen(len(all))
	for _, s := range all {
		c.WriteBulk(s.name)
		c.WriteFloat(s.score)
	}
}

func (v *vectors) card(c *server.Peer, _ string, args []string) { c.WriteInt(len(v.sets[args[0]])) }

func (v *vectors) rem(c *server.Peer, _ string, args []string) {
	delete(v.sets[args[0]], args[1])
	c.WriteInt(1)
}

func (v *vectors) any(c *server.Peer, _ string, args []string) {
	for name := range v.sets[args[0]] {
		c.WriteBulk(name)
		return
	}
	c.WriteNull()
}

// realVectorSets starts a redis-server of version 8 or later: WARMLANE_REDIS8 names its program, if it is not redis-server.
func realVectorSets(t *testing.T) string {
	t.Helper()
	program := cmp.Or(os.Getenv("WARMLANE_REDIS8"), "redis-server")
	if major := versionOf(t, program); major < 8 {
		t.Skipf("no redis-server of version 8 or later, this one is of %d", major)
	}
	return redistest.StartProgram(t, program).URL
}

// versionOf is the major version of a redis-server, 0 where there is none.
func versionOf(t *testing.T, program string) int {
	t.Helper()
	told, err := exec.CommandContext(t.Context(), program, "--version").Output()
	if err != nil {
		return 0
	}
	_, version, _ := strings.Cut(string(told), "v=")
	major, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(major)
	return n
}

// inRedis is the cache of one of several gateways.
func inRedis(t *testing.T, url string) *Cache {
	t.Helper()
	c, err := New(Options{Redis: config.Redis{URL: config.NewSecret(url)}, Vectors: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A Redis without vector sets keeps the answers, and each gateway finds similar questions among those that it has brought itself.
func TestVectorSets_OlderRedisKeepsTheAnswers(t *testing.T) {
	if major := versionOf(t, "redis-server"); major == 0 || major >= 8 {
		t.Skipf("no redis-server before version 8, this one is of %d", major)
	}
	url := redistest.Start(t).URL
	a, b, r := inRedis(t, url), inRedis(t, url), semantic("r")
	question := func(c *Cache, text string) *Question {
		q := c.Ask(r, "/", "", "", []byte(`{"messages":[{"role":"user","content":"`+text+`"}]}`))
		q.Wording()
		return q
	}
	red := question(a, "red")
	f, _ := red.Board()
	if got, _ := red.Similar(t.Context(), about(r, 0, 0, 0).vector, time.Now()); got != nil {
		t.Fatalf("there is an answer: %s", got.Body)
	}
	rec := f.Record()
	rec.Write([]byte("red"))
	rec.End(true, time.Now())
	<-f.Kept()
	if got, near := question(a, "what").Similar(t.Context(), about(r, 0, 0, 10).vector, time.Now()); got == nil || string(got.Body) != "red" {
		t.Errorf("the gateway that brought it finds %v, %g near", got, near)
	}
	if got, _ := question(b, "what").Similar(t.Context(), about(r, 0, 0, 10).vector, time.Now()); got != nil {
		t.Errorf("another gateway finds %s", got.Body)
	}
	if got, ok := question(b, "red").Answer(t.Context(), time.Now()); !ok {
		t.Errorf("the answer is not in Redis: %v", got)
	}
	if !a.wordings.(*vectorSets).lacking() {
		t.Error("it is asked for vector sets again")
	}
}

// Two gateways share what they know of similar questions where Redis has vector sets.
func TestVectorSets_AreSharedAndForgotten(t *testing.T) {
	for name, open := range map[string]func(*testing.T) string{"in the test": fakeVectorSets, "redis 8": realVectorSets} {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			a, b, r := inRedis(t, url), inRedis(t, url), semantic("r[1]")
			tell := func(c *Cache, text string, angle float64) {
				t.Helper()
				q := c.Ask(r, "/", "", "", []byte(`{"messages":[{"role":"user","content":"`+text+`"}]}`))
				f, _ := q.Board()
				q.Wording()
				if got, _ := q.Similar(t.Context(), about(r, 0, 0, angle).vector, time.Now()); got != nil {
					t.Errorf("%s: there is an answer: %s", text, got.Body)
				}
				rec := f.Record()
				rec.Write([]byte(text))
				rec.End(true, time.Now())
				<-f.Kept()
			}
			ask := func(c *Cache, angle float64, want string, similarity float64) {
				t.Helper()
				q := c.Ask(r, "/", "", "", []byte(`{"messages":[{"role":"user","content":"what"}]}`))
				q.Wording()
				got, near := q.Similar(t.Context(), about(r, 0, 0, angle).vector, time.Now())
				if (got == nil) != (want == "") || got != nil && string(got.Body) != want || math.Abs(near-similarity) > 1e-4 {
					t.Errorf("at %g degrees %v is %g near, want %q, %g", angle, got, near, want, similarity)
				}
			}
			tell(a, "red", 0)
			tell(b, "blue", 60)
			ask(b, 10, "red", math.Cos(10*math.Pi/180))
			ask(a, 50, "blue", math.Cos(10*math.Pi/180))
			ask(a, 30, "", 0)
			if a.wordings.(*vectorSets).lacking() {
				t.Fatal("no vector sets")
			}

			red := a.Ask(r, "/", "", "", []byte(`{"messages":[{"role":"user","content":"red"}]}`))
			client := a.store.(*shared).client
			if err := client.Del(t.Context(), nameOf(r.Name, red.key)).Err(); err != nil {
				t.Fatal(err)
			}
			set := a.wordings.(*vectorSets).name(&Wording{rule: r, partition: red.Wording().partition, vector: []float32{1, 0}})
			ask(b, 10, "", 0) // its answer has gone, and so it goes
			if n, err := client.VCard(t.Context(), set).Result(); n != 1 || err != nil {
				t.Errorf("%d wordings are left, %v", n, err)
			}
			for i := range 12 {
				tell(a, strings.Repeat("x", i+1), 100+20*float64(i))
			}
			if n, err := client.VCard(t.Context(), set).Result(); n > int64(r.Semantic.MaxEntries) || err != nil {
				t.Errorf("%d wordings, at most %d are wanted, %v", n, r.Semantic.MaxEntries, err)
			}
			if _, err := b.Drop(context.Background(), r.Name); err != nil {
				t.Fatal(err)
			}
			ask(a, 60, "", 0)
			if keys, err := client.Keys(t.Context(), "*").Result(); len(keys) != 0 || err != nil {
				t.Errorf("left in Redis: %v, %v", keys, err)
			}
		})
	}
}
