package gateway_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// Large bodies of many small things cost memory in proportion to their bytes, whatever they are made of.
func TestHuge_BodiesCostInProportion(t *testing.T) {
	u, _ := counting(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	})
	r := newRig(t, onePool, u)
	const size = 4 << 20
	list := func(item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", size/(len(item)+1)), ",") + "]"
	}
	for name, body := range map[string]string{
		"messages":          `{"model":"m","messages":` + list(`{"role":"user","content":"x"}`) + `}`,
		"empty messages":    `{"model":"m","messages":` + list(`{}`) + `}`,
		"parts":             `{"model":"m","messages":[{"role":"user","content":` + list(`{"type":"text","text":"x"}`) + `}]}`,
		"empty parts":       `{"model":"m","messages":[{"role":"user","content":` + list(`{}`) + `}]}`,
		"tools":             `{"model":"m","messages":[],"tools":` + list(`{"type":"function","function":{"name":"f"}}`) + `}`,
		"numbers":           `{"model":"m","messages":[],"x":` + list(`1`) + `}`,
		"members":           `{"model":"m","messages":[],` + strings.Repeat(`"a":1,`, size/6) + `"b":1}`,
		"models":            `{"messages":[],` + strings.Repeat(`"model":"m",`, size/12) + `"model":"m"}`,
		"stream options":    `{"model":"m","messages":[],` + strings.Repeat(`"stream_options":{},`, size/20) + `"b":1}`,
		"escapes":           `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat(`\u00e9`, size/6) + `"}]}`,
		"lists in lists":    `{"model":"m","messages":[],"x":` + list(strings.Repeat("[", 100)+strings.Repeat("]", 100)) + `}`,
		"blanks":            `{"model":"m","messages":[]` + strings.Repeat(" ", size) + `}`,
		"a long model name": `{"model":"` + strings.Repeat("m", size) + `","messages":[]}`,
		"a long user":       `{"model":"m","user":"` + strings.Repeat("u", size) + `","messages":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a := r.post(chat, body)
			runtime.ReadMemStats(&after)
			times := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(body))
			if a.err != nil || a.status >= 500 {
				t.Errorf("answered %d %.200s, %v", a.status, a.body, a.err)
			}
			if times > 16 {
				t.Errorf("%d bytes cost %.1f times as much", len(body), times)
			}
			if len(a.body) > 10_000 {
				t.Errorf("the answer has %d bytes", len(a.body))
			}
		})
	}
	if n := len(r.lines.text()); n > 1<<20 {
		t.Errorf("the log has %d bytes", n)
	}
}
