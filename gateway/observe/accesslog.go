package observe

import (
	"context"
	"io"
	"log/slog"
	"time"
	"unicode/utf8"
)

// AccessLog writes one line a request. It is safe for concurrent use.
type AccessLog struct{ handler slog.Handler }

// NewAccessLog writes to h at level info, with the message "request".
func NewAccessLog(h slog.Handler) *AccessLog { return &AccessLog{handler: h} }

// Write writes the line of r. Its time is the request's end; what is not known is left out. Times are milliseconds.
// A line that the handler cannot write is lost: there is nowhere else to tell.
func (a *AccessLog) Write(r *Record) {
	ctx := context.Background()
	if !a.handler.Enabled(ctx, slog.LevelInfo) {
		return
	}
	line := slog.NewRecord(r.Time.Add(r.Total), slog.LevelInfo, "request", 0)
	attrs := make([]slog.Attr, 0, 30)
	attrs = appendWhat(attrs, r)
	attrs = appendFigures(attrs, r)
	line.AddAttrs(attrs...)
	_ = a.handler.Handle(ctx, line)
}

// appendWhat appends who asked for what, and how it ended.
func appendWhat(attrs []slog.Attr, r *Record) []slog.Attr {
	attrs = appendText(attrs, "request_id", r.ID)
	attrs = appendText(attrs, "consumer", r.Consumer)
	attrs = appendText(attrs, "app", r.App)
	attrs = appendText(attrs, "family", r.Family)
	attrs = appendText(attrs, "path", r.Path)
	attrs = appendText(attrs, "model", r.Model)
	attrs = appendText(attrs, "route", r.Route)
	attrs = appendText(attrs, "pool", r.Pool)
	attrs = appendText(attrs, "endpoint", r.Endpoint)
	attrs = appendText(attrs, "policy", r.Policy)
	attrs = appendText(attrs, "passed_over", r.PassedOver)
	attrs = append(attrs,
		slog.Int("tries", r.Tries), slog.Int("status", r.Status), slog.Bool("stream", r.Stream), slog.String("ended_by", r.Ended.String()))
	attrs = appendText(attrs, "hedged", r.Hedged)
	attrs = appendText(attrs, "guard", r.Guard)
	attrs = appendText(attrs, "cache", r.Cache)
	if r.Similarity > 0 {
		attrs = append(attrs, slog.Float64("similarity", r.Similarity))
	}
	attrs = appendText(attrs, "failure", r.Failure)
	return appendText(attrs, "cause", r.Cause)
}

// appendFigures appends tokens, times and bytes.
func appendFigures(attrs []slog.Attr, r *Record) []slog.Attr {
	attrs = appendCount(attrs, "prompt_tokens", r.PromptTokens)
	attrs = appendCount(attrs, "cached_tokens", r.CachedTokens)
	attrs = appendCount(attrs, "output_tokens", r.OutputTokens)
	attrs = appendCount(attrs, "predicted_prompt_tokens", r.PredictedPrompt)
	attrs = appendCount(attrs, "predicted_cached_tokens", r.PredictedCached)
	attrs = append(attrs, milliseconds("queue_ms", r.Queue))
	if r.TTFT >= 0 {
		attrs = append(attrs, milliseconds("ttft_ms", r.TTFT))
	}
	return append(attrs, milliseconds("total_ms", r.Total), slog.Int64("bytes_in", r.BytesIn), slog.Int64("bytes_out", r.BytesOut))
}

// longestText is the length to which texts are cut: callers choose models, paths and ids.
const longestText = 256

func appendText(attrs []slog.Attr, key, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(key, cut(value)))
}

// cut returns text, or its beginning and three dots where it is too long.
func cut(text string) string {
	if len(text) <= longestText {
		return text
	}
	end := longestText
	for !utf8.RuneStart(text[end]) && end > longestText-utf8.UTFMax {
		end--
	}
	return text[:end] + "..."
}

func appendCount(attrs []slog.Attr, key string, n int) []slog.Attr {
	if n < 0 {
		return attrs
	}
	return append(attrs, slog.Int(key, n))
}

// milliseconds rounds to a microsecond, which prints short.
func milliseconds(key string, d time.Duration) slog.Attr {
	return slog.Float64(key, float64(d.Round(time.Microsecond).Microseconds())/1000)
}

// NewHandler returns a handler for the log of the process and its access lines: format is json (default) or text. level may
// change while it is in use.
func NewHandler(w io.Writer, format string, level slog.Leveler) slog.Handler {
	opts := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.NewTextHandler(w, opts)
	}
	return slog.NewJSONHandler(w, opts)
}

// Level is the level of that name: debug, info (default), warn or error.
func Level(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return l
}
