package cache

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
)

// about is a wording of one partition whose vector has that angle, in degrees.
func about(r *config.CacheRule, partition byte, n int, angle float64) *Wording {
	sin, cos := math.Sincos(angle * math.Pi / 180)
	w := &Wording{rule: r, partition: Key{partition}, vector: []float32{float32(cos), float32(sin)}}
	binary.BigEndian.PutUint64(w.answer[:], uint64(n))
	return w
}

func semantic(name string) *config.CacheRule {
	r := rule(name)
	r.Semantic = config.Semantic{Pool: "embed", Threshold: 0.95, MaxText: 100, MaxEntries: 10}
	return r
}

// numbers are those of the answers that are near.
func numbers(near []neighbour) string {
	text := ""
	for _, n := range near {
		text += fmt.Sprintf("%d:%.3f ", binary.BigEndian.Uint64(n.answer[:]), n.similarity)
	}
	return text
}

func TestWordings_NearestFirstAndOnlyTheNear(t *testing.T) {
	ctx, r := context.Background(), semantic("r")
	m := newWordings(1 << 20)
	for i, angle := range []float64{0, 10, 18, 19, 90, 180, 5, 8, 9} {
		m.add(ctx, about(r, 1, i, angle), start)
	}
	m.add(ctx, about(r, 2, 99, 0), start)
	if got := numbers(m.near(ctx, about(r, 1, 0, 1), start)); got != "0:1.000 6:0.998 7:0.993 8:0.990 " {
		t.Errorf("near are %s", got)
	}
	if got := numbers(m.near(ctx, about(r, 1, 0, 36), start)); got != "3:0.956 2:0.951 " {
		t.Errorf("near 36 degrees are %s", got)
	}
	if got := numbers(m.near(ctx, about(r, 3, 0, 0), start)); got != "" {
		t.Errorf("in a partition that nobody has used: %s", got)
	}
	if got := numbers(m.near(ctx, about(r, 1, 0, 0), start.Add(time.Minute))); got != "" {
		t.Errorf("after their time: %s", got)
	}
	other := about(r, 1, 0, 0)
	other.vector = []float32{1, 0, 0}
	if got := numbers(m.near(ctx, other, start)); got != "" {
		t.Errorf("of another length: %s", got)
	}
	m.add(ctx, other, start)
	if got := numbers(m.near(ctx, other, start)); got != "0:1.000 " || len(m.parts[Key{1}].rows) != 1 {
		t.Errorf("after a new length came: %s", got)
	}
}

func TestWordings_StayWithinTheirBounds(t *testing.T) {
	ctx, r := context.Background(), semantic("r")
	m := newWordings(5 * sizeOf(2))
	for i := range 4 {
		m.add(ctx, about(r, byte(i), i, 0), start)
	}
	m.near(ctx, about(r, 0, 0, 0), start) // used
	m.add(ctx, about(r, 0, 0, 0), start)  // again: it replaces itself
	m.add(ctx, about(r, 8, 8, 0), start)
	m.add(ctx, about(r, 9, 9, 0), start)
	for part, want := range map[byte]bool{0: true, 1: false, 2: true, 3: true, 8: true, 9: true} {
		if got := m.parts[Key{part}] != nil; got != want {
			t.Errorf("partition %d is there: %v", part, got)
		}
	}
	if m.size != 5*sizeOf(2) || m.used.Len() != 5 {
		t.Errorf("%d bytes in %d wordings", m.size, m.used.Len())
	}

	r.Semantic.MaxEntries = 3
	m = newWordings(1 << 20)
	for i := range 5 {
		m.add(ctx, about(r, 1, i, 0), start.Add(time.Duration(i)*time.Second))
	}
	if rows := m.parts[Key{1}].rows; len(rows) != 3 || m.find(Key{1}, about(r, 1, 1, 0).answer) != nil || m.find(Key{1}, about(r, 1, 2, 0).answer) == nil {
		t.Errorf("%d wordings in one partition, or not the latest", len(rows))
	}
	if m = newWordings(1); m.near(ctx, about(r, 1, 1, 0), start) != nil {
		t.Error("something is near in nothing")
	}
	m.add(ctx, about(r, 1, 1, 0), start)
	if m.size != 0 || len(m.parts) != 0 {
		t.Errorf("%d bytes where there is no room", m.size)
	}
}

