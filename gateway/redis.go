package gateway

import (
	"fmt"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
)

// redis is the store that several gateways share, in use by every state that names it in the same way.
type redis struct {
	cfg config.Redis
	*limit.Redis
}

// openRedis connects to the configured Redis, unless old is a connection to it; nil if there is none.
func (g *Gateway) openRedis(cfg config.Redis, old *redis) (*redis, error) {
	if !cfg.Enabled() {
		return nil, nil
	}
	if old != nil && old.cfg == cfg {
		return old, nil
	}
	secured, err := cfg.TLSConfig()
	if err != nil {
		return nil, fmt.Errorf("redis.ca: %w", err)
	}
	r := &redis{cfg: cfg}
	r.Redis, err = limit.OpenRedis(limit.RedisConfig{
		URL: cfg.URL.Reveal(), Cluster: cfg.Cluster, TLS: secured, Log: g.log,
		OnState: func(up bool) {
			if g.shownRedis.Load() == r {
				g.metrics.RedisUp(up)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return r, nil
}

// showRedis makes metrics tell the state of r, the Redis in force; nil for none.
func (g *Gateway) showRedis(r *redis) {
	g.shownRedis.Store(r)
	if r == nil {
		g.metrics.NoRedis()
		return
	}
	g.metrics.RedisUp(r.Up())
}

// store is what limits use; nil without a Redis.
func (r *redis) store() *limit.Redis {
	if r == nil {
		return nil
	}
	return r.Redis
}

// Close ends the connection.
func (r *redis) Close() {
	if r != nil {
		_ = r.Redis.Close()
	}
}
