package config

import (
	"net/netip"
	"reflect"
	"time"
)

// defaults returns the configuration of an empty file. Together with setElementDefault it is the one place of all defaults;
// deploy/warmlane.yaml explains them, and a test holds the two together.
func defaults() Config {
	return Config{
		Server: Server{
			Listen:         ":8080",
			Admin:          "127.0.0.1:9090",
			MaxBody:        160 << 20,
			MaxBodyTotal:   1 << 30,
			CacheMemory:    64 << 20,
			CacheVectors:   64 << 20,
			MaxHeader:      16 << 10,
			MaxConnections: 20_000,
			WriteTimeout:   seconds(30),
			ReadTimeout:    ReadTimeout{Header: seconds(10), Body: seconds(120)},
			Drain:          seconds(120),
			LameDuck:       seconds(5),
			TrustedProxies: []netip.Prefix{},
		},
		Usage:   Usage{KeepDays: 90, Zone: "UTC"},
		Observe: Observe{Log: Log{Level: "info", Format: "json"}},
	}
}

// setElementDefault fills a new element of a list with its defaults.
func setElementDefault(v reflect.Value) {
	switch t := v.Addr().Interface().(type) {
	case *Pool:
		*t = Pool{
			Engine:    "auto",
			Policy:    Policy{Name: "warm"},
			Session:   Session{Headers: []string{}, Bonus: Duration(50 * time.Millisecond)},
			ProbeIdle: true,
			Health:    Health{Path: "/health", Interval: seconds(5), Timeout: seconds(2), EjectAfter: 3, EjectFor: seconds(2), EjectMax: seconds(60)},
			Queue:     Queue{Max: 1000, Wait: seconds(10)},
			Timeouts:  Timeouts{Connect: seconds(1), FirstEvent: seconds(60), Answer: seconds(600), BetweenEvents: seconds(60)},
			Metrics:   Metrics{Interval: seconds(1)},
			KVTokens:  250_000,
		}
	case *Consumer:
		*t = Consumer{JWT: JWT{Algorithms: []string{}, Leeway: seconds(30), UserClaim: "sub"}}
	case *Endpoint:
		*t = Endpoint{Weight: 1, DataParallel: 1}
	case *Provider:
		*t = Provider{
			Kind:     "openai",
			Health:   ProviderHealth{EjectAfter: 3, EjectFor: seconds(2), EjectMax: seconds(60)},
			Timeouts: Timeouts{Connect: seconds(3), FirstEvent: seconds(60), Answer: seconds(600), BetweenEvents: seconds(60)},
		}
	case *ProviderKey:
		*t = ProviderKey{Weight: 1}
	case *GuardRule:
		*t = GuardRule{
			Check: []string{"input", "output"}, WholeWords: true, Action: "deny", Refuse: "error", LookBack: 256,
			Message:    "This text is not allowed here.",
			Moderation: Moderation{Categories: []string{}, Timeout: seconds(2), OnFailure: "deny", Every: 1 << 10},
		}
	case *Limit:
		*t = Limit{Zone: "UTC", Reserve: ReserveExpected, MaxOutput: 4096, RedisDown: RedisAllow, Cached: CachedRequests, Enforce: true, Status: 429}
	case *CacheRule:
		*t = CacheRule{
			TTL: Duration(10 * time.Minute), Scope: "consumer", Ignore: []string{}, MaxAnswer: 1 << 20,
			Semantic: Semantic{Threshold: 0.95, Timeout: Duration(300 * time.Millisecond), MaxText: 2 << 10, MaxEntries: 1000},
		}
	case *Route:
		*t = Route{
			FallbackOn: []FailedBy{FailedConnect, FailedTimeout, Failed429, Failed5xx, FailedQueue, FailedContext},
			Sticky:     "session",
		}
	}
}

func seconds(n int) Duration { return Duration(time.Duration(n) * time.Second) }
