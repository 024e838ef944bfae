// Package limit decides whether a request may pass now.
package limit

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
)

// Query is what limits look at.
type Query struct {
	Consumer, User, Model, Route, Path string
	IP                                 netip.Addr
	Headers                            config.Headers // *fasthttp.RequestHeader is one
}

// Config configures a Limiter.
type Config struct {
	Limits   []config.Limit
	Memory   *Memory            // buckets of this process; keep one over reloads; nil = a new one
	OnRefuse func(limit string) // called for each refusal; nil = nobody asks
}

// Limiter applies all limits of a configuration.
type Limiter struct{}

// New makes a limiter. Without shared the buckets live in cfg.Memory.
func New(cfg Config, shared *Redis) (*Limiter, error) { return &Limiter{}, nil }

// Reserve takes one request from every bucket that q falls into, or from none. It returns the tightest of them, nil if no
// limit matches; also when it refuses, for the headers of the refusal.
func (l *Limiter) Reserve(ctx context.Context, q *Query) (*Reservation, *failure.Error) {
	return nil, nil
}

// Reservation is a request's place in its limits.
type Reservation struct{}

// Header is a set of response headers; *fasthttp.ResponseHeader is one.
type Header interface{ Set(name, value string) }

// WriteTo sets the x-ratelimit headers; nothing on nil.
func (r *Reservation) WriteTo(h Header) {}

// Memory holds buckets in this process.
type Memory struct{}

// NewMemory returns an empty store for at most about max buckets (0 = 100,000). now = nil is time.Now.
func NewMemory(max int, now func() time.Time) *Memory { return &Memory{} }

// RedisConfig configures a Redis.
type RedisConfig struct {
	URL     string // redis://, rediss:// or unix://
	Timeout time.Duration
	Log     *slog.Logger
	OnState func(up bool)
}

// Redis is a store of buckets that several gateways share. One for the life of the process.
type Redis struct{}

// OpenRedis connects. A Redis that is away is no error: limits are then kept here until it comes back.
func OpenRedis(cfg RedisConfig) (*Redis, error) { return &Redis{}, nil }

// Close ends the connections and waits for the probe.
func (r *Redis) Close() error { return nil }