// Against a plain list: whatever comes and goes, every row keeps its own vector.
func TestWordings_RowsKeepTheirVectors(t *testing.T) {
	ctx, r := context.Background(), semantic("r")
	r.Semantic.MaxEntries = 1000
	random := rand.New(rand.NewPCG(1, 2))
	m, plain := newWordings(1<<20), map[int]float64{}
	for range 5000 {
		n := random.IntN(60)
		if random.IntN(3) == 0 {
			m.forget(ctx, about(r, 1, 0, 0), about(r, 1, n, 0).answer)
			delete(plain, n)
		} else {
			plain[n] = random.Float64() * 360
			m.add(ctx, about(r, 1, n, plain[n]), start)
		}
		angle := random.Float64() * 360
		want, best := -1, 0.95
		for n, a := range plain {
			if c := math.Cos((a - angle) * math.Pi / 180); c > best {
				want, best = n, c
			}
		}
		got := m.near(ctx, about(r, 1, 0, angle), start)
		if (want < 0) != (len(got) == 0) || want >= 0 && math.Abs(got[0].similarity-best) > 1e-5 {
			t.Fatalf("near %g: %s, want %d:%g", angle, numbers(got), want, best)
		}
	}
	if m.used.Len() != len(plain) {
		t.Errorf("%d wordings, want %d", m.used.Len(), len(plain))
	}
	if err := m.drop(ctx, "other"); err != nil || m.used.Len() != len(plain) {
		t.Errorf("after another rule's were dropped %d are left, %v", m.used.Len(), err)
	}
	if err := m.drop(ctx, "r"); err != nil || m.size != 0 || len(m.parts) != 0 {
		t.Errorf("after all were dropped %d bytes are left, %v", m.size, err)
	}
}

// What may be said in other words, and that nothing else is left out of the partition.
func TestWording_OfWhichRequests(t *testing.T) {
	c, r := inMemory(t, 1<<20), semantic("r")
	wording := func(body string, scope string) *Wording {
		return c.Ask(r, "/v1/chat/completions", "m", scope, []byte(body)).Wording()
	}
	one := wording(`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"how are you"}]}`, "a")
	if one == nil || one.Text != "how are you" {
		t.Fatalf("%+v", one)
	}
	for what, same := range map[string]string{
		"other words":  `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"how do you do"}],"model":"m"}`,
		"no tools":     `{"model":"m","messages":[{"role":"system","content":"s"},{"content":"how","role":"user"}]}`,
		"other blanks": `{"model":"m", "messages":[{"role":"system","content":"s"}, {"role":"user","content":"hows it"}]}`,
	} {
		if w := wording(same, "a"); w == nil || w.partition != one.partition {
			t.Errorf("%s: another partition", what)
		}
	}
	for what, other := range map[string]string{
		"the system prompt":  `{"model":"m","messages":[{"role":"system","content":"t"},{"role":"user","content":"how are you"}]}`,
		"an earlier turn":    `{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"x"},{"role":"assistant","content":"y"},{"role":"user","content":"how are you"}]}`,
		"a setting":          `{"model":"m","temperature":0,"messages":[{"role":"system","content":"s"},{"role":"user","content":"how are you"}]}`,
		"the user":           `{"model":"m","user":"u","messages":[{"role":"system","content":"s"},{"role":"user","content":"how are you"}]}`,
		"a part of the text": `{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"how are you"}]}]}`,
		"the writer's name":  `{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","name":"n","content":"how are you"}]}`,
		"a number":           `{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"how are you 2"}]}`,
	} {
		if w := wording(other, "a"); w == nil || w.partition == one.partition {
			t.Errorf("%s makes no difference: %+v", what, w)
		}
	}
	if w := wording(`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"how are you"}]}`, "b"); w.partition == one.partition {
		t.Error("the scope makes no difference")
	}
	for what, body := range map[string]string{
		"tools":           `{"tools":[{"type":"function"}],"messages":[{"role":"user","content":"how"}]}`,
		"odd tools":       `{"tools":"x","messages":[{"role":"user","content":"how"}]}`,
		"functions":       `{"functions":[{}],"messages":[{"role":"user","content":"how"}]}`,
		"a tool's result": `{"messages":[{"role":"user","content":"how"},{"role":"tool","content":"x"}]}`,
		"an image":        `{"messages":[{"role":"user","content":[{"type":"text","text":"what is it"},{"type":"image_url","image_url":{"url":"data:"}}]}]}`,
		"only an image":   `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`,
		"a part of null":  `{"messages":[{"role":"user","content":[null]}]}`,
		"no text":         `{"messages":[{"role":"user","content":""}]}`,
		"no content":      `{"messages":[{"role":"user"}]}`,
		"no message":      `{"messages":[]}`,
		"odd messages":    `{"messages":[3]}`,
		"a prompt":        `{"prompt":"how"}`,
		"a long text":     `{"messages":[{"role":"user","content":"` + fmt.Sprintf("%0101d", 0) + `"}]}`,
	} {
		if w := wording(body, "a"); w != nil {
			t.Errorf("%s: is compared: %+v", what, w)
		}
	}
	plain := []byte(`{"messages":[{"role":"user","content":"how"}]}`)
	if c.Ask(rule("r"), "/", "", "", plain).Wording() != nil || c.Ask(r, "/", "", "", plain, plain).Wording() != nil {
		t.Error("compared although the rule says nothing of it, or although content rules have changed the text")
	}
}

