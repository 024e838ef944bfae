package workload

import (
	"bytes"
	"compress/gzip"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warmlane/warmlane/gateway/observe"
	"github.com/warmlane/warmlane/tokenize"
)

const (
	mooncakeText = `{"timestamp": 0, "input_length": 700, "output_length": 20, "hash_ids": [0, 1]}
{"timestamp": 1500, "input_length": 1100, "output_length": 0, "hash_ids": [0, 1, 7]}
`
	azureText = `TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
`
	ownText = `{"timestamp":0,"model":"m","input_length":130,"output_length":9,"hash_ids":[0,1],"ttft_ms":41.234,"total_ms":900,"endpoint":"http://a:1","cached_tokens":64,"input_bytes":520,"family":"chat","stream":true,"session":0}
{"timestamp":40,"model":"m","input_length":10,"output_length":0,"hash_ids":[],"total_ms":0,"input_bytes":40,"family":"chat","stream":true,"failure":"saturated"}
`
)

func mustParse(t *testing.T, text string) []TraceRequest {
	t.Helper()
	all, err := ParseTrace("trace", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestParseTrace_Mooncake(t *testing.T) {
	want := []TraceRequest{
		{Input: 700, Output: 20, Blocks: []uint64{0, 1}, BlockTokens: 512, Cached: -1, Session: -1},
		{At: 1500 * time.Millisecond, Input: 1100, Blocks: []uint64{0, 1, 7}, BlockTokens: 512, Cached: -1, Session: -1},
	}
	if got := mustParse(t, mooncakeText); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestParseTrace_Azure(t *testing.T) {
	want := []TraceRequest{
		{Input: 374, Output: 44, Cached: -1, Session: -1},
		{At: 4314579 * time.Microsecond, Input: 396, Output: 109, Cached: -1, Session: -1},
	}
	if got := mustParse(t, azureText); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	ofNextYear := "GeneratedTokens,other,TIMESTAMP,ContextTokens\n44,x,2024-05-10 00:00:00.0090+00:00,374\n109,x,2024-05-10 02:00:04.323579+02:00,396\n"
	if got := mustParse(t, ofNextYear); !reflect.DeepEqual(got, want) {
		t.Errorf("with zones and columns in another order: got %+v", got)
	}
	excerpt, err := ReadTrace("testdata/azure-excerpt.csv")
	if err != nil || len(excerpt) != 39 || !reflect.DeepEqual(excerpt[:2], want) {
		t.Errorf("the excerpt has %d requests, %v", len(excerpt), err)
	}
}

// What the gateway writes, in the order of the requests' ends, is what is read, in the order of their arrival.
func TestParseTrace_WhatTheGatewayWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		f, err := observe.OpenTrace(observe.TraceConfig{Path: path, Log: slog.New(slog.DiscardHandler)}, observe.NewMetrics(prometheus.NewRegistry()))
		if err != nil {
			t.Fatal(err)
		}
		r := observe.NewRecord(from.Add(1250*time.Millisecond), "id")
		r.Model, r.Endpoint, r.Stream = "llama3", "http://a:1", true
		r.PromptTokens, r.CachedTokens, r.OutputTokens = 256, 128, 300
		r.TTFT, r.Total = 41234*time.Microsecond, 3*time.Second
		f.Write(&r, &tokenize.Prompt{Bytes: 1024, Tokens: 200, Blocks: []uint64{7 << 60, 9 << 60, 5, 6}}, "a conversation", 0)

		refused := observe.NewRecord(from.Add(time.Second), "id")
		refused.Model, refused.Failure = "llama3", "saturated"
		f.Write(&refused, &tokenize.Prompt{Bytes: 600, Tokens: 150, Blocks: []uint64{7 << 60, 8}}, "", 0)

		unknown := observe.NewRecord(from.Add(9*time.Second), "id")
		f.Write(&unknown, &tokenize.Prompt{Bytes: 3, Tokens: 1}, "another", 0)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	got, err := ReadTrace(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []TraceRequest{
		{Model: "llama3", Input: 150, Blocks: []uint64{0, 4}, BlockTokens: 64, Cached: -1, Session: -1, Failure: "saturated"},
		{
			At: 250 * time.Millisecond, Model: "llama3", Input: 256, Output: 300, Blocks: []uint64{0, 1, 2, 3}, BlockTokens: 64,
			TTFT: 41234 * time.Microsecond, Total: 3 * time.Second, Endpoint: "http://a:1", Cached: 128, Session: 0,
		},
		{At: 8 * time.Second, Input: 1, Blocks: []uint64{}, BlockTokens: 85, Cached: -1, Session: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// Blocks of warmlane's are 256 bytes; how many tokens those are differs from model to model and is the same all over one.
func TestParseTrace_OwnBlocksAreMeasured(t *testing.T) {
	got := mustParse(t, `{"timestamp":0,"model":"english","input_length":100,"output_length":1,"hash_ids":[0],"input_bytes":450}
{"timestamp":1,"model":"chinese","input_length":300,"output_length":1,"hash_ids":[1,2,3],"input_bytes":900}
{"timestamp":2,"model":"english","input_length":500,"output_length":1,"hash_ids":[0,4,5,6,7,8,9,10,11],"input_bytes":2550}
{"timestamp":3,"model":"chinese","input_length":9000,"output_length":1,"hash_ids":[1],"input_bytes":900,"failure":"cut"}
{"timestamp":4,"model":"untold","input_length":200,"output_length":1,"hash_ids":[12,13,14,15]}
{"timestamp":5,"model":"english","input_length":80,"output_length":1,"hash_ids":[0,16],"input_bytes":600}
`)
	for i, want := range []struct{ tokens, blocks int }{
		{48, 1}, // 680 tokens in 3,600 bytes
		{85, 3}, // 300 in 900; the failed one tells nothing
		{48, 9},
		{85, 1},
		{64, 3}, // 200 tokens fill no more
		{48, 1},
	} {
		if r := got[i]; r.BlockTokens != want.tokens || len(r.Blocks) != want.blocks {
			t.Errorf("request %d: %d blocks of %d tokens, want %d of %d", i, len(r.Blocks), r.BlockTokens, want.blocks, want.tokens)
		}
	}
}

func TestParseTrace_MoreCachedThanThereIs(t *testing.T) {
	got := mustParse(t, `{"timestamp":0,"model":"m","input_length":100,"output_length":1,"cached_tokens":128}`)
	if got[0].Cached != 100 {
		t.Errorf("%d of 100 tokens were cached", got[0].Cached)
	}
}

func compressed(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestParseTrace_Wrappings(t *testing.T) {
	for form, text := range map[string]string{"mooncake": mooncakeText, "azure": azureText, "own": ownText} {
		want := mustParse(t, text)
		for wrapping, wrapped := range map[string]string{
			"gzip":             compressed(t, text),
			"mark":             "\ufeff" + text,
			"mark in gzip":     compressed(t, "\ufeff"+text),
			"CRLF":             strings.ReplaceAll(text, "\n", "\r\n"),
			"no last newline":  strings.TrimSuffix(text, "\n"),
			"empty lines":      "\n\n" + strings.ReplaceAll(text, "\n", "\n\n"),
			"two gzip members": compressed(t, text[:60]) + compressed(t, text[60:]),
		} {
			got, err := ParseTrace("trace", strings.NewReader(wrapped))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: %v, got %+v", form, wrapping, err, got)
			}
		}
	}
}

// Lines are written when requests end. They come out by arrival, equal arrivals in the order of the lines, the first at 0.
func TestParseTrace_OutOfOrder(t *testing.T) {
	for form, text := range map[string]string{
		"mooncake": `{"timestamp": 9000, "input_length": 3, "output_length": 1, "hash_ids": []}
{"timestamp": 7000, "input_length": 1, "output_length": 1, "hash_ids": []}
{"timestamp": 7000, "input_length": 2, "output_length": 1, "hash_ids": []}`,
		"own": `{"model": "m", "timestamp": 9000, "input_length": 3, "output_length": 1}
{"model": "m", "timestamp": 7000, "input_length": 1, "output_length": 1}
{"model": "m", "timestamp": 7000, "input_length": 2, "output_length": 1}`,
		"azure": `TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 00:00:01,3,1
2023-11-15 23:59:59,1,1
2023-11-15 23:59:59,2,1`,
	} {
		got := mustParse(t, text)
		for i, at := range []time.Duration{0, 0, 2 * time.Second} {
			if got[i].At != at || got[i].Input != i+1 {
				t.Errorf("%s: place %d has input %d at %s, want %d at %s", form, i, got[i].Input, got[i].At, i+1, at)
			}
		}
	}
}

func TestParseTrace_Refuses(t *testing.T) {
	const header, own = "TIMESTAMP,ContextTokens,GeneratedTokens\n", `{"model":"m","timestamp":0,"input_length":9,"output_length":1`
	for _, c := range []struct{ what, text, want string }{
		{"nothing", "", "trace: no requests in it"},
		{"white space", " \n\t\n", "trace: no requests in it"},
		{"a header alone", header, "trace: no requests in it"},
		{"words", "hello\n", "trace: begins with neither a line of JSON nor a header with the column TIMESTAMP: want a trace of Mooncake, Azure or warmlane"},
		{"a JSON array", `[{"timestamp":0}]`, "trace: begins with neither a line of JSON nor a header"},
		{"a missing column", "TIMESTAMP,ContextTokens\n", "nor a header with the column GeneratedTokens: want"},
		{"a short row", header + "\n2023-11-16 18:15:46,1\n", "trace:3: wrong number of fields"},
		{"an open quote", header + "2023-11-16 18:15:46,1,1\n\"x\n", `trace:3: extraneous or missing " in quoted-field`},
		{"no time", header + "2023-11-16 18:15:46,1,1\nnoon,1,1\n", `trace:3: TIMESTAMP "noon" is no time such as 2023-11-16 18:15:46.6805900`},
		{"no number", header + "2023-11-16 18:15:46,x,1\n", `trace:2: ContextTokens "x" is no number of tokens`},
		{"no number of tokens", header + "2023-11-16 18:15:46,1,many\n", `trace:2: GeneratedTokens "many" is no number of tokens`},
		{"an empty prompt", header + "2023-11-16 18:15:46,0,1\n", "trace:2: a prompt of 0 tokens cannot be: want 1 to 1073741824"},
		{"a negative answer", header + "2023-11-16 18:15:46,1,-1\n", "trace:2: an answer of -1 tokens cannot be: want 0 to 1073741824"},
		{"another age", header + "1815-06-18 11:35:00,1,1\n2023-11-16 18:15:46,1,1\n", "from the first request"},

		{"an empty object", "{}", "trace:1: timestamp is missing"},
		{"no length", `{"timestamp":0}`, "trace:1: input_length is missing"},
		{"no answer", "\n" + `{"timestamp":0,"input_length":5}`, "trace:2: output_length is missing"},
		{"a torn line", `{"timestamp":0,"input_len`, "trace:1: not a line of Mooncake's, which has timestamp, input_length, output_length, hash_ids and nothing else: "},
		{"a field of others", mooncakeText + `{"timestamp":0,"input_length":1,"output_length":1,"chat_id":4}`, `trace:3: not a line of Mooncake's, which has timestamp, input_length, output_length, hash_ids and nothing else: json: unknown field "chat_id"`},
		{"two objects", `{"timestamp":0,"input_length":1,"output_length":1} {}`, "trace:1: more than one object in a line: put each on its own"},
		{"a time before the beginning", `{"timestamp":-1,"input_length":1,"output_length":1}`, "trace:1: timestamp: -1 ms cannot be: want 0 to 100 years"},
		{"a time beyond any", `{"timestamp":1e300,"input_length":1,"output_length":1}`, "trace:1: timestamp: 1e+300 ms cannot be"},
		{"too many blocks", `{"timestamp":0,"input_length":512,"output_length":1,"hash_ids":[1,2]}`, "trace:1: 2 hash_ids for a prompt of 512 tokens: blocks of 512 would be at most 1"},
		{"half a token", `{"timestamp":0,"input_length":1.5,"output_length":1}`, "input_length of type int"},

		{"no lengths", `{"model":"m","timestamp":0}`, "trace:1: input_length is missing"},
		{"a torn line of ours", own + "}\n" + own, "trace:2: not a line of warmlane's: unexpected end of JSON input"},
		{"a negative share", own + `,"cached_tokens":-2}`, "trace:1: cached_tokens: -2 cannot be: leave it out where it is unknown"},
		{"a negative number", own + `,"session":-2}`, "trace:1: session: -2 is no number of one: leave it out where it is unknown"},
		{"negative bytes", own + `,"input_bytes":-2}`, "trace:1: input_bytes: a prompt of -2 bytes cannot be: leave it out where it is unknown"},
		{"a first token before its request", own + `,"ttft_ms":-2}`, "trace:1: ttft_ms: -2 ms cannot be: want 0 to 100 years"},
		{"an end before the beginning", own + `,"total_ms":-2}`, "trace:1: total_ms: -2 ms cannot be: want 0 to 100 years"},

		{"no gzip behind its mark", "\x1f\x8bxx", "trace: unexpected EOF"},
		{"half a gzip", compressed(t, mooncakeText)[:40], "unexpected EOF"},
	} {
		_, err := ParseTrace("trace", strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
	if _, err := ReadTrace(filepath.Join(t.TempDir(), "nowhere")); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzTrace(f *testing.F) {
	for _, text := range []string{mooncakeText, azureText, ownText, "\ufeff" + ownText, compressed(f, azureText)} {
		f.Add([]byte(text))
	}
	for _, path := range []string{"testdata/mooncake-excerpt.jsonl", "testdata/azure-excerpt.csv"} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text[:min(len(text), 1000)])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := ParseTrace("trace", bytes.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "trace") {
				t.Errorf("%q does not tell where", err)
			}
			return
		}
		if len(all) == 0 || all[0].At != 0 {
			t.Fatalf("%d requests, from %v", len(all), all)
		}
		for i := range all {
			if why := insane(&all[i]); why != "" || i > 0 && all[i].At < all[i-1].At {
				t.Errorf("request %d: %s: %+v", i, why, all[i])
			}
		}
	})
}

// insane tells what cannot be of a request, "" if nothing.
func insane(r *TraceRequest) string {
	switch {
	case r.At < 0 || r.At > 2*longestTrace:
		return "At"
	case r.Input < 1 || r.Input > mostTokens || r.Output < 0 || r.Output > mostTokens:
		return "lengths"
	case len(r.Blocks) > 0 && r.BlockTokens < 1 || r.BlockTokens < 0:
		return "BlockTokens"
	case len(r.Blocks) > 0 && (len(r.Blocks)-1)*r.BlockTokens >= r.Input:
		return "a block behind the prompt"
	case r.TTFT < 0 || r.TTFT > longestTrace || r.Total < 0 || r.Total > longestTrace:
		return "times"
	case r.Cached < -1 || r.Cached > r.Input || r.Session < -1:
		return "Cached or Session"
	}
	return ""
}
