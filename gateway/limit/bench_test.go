package limit_test

import (
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
	"github.com/warmlane/warmlane/gateway/redistest"
)

func wide() []config.Limit {
	return []config.Limit{{
		Name: "app", By: []config.By{{Kind: config.ByConsumer}, {Kind: config.ByUser}},
		Requests: []config.Rate{per(1e6, time.Second), per(1e8, time.Minute), per(1e9, time.Hour)},
	}}
}

// BenchmarkReserve_Memory is one limit in three time scales, as the article's users have it.
func BenchmarkReserve_Memory(b *testing.B) {
	l := newLimiter(b, limit.Config{Limits: wide()}, nil)
	q := limit.Query{Subject: config.Subject{Consumer: "dify", User: "5f0c1d3e-7c1b-4a53-9e55-1f3b7d8a0c11"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, fail := l.Reserve(b.Context(), &q); fail != nil {
			b.Fatal(fail)
		}
	}
}

// BenchmarkReserve_Redis is the same in a real Redis on a Unix socket, one call after the other.
func BenchmarkReserve_Redis(b *testing.B) {
	server := redistest.Start(b)
	shared := openRedis(b, limit.RedisConfig{URL: server.URL, Timeout: time.Second})
	l := newLimiter(b, limit.Config{Limits: wide()}, shared)
	q := limit.Query{Subject: config.Subject{Consumer: "dify", User: "5f0c1d3e-7c1b-4a53-9e55-1f3b7d8a0c11"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, fail := l.Reserve(b.Context(), &q); fail != nil {
			b.Fatal(fail)
		}
	}
	if !shared.Up() {
		b.Fatal("the limits were not kept in Redis")
	}
}
