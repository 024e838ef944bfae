package limit

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

//go:embed take.lua
var takeScript string

// keyPrefix begins every key. Its hash tag keeps the buckets of a request, which one script takes from, in one slot.
const keyPrefix = "{warmlane}:limit:"

// defaultTimeout is below the 30 ms that a Redis in trouble may cost one request.
const defaultTimeout = 25 * time.Millisecond

// RedisConfig configures a Redis.
type RedisConfig struct {
	URL     string        // redis://, rediss:// or unix://, as go-redis reads it
	Timeout time.Duration // that a request may wait; 0 = 25 ms
	Probe   time.Duration // between two probes of a Redis that is away; 0 = 1 s
	Log     *slog.Logger  // one line for each change of state; nil = none
	OnState func(up bool) // called with the first state and then for each change, one after the other; must not call back
}

// Redis is a store of buckets that several gateways share. There is one for the life of the process; it is safe for
// concurrent use.
type Redis struct {
	client  *redis.Client
	script  *redis.Script
	timeout time.Duration
	breaker *breaker
}

// errAway says that the breaker is open.
var errAway = errors.New("redis is away")

// OpenRedis connects. A Redis that is away is no error: limits are then kept by each gateway until it comes back.
// The error of a URL that cannot be read does not quote it, since it may hold a password.
//
// It silences go-redis' own log, which the library keeps for the whole process: a line on stderr for each dial in vain would
// say again and again what the breaker says once.
func OpenRedis(cfg RedisConfig) (*Redis, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Probe <= 0 {
		cfg.Probe = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	opt, err := options(cfg.URL, cfg.Timeout)
	if err != nil {
		return nil, err
	}
	redis.SetLogger(&logging.VoidLogger{})
	r := &Redis{client: redis.NewClient(opt), script: redis.NewScript(takeScript), timeout: cfg.Timeout}
	r.breaker = newBreaker(r.probe, cfg.Probe, cfg.Log.With("redis", opt.Addr), cfg.OnState)
	r.breaker.begin()
	return r, nil
}

// options are go-redis' with every wait bounded. Nothing is repeated: a repeated script would charge twice, and a repeated
// dial is a wait.
func options(url string, timeout time.Duration) (*redis.Options, error) {
	opt, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("reading the Redis URL: it is none of redis://, rediss:// and unix://, or malformed")
	}
	opt.ContextTimeoutEnabled = true
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout, opt.PoolTimeout = 2*timeout, timeout, timeout, timeout
	opt.MaxRetries = -1
	opt.DialerRetries = 1
	opt.PoolSize = 64
	opt.MinIdleConns = 1
	opt.PipelinePoolSize = -1
	opt.ReadBufferSize, opt.WriteBufferSize = 4<<10, 4<<10
	opt.DisableIdentity = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return opt, nil
}

// Up reports whether Redis answers, as far as is known.
func (r *Redis) Up() bool { return !r.breaker.open() }

// Close ends the connections and waits for the probe. Afterwards every limiter over r keeps its limits by itself.
func (r *Redis) Close() error {
	r.breaker.close()
	if err := r.client.Close(); err != nil {
		return fmt.Errorf("closing redis: %w", err)
	}
	return nil
}

// take takes one request from every bucket, or from none if one of them is short, and fills in the levels.
func (r *Redis) take(ctx context.Context, asks []ask) (ok bool, err error) {
	if r.breaker.open() {
		return false, errAway
	}
	keys, args := make([]string, len(asks)), make([]any, 0, 3*len(asks))
	for i := range asks {
		keys[i] = keyPrefix + string(asks[i].key)
		args = append(args, asks[i].rate.gain, asks[i].rate.cost, asks[i].rate.full)
	}
	levels, err := r.run(ctx, keys, args)
	if err != nil {
		r.breaker.trip(err)
		return false, err
	}
	for i := range asks {
		asks[i].level = levels[i+1]
	}
	return levels[0] == 1, nil
}

// probe does the same on a bucket of its own, so that a Redis which answers but cannot be written to counts as away.
func (r *Redis) probe(ctx context.Context) error {
	_, err := r.run(ctx, []string{keyPrefix + "probe"}, []any{1, 1, 1 << 20})
	return err
}

// run calls the script within the time-out. It does not heed the end of ctx: a client that leaves is no fault of Redis.
func (r *Redis) run(ctx context.Context, keys []string, args []any) ([]int64, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
	defer cancel()
	levels, err := r.script.Run(ctx, r.client, keys, args...).Int64Slice()
	if err != nil {
		return nil, fmt.Errorf("taking from buckets in redis: %w", err)
	}
	if len(levels) != len(keys)+1 {
		return nil, fmt.Errorf("taking from buckets in redis: %d answers for %d buckets", len(levels)-1, len(keys))
	}
	return levels, nil
}