// FuzzWording: no body breaks it, and what it takes for the text is the only difference to another text in its place.
func FuzzWording(f *testing.F) {
	for _, body := range []string{
		`{"messages":[{"role":"user","content":"how"}]}`, `{"messages":[{"role":"user","content":[{"type":"text","text":"how"}]}],"tools":[]}`,
		`{"messages":[null,[],{"role":"user","content":[[]]}]}`, `{"messages":{"role":"user"},"functions":{}}`,
	} {
		f.Add([]byte(body))
	}
	c, r := inMemory(f, 1<<20), semantic("r")
	f.Fuzz(func(t *testing.T, body []byte) {
		q := c.Ask(r, "/", "", "", body)
		if q == nil {
			return
		}
		w := q.Wording()
		if w == nil {
			return
		}
		if w.Text == "" || len(w.Text) > int(r.Semantic.MaxText) || w != q.Wording() {
			t.Fatalf("%s: %+v", body, w)
		}
		if again := c.Ask(r, "/", "", "", body).Wording(); again == nil || again.partition != w.partition {
			t.Fatalf("%s: not the same again", body)
		}
		if other := c.Ask(r, "/", "", "other", body).Wording(); other.partition == w.partition {
			t.Fatalf("%s: the scope makes no difference", body)
		}
	})
}

func BenchmarkNear(b *testing.B) {
	for _, n := range []int{1, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			const dims = 1024
			r, random := semantic("r"), rand.New(rand.NewPCG(1, 2))
			r.Semantic.MaxEntries = n
			vector := func() []float32 {
				v, sum := make([]float32, dims), 0.0
				for i := range v {
					v[i] = float32(random.NormFloat64())
					sum += float64(v[i]) * float64(v[i])
				}
				for i := range v {
					v[i] /= float32(math.Sqrt(sum))
				}
				return v
			}
			m, w := newWordings(1<<30), about(r, 1, 0, 0)
			p := &partition{dims: dims}
			m.parts[w.partition] = p
			for range n { // without add, which looks whether the answer is there
				p.vectors, p.rows = append(p.vectors, vector()...), append(p.rows, &worded{until: start.Add(time.Hour)})
			}
			w.vector = vector()
			for b.Loop() {
				m.near(context.Background(), w, start)
			}
		})
	}
}

// What partitions have grown to is given back when they shrink: the bound is on memory, not on entries.
func TestWordings_ShrunkenPartitionsGiveMemoryBack(t *testing.T) {
	ctx, r := context.Background(), semantic("r")
	const most = 100 << 10
	m := newWordings(most)
	add := func(part byte, n int) {
		w := about(r, part, n, 0)
		w.vector = make([]float32, 1000)
		m.add(ctx, w, start)
	}
	for part := range byte(20) {
		for n := range 10 {
			add(part, n)
			for old := range part { // one of each that came before is used again and again
				m.touch(Key{old}, about(r, old, 0, 0).answer)
			}
		}
	}
	held := 0
	for _, p := range m.parts {
		held += 4 * cap(p.vectors)
	}
	if held > 2*most {
		t.Errorf("%d bytes are held by %d partitions, %d are counted, %d allowed", held, len(m.parts), m.size, most)
	}
}
