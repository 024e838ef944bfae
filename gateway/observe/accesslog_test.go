package observe_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/warmlane/warmlane/gateway/observe"
)

// line writes the access line of r and returns its fields.
func line(t *testing.T, r *observe.Record) map[string]any {
	t.Helper()
	var out bytes.Buffer
	observe.NewAccessLog(observe.NewHandler(&out, "json", observe.Level("info"))).Write(r)
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 1 {
		t.Fatalf("%d lines for one request:\n%s", n, out.String())
	}
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
		t.Fatalf("reading %s: %v", out.String(), err)
	}
	return fields
}

func TestAccessLog_AnsweredRequest(t *testing.T) {
	r := fullRecord()
	want := map[string]any{
		"time": "2026-11-20T12:00:03.123456Z", "level": "INFO", "msg": "request", // the time of the end
		"request_id": "req-0123456789abcdef", "consumer": "dify", "family": "chat", "path": "/v1/chat/completions",
		"model": "llama3", "route": "route-1", "pool": "llama3", "endpoint": "http://10.0.0.1:8000", "policy": "warm",
		"tries": 1.0, "status": 200.0, "stream": true, "ended_by": "engine",
		"prompt_tokens": 812.0, "cached_tokens": 768.0, "output_tokens": 301.0,
		"predicted_prompt_tokens": 790.0, "predicted_cached_tokens": 704.0,
		"queue_ms": 0.0, "ttft_ms": 41.234, "total_ms": 3123.456, "bytes_in": 4211.0, "bytes_out": 51234.0,
	}
	if got := line(t, &r); !reflect.DeepEqual(got, want) {
		t.Errorf("line %v\nwant %v", got, want)
	}
}

func TestAccessLog_RefusedRequestClaimsNothing(t *testing.T) {
	r := observe.NewRecord(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), "id")
	r.Path, r.Status, r.Failure, r.Ended = "/v1/chat/completions", 401, "unauthorized", observe.EndedByGateway
	r.Total = 80 * time.Microsecond
	want := map[string]any{
		"time": "2026-11-20T12:00:00.00008Z", "level": "INFO", "msg": "request",
		"request_id": "id", "path": "/v1/chat/completions", "tries": 0.0, "status": 401.0, "stream": false,
		"failure": "unauthorized", "ended_by": "gateway", "queue_ms": 0.0, "total_ms": 0.08, "bytes_in": 0.0, "bytes_out": 0.0,
	}
	if got := line(t, &r); !reflect.DeepEqual(got, want) {
		t.Errorf("line %v\nwant %v", got, want)
	}
}

func TestAccessLog_CutsWhatCallersChoose(t *testing.T) {
	r := observe.NewRecord(time.Now(), "id")
	r.Model = strings.Repeat("模", 10_000)
	got, ok := line(t, &r)["model"].(string)
	if !ok || len(got) > 260 || !utf8.ValidString(got) || strings.ContainsRune(got, utf8.RuneError) {
		t.Errorf("a long model name became %q", got)
	}
	r.Model = "a\n{\"level\":\"ERROR\"}" // line checks that it stays one line
	if got := line(t, &r)["model"]; got != r.Model {
		t.Errorf("model %q", got)
	}
}

func TestAccessLog_Formats(t *testing.T) {
	f := func(format, level, want string) {
		t.Helper()
		var out bytes.Buffer
		r := fullRecord()
		observe.NewAccessLog(observe.NewHandler(&out, format, observe.Level(level))).Write(&r)
		got := out.String()
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("format %q, level %q: %q, want %q in it", format, level, got, want)
		}
	}
	f("json", "info", `"msg":"request"`)
	f("", "", `"msg":"request"`)
	f("text", "debug", `msg=request`)
	f("json", "warn", "")
}
