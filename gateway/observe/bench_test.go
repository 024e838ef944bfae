package observe_test

import (
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warmlane/warmlane/gateway/observe"
	"github.com/warmlane/warmlane/tokenize"
)

func fullRecord() observe.Record {
	r := observe.NewRecord(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), "req-0123456789abcdef")
	r.Consumer, r.Family, r.Path = "dify", "chat", "/v1/chat/completions"
	r.Model, r.Route, r.Pool, r.Endpoint, r.Policy = "llama3", "route-1", "llama3", "http://10.0.0.1:8000", "warm"
	r.Tries, r.Status, r.Stream = 1, 200, true
	r.PromptTokens, r.CachedTokens, r.OutputTokens, r.PredictedPrompt, r.PredictedCached = 812, 768, 301, 790, 704
	r.Queue, r.TTFT, r.Total = 0, 41234*time.Microsecond, 3123456*time.Microsecond
	r.BytesIn, r.BytesOut = 4211, 51234
	return r
}

func BenchmarkAccessLog(b *testing.B) {
	for _, format := range []string{"json", "text"} {
		b.Run(format, func(b *testing.B) {
			log := observe.NewAccessLog(observe.NewHandler(io.Discard, format, observe.Level("info")))
			r := fullRecord()
			b.ReportAllocs()
			for b.Loop() {
				log.Write(&r)
			}
		})
	}
}

func BenchmarkMetrics_Record(b *testing.B) {
	m := observe.NewMetrics(prometheus.NewRegistry())
	m.Serve([]string{"llama3"}, []string{"llama3"}, nil)
	r := fullRecord()
	b.ReportAllocs()
	for b.Loop() {
		m.Began()
		m.Record(&r)
	}
}

func BenchmarkLane_InterToken(b *testing.B) {
	m := observe.NewMetrics(prometheus.NewRegistry())
	l := m.Lane("llama3", "llama3")
	b.ReportAllocs()
	for b.Loop() {
		l.InterToken(23 * time.Millisecond)
	}
}

// What the trace file adds to a request: a prompt of 8k tokens is copied for the writer.
func BenchmarkTraceFile_Write(b *testing.B) {
	f, err := observe.OpenTrace(observe.TraceConfig{Path: os.DevNull, Log: slog.New(slog.DiscardHandler)}, observe.NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := fullRecord()
	prompt := tokenize.Prompt{Bytes: 32 << 10, Tokens: 8192, Blocks: make([]uint64, 128)}
	b.ReportAllocs()
	for b.Loop() {
		f.Write(&r, &prompt, "conversation", 0)
	}
}
