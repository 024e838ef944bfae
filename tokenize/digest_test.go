package tokenize_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/tokenize"
)

func TestDigest_TellsMeaningsApart(t *testing.T) {
	same := [][]string{
		{`{"a":1,"b":"x"}`, ` { "b" : "\u0078" , "a" : 1 } `, `{"a":2,"b":"x","a":1}`, `{"skip":[1],"b":"x","a":1}`},
		{`{"a":{"c":[1,{"d":null,"e":true}]}}`, `{"a":{"c":[1,{"e":true,"d":null}]}}`},
		{`{"a":{"skip":1}}`},
		{`{}`, `{"skip":{"a":1}}`},
		{`{"a":"1"}`},
		{`{"a":1}`},
		{`{"a":1.0}`},
		{`{"a":[1]}`},
		{`{"a":[[1]]}`},
		{`{"a":[1,2]}`},
		{`{"a":[2,1]}`},
		{`{"a":[12]}`},
		{`{"a":["1","2"]}`},
		{`{"a":["12",""]}`},
		{`{"a":[]}`},
		{`{"a":{}}`},
		{`{"a":null}`},
		{`{"a":false}`},
		{`{"a":"null"}`},
		{`{"ab":""}`},
		{`{"a":"b"}`},
		{`{"":"ab"}`},
	}
	seen := map[[32]byte]int{}
	for group, texts := range same {
		for _, text := range texts {
			sum, ok := tokenize.Digest([]byte(text), "skip")
			if !ok {
				t.Errorf("%s has no digest", text)
			}
			if was, is := seen[sum]; is && was != group {
				t.Errorf("%s has the digest of %s", text, same[was][0])
			}
			if text != texts[0] && seen[sum] != group {
				t.Errorf("%s has another digest than %s", text, texts[0])
			}
			seen[sum] = group
		}
	}
	if len(seen) != len(same) {
		t.Errorf("%d digests of %d meanings", len(seen), len(same))
	}
	for _, text := range []string{"", "1", "[]", "{", `{"a"}`, `{"a":1,}`, `{"a":[1,]}`, `{"a":1}x`, strings.Repeat(`{"a":`, 600) + "1" + strings.Repeat("}", 600)} {
		if _, ok := tokenize.Digest([]byte(text)); ok {
			t.Errorf("%.40s has a digest", text)
		}
	}
}

// FuzzDigest holds digests against encoding/json: two texts have one digest exactly if they decode to the same.
func FuzzDigest(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[{"c":"d"}],"e":1.50}`), []byte(`{"b":[{"c":"d"}],"a":1,"e":1.50}`), uint64(1))
	f.Add([]byte(`{"a":"\u0041","a":2}`), []byte(`{"a":2}`), uint64(2))
	f.Fuzz(func(t *testing.T, one, other []byte, seed uint64) {
		form, isObject := decoded(one)
		sum, ok := tokenize.Digest(one)
		if ok != isObject {
			t.Fatalf("%q: a digest %v, an object %v", one, ok, isObject)
		}
		if !ok {
			return
		}
		if again, _ := tokenize.Digest(shuffled(t, form, seed)); again != sum {
			t.Fatalf("%q in another order has another digest", one)
		}
		if form2, isObject := decoded(other); isObject {
			if sum2, _ := tokenize.Digest(other); (sum2 == sum) != bytes.Equal(form2, form) {
				t.Fatalf("%q and %q have one digest: %v", one, other, sum2 == sum)
			}
		}
	})
}

// decoded is a JSON object in the one form of encoding/json.
func decoded(text []byte) (form []byte, isObject bool) {
	if tokenize.Validate(text, tokenize.MaxDepth) != nil {
		return nil, false
	}
	var members map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&members) != nil || members == nil {
		return nil, false
	}
	form, err := json.Marshal(members)
	return form, err == nil
}

// shuffled is an object with its members in another order and with blanks.
func shuffled(t *testing.T, form []byte, seed uint64) []byte {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(form, &members); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var b bytes.Buffer
	for i, name := range names {
		key, _ := json.Marshal(name)
		b.WriteString(map[bool]string{true: "{ ", false: " ,\n"}[i == 0])
		b.Write(append(append(key, " : "...), members[name]...))
	}
	if len(names) == 0 {
		b.WriteString("{")
	}
	b.WriteString("}")
	return b.Bytes()
}

func BenchmarkDigest(b *testing.B) {
	body := []byte(`{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("some text of a prompt ", 1500) + `"}],"temperature":0.1}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := tokenize.Digest(body); !ok {
			b.Fatal("no digest")
		}
	}
}
