package provider

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/api"
)

// seeds calls add with the in-files of a sort.
func seeds(f *testing.F, kind, sort string, add func(in []byte)) {
	files, err := filepath.Glob(filepath.Join("testdata", kind, sort+"_*.in.json*"))
	if err != nil || len(files) == 0 {
		f.Fatalf("%s has no %s: %v", kind, sort, err)
	}
	for _, file := range files {
		in, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		add(in)
	}
}

// fuzzRequest holds every request to: a failure of status 400 or 404, or a call with a body of valid JSON and a path of one line.
func fuzzRequest(f *testing.F, kind string) {
	seeds(f, kind, "request", func(in []byte) { f.Add(in) })
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/v1/chat/completions", "/v1/embeddings"} {
			ep, _ := api.Find([]byte(path))
			v, fail := api.Read(ep, nil, body)
			if fail != nil || !translator(t, kind).Takes(ep.Family) {
				continue
			}
			call, fail := translator(t, kind).Request(&Query{
				Family: ep.Family, Body: body, Model: v.Model, Stream: v.Stream, ID: "1", Now: time.Unix(1, 0),
			})
			if fail != nil {
				if s := fail.HTTPStatus(); s != 400 && s != 404 {
					t.Fatalf("refused with %d: %v", s, fail)
				}
				continue
			}
			if !json.Valid(call.Body) {
				t.Fatalf("no JSON: %s", call.Body)
			}
			if bytes.ContainsAny([]byte(call.Path), " \r\n?#") || call.Path[0] != '/' {
				t.Fatalf("path %q", call.Path)
			}
		}
	})
}

func FuzzAnthropicRequest(f *testing.F) { fuzzRequest(f, "anthropic") }
func FuzzGeminiRequest(f *testing.F)    { fuzzRequest(f, "gemini") }
func FuzzBedrockRequest(f *testing.F)   { fuzzRequest(f, "bedrock") }

// FuzzAnswer holds whole answers and refusals to: valid JSON that the gateway understands, or a failure with words.
func FuzzAnswer(f *testing.F) {
	kinds := [...]string{"anthropic", "gemini", "bedrock"}
	for i, kind := range kinds {
		seeds(f, kind, "answer", func(in []byte) { f.Add(in, uint8(i)) })
		seeds(f, kind, "failure", func(in []byte) {
			for line := range bytes.Lines(in) {
				f.Add(line, uint8(i))
			}
		})
	}
	f.Fuzz(func(t *testing.T, body []byte, kind uint8) {
		r := reply(t, kinds[int(kind)%len(kinds)], "/v1/chat/completions")
		if out, fail := r.Answer(body); fail == nil {
			if !json.Valid(out) {
				t.Fatalf("no JSON: %s", out)
			}
			if a, ok := api.Inspect(api.Chat, out, nil); !ok || a.Err != nil {
				t.Fatalf("not understood: %s", out)
			}
		}
		for _, status := range []int{302, 400, 401, 404, 429, 503} {
			fail, _ := r.Failure(status, func(string) []byte { return body }, body)
			if fail == nil || fail.Message == "" || fail.RetryAfter < 0 || !json.Valid(api.ErrorBody(api.Chat, fail)) {
				t.Fatalf("status %d: %v", status, fail)
			}
		}
	})
}

// fuzzStream holds a decoder to: the same output however the bytes come, whole events of valid JSON only, nothing after the last
// event, and a verdict of the gateway's own reader that fits.
func fuzzStream(f *testing.F, kind string) {
	seeds(f, kind, "stream", func(in []byte) { f.Add(framed(kind, in), uint16(7)) })
	f.Fuzz(func(t *testing.T, wire []byte, cut uint16) {
		r := reply(t, kind, "/v1/chat/completions")
		whole := bytes.Clone(r.Decoder().Feed(wire))
		d := r.Decoder()
		var pieces []byte
		for rest := wire; len(rest) > 0; {
			n := min(len(rest), int(cut)+1)
			pieces = append(pieces, d.Feed(rest[:n])...)
			rest = rest[n:]
		}
		if !bytes.Equal(whole, pieces) {
			t.Fatalf("in pieces of %d\n%s\nat once\n%s", int(cut)+1, pieces, whole)
		}
		if len(whole) == 0 {
			return
		}
		if !bytes.HasSuffix(whole, []byte("\n\n")) {
			t.Fatalf("half an event: %q", whole)
		}
		over := false
		for event := range bytes.SplitSeq(bytes.TrimSuffix(whole, []byte("\n\n")), []byte("\n\n")) {
			data, ok := bytes.CutPrefix(event, []byte("data: "))
			if over || !ok {
				t.Fatalf("unexpected %q in\n%s", event, whole)
			}
			over = string(data) == "[DONE]" || bytes.HasPrefix(data, []byte(`{"error"`))
			if string(data) != "[DONE]" && !json.Valid(data) {
				t.Fatalf("no JSON: %q", data)
			}
		}
		s := api.NewStream(api.Chat, 1, true)
		s.Feed(whole, nil)
		if s.Terminated && !s.Complete {
			t.Fatalf("[DONE] of an incomplete stream:\n%s", whole)
		}
	})
}

func FuzzAnthropicStream(f *testing.F) { fuzzStream(f, "anthropic") }
func FuzzGeminiStream(f *testing.F)    { fuzzStream(f, "gemini") }
func FuzzBedrockStream(f *testing.F)   { fuzzStream(f, "bedrock") }

// A provider that never ends an event is given up, not remembered.
func TestDecoder_MemoryIsBounded(t *testing.T) {
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	for kind, start := range map[string]string{"anthropic": "data: ", "gemini": "data: ", "bedrock": "\x7f\xff\xff\xff"} {
		d := reply(t, kind, "/v1/chat/completions").Decoder()
		d.Feed([]byte(start))
		var out []byte
		for range 2 * maxEvent / len(chunk) {
			out = append(out, d.Feed(chunk)...)
		}
		if !bytes.Contains(out, []byte(`{"error":{"message":"The provider's answer is malformed`)) || bytes.Count(out, []byte("data: ")) != 1 {
			t.Errorf("%s: %q", kind, out)
		}
	}
}
