package gateway_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
)

// tracedLine is what the test looks at.
type tracedLine struct {
	Model    string `json:"model"`
	Input    int    `json:"input_length"`
	Output   int    `json:"output_length"`
	IDs      []int  `json:"hash_ids"`
	Endpoint string `json:"endpoint"`
	Cached   *int   `json:"cached_tokens"`
	Family   string `json:"family"`
	Session  *int   `json:"session"`
	Failure  string `json:"failure"`
}

func TestTraceFile_WhatTheGatewayServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	var url string
	t.Run("serve", func(t *testing.T) {
		e := engine(t, func(w http.ResponseWriter, r *http.Request) {
			switch body, _ := io.ReadAll(r.Body); {
			case strings.Contains(string(body), "poison"):
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error":{"message":"no","type":"BadRequestError","code":400}}`)
			case strings.Contains(string(body), `"stream":true`):
				events(w, delta, delta, finish, usage, done)
			default:
				_, _ = io.WriteString(w, `{"object":"list","data":[],"count":1,"tokens":[1],"model":"m","usage":{"prompt_tokens":5,"total_tokens":5}}`)
			}
		})
		url = e.URL
		r := newRig(t, strings.Replace(onePool, "explain: true", "trace_file: "+path, 1), e.URL)
		first := strings.Repeat("how warm is this lane? ", 23) // two blocks and a bit
		for _, body := range []string{first, first + `"},{"role":"assistant","content":"hihi!"},{"role":"user","content":"` + strings.Repeat("and then? ", 26), "poison"} {
			r.post(chat, `{"model":"m","stream":true,"user":"somebody","messages":[{"role":"user","content":"`+body+`"}]}`)
		}
		r.post("/v1/embeddings", `{"model":"m","input":"short"}`)
		r.post("/tokenize", `{"model":"m","prompt":"short"}`)
		r.post(chat, `{"model":"nobody-has-it","messages":[]}`)
		r.do("GET", "/v1/models", "")
	})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"warm is", "somebody", "short"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q is in the file:\n%s", secret, text)
		}
	}
	zero, four := 0, 4
	want := []tracedLine{
		{Model: "m", Input: 9, Output: 2, IDs: []int{0, 1}, Endpoint: url, Cached: &four, Family: "chat", Session: &zero},
		{Model: "m", Input: 9, Output: 2, IDs: []int{0, 1, 2}, Endpoint: url, Cached: &four, Family: "chat", Session: &zero},
		{Model: "m", Output: 0, IDs: []int{}, Endpoint: url, Family: "chat", Session: &zero, Failure: "bad_request"},
		{Model: "m", Input: 5, Output: 0, IDs: []int{}, Endpoint: url, Family: "embeddings"},
	}
	var got []tracedLine
	for line := range strings.Lines(string(text)) {
		var l tracedLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.Failure != "" {
			l.Input = 0 // the gateway's estimate
		}
		got = append(got, l)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the file holds\n%s", text)
	}
}

func TestTraceFile_UnwritablePathIsNoStart(t *testing.T) {
	dir := t.TempDir()
	cfg, err := config.FromPools([]string{"m=http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Observe.TraceFile = filepath.Join(dir, "removed", "trace.jsonl")
	_, err = gateway.New(cfg, gateway.Options{Log: slog.DiscardHandler})
	if err == nil || !strings.Contains(err.Error(), "observe.trace_file: ") || !strings.Contains(err.Error(), "name a file in a folder that warmlane may write to") {
		t.Errorf("error %v", err)
	}
}
