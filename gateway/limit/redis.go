package limit

import (
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/warmlane/warmlane/gateway/config"
)

var (
	//go:embed take.lua
	takeScript string
	//go:embed settle.lua
	settleScript string
	//go:embed renew.lua
	renewScript string
)

// keyPrefix begins every key.
const keyPrefix = "warmlane:limit:"

const (
	// defaultTimeout is below the 30 ms that a Redis in trouble may cost one request.
	defaultTimeout = 25 * time.Millisecond
	// defaultLease is for how long a reservation outlives the gateway that made it.
	defaultLease = 30 * time.Second
)

// RedisConfig configures a Redis.
type RedisConfig struct {
	URL     string        // redis://, rediss:// or unix://, as go-redis reads it; further nodes as addr=HOST:PORT in its query
	Cluster bool          // the URL names nodes of a Redis Cluster
	TLS     *tls.Config   // for rediss://; nil = the system's certificate authorities
	Timeout time.Duration // that a request may wait; 0 = 25 ms
	Probe   time.Duration // between two probes of a Redis that is away; 0 = 1 s
	Lease   time.Duration // after which a reservation of a gateway that died comes back; 0 = 30 s
	Log     *slog.Logger  // one line for each change of state; nil = none
	OnState func(up bool) // called with the first state and then for each change, one after the other; must not call back
}

// Redis is a store of buckets that several gateways share. There is one for the life of the process; it is safe for
// concurrent use.
type Redis struct {
	client  redis.UniversalClient
	cluster *redis.ClusterClient // client where it is one, else nil
	scripts struct{ take, settle, renew *redis.Script }
	timeout time.Duration
	breaker *breaker
	ledger  *ledger

	origin string // begins the ids of this process' reservations
	serial atomic.Uint64
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
	if cfg.Lease <= 0 {
		cfg.Lease = defaultLease
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	opt, err := config.RedisOptions(cfg.URL, cfg.Timeout)
	if err != nil {
		return nil, err
	}
	if cfg.TLS != nil && opt.TLSConfig != nil {
		opt.TLSConfig = cfg.TLS
	}
	redis.SetLogger(&logging.VoidLogger{})
	r := &Redis{timeout: cfg.Timeout, origin: strconv.FormatUint(rand.Uint64(), 36)}
	if cfg.Cluster {
		r.cluster = redis.NewClusterClient(opt.Cluster())
		r.client = r.cluster
	} else {
		r.client = redis.NewUniversalClient(opt)
	}
	r.scripts.take, r.scripts.settle, r.scripts.renew = redis.NewScript(takeScript), redis.NewScript(settleScript), redis.NewScript(renewScript)
	r.breaker = newBreaker(r.probe, cfg.Probe, cfg.Log.With("redis", strings.Join(opt.Addrs, ",")), cfg.OnState)
	r.ledger = newLedger(r, cfg.Lease)
	r.breaker.begin()
	return r, nil
}

// Up reports whether Redis answers, as far as is known.
func (r *Redis) Up() bool { return !r.breaker.open() }

// Close settles what has ended, ends the connections and waits for the probe. Afterwards every limiter over r keeps its limits by itself.
func (r *Redis) Close() error {
	r.ledger.close()
	r.breaker.close()
	if err := r.client.Close(); err != nil {
		return fmt.Errorf("closing redis: %w", err)
	}
	return nil
}

func (r *Redis) newID() string { return r.origin + strconv.FormatUint(r.serial.Add(1), 36) }

func (r *Redis) open(id string, claims []claim) { r.ledger.open(id, claims) }

func (r *Redis) settle(id string, changes []change) { r.ledger.settle(id, changes) }

// take takes what the asks need from every bucket, or from none if one of them is short and refuses, and fills in the debts.
func (r *Redis) take(ctx context.Context, id string, asks []ask) (ok bool, err error) {
	if r.breaker.open() {
		return false, errAway
	}
	groups := [][]ask{asks}
	if r.cluster != nil {
		groups = byTag(asks)
	}
	if len(groups) == 1 {
		ok, err = r.takeGroup(ctx, id, asks)
	} else {
		ok, err = r.takeGroups(ctx, id, groups)
	}
	if err != nil {
		r.breaker.trip(err)
	}
	return ok, err
}

// takeGroup takes from buckets that live in one place.
func (r *Redis) takeGroup(ctx context.Context, id string, asks []ask) (ok bool, err error) {
	keys, args := make([]string, 0, 2*len(asks)), make([]any, 0, 2+6*len(asks))
	args = append(args, id, r.ledger.lease.Milliseconds())
	for i := range asks {
		a := &asks[i]
		keys = appendKeys(keys, string(a.key))
		args = append(args, a.rate.gain, a.need, a.rate.full, int64(a.mode), a.soft, a.keeps.Milliseconds())
	}
	answer, err := r.run(ctx, r.scripts.take, keys, args)
	if err != nil {
		return false, err
	}
	if len(answer) != 2*len(asks)+1 {
		return false, fmt.Errorf("taking from buckets in redis: %d answers for %d buckets", len(answer)/2, len(asks))
	}
	for i := range asks {
		asks[i].debt, asks[i].taken = answer[2*i+1], answer[2*i+2] == 1
	}
	return answer[0] == 1, nil
}

// appendKeys appends where a bucket and its open reservations are.
func appendKeys(keys []string, bucket string) []string {
	return append(keys, keyPrefix+bucket, keyPrefix+bucket+":open")
}

// probe writes to a bucket of its own, so that a Redis which answers but cannot be written to counts as away. Of a cluster every
// master must answer.
func (r *Redis) probe(ctx context.Context) error {
	if r.cluster != nil {
		ctx, cancel := context.WithTimeout(ctx, 4*r.timeout)
		defer cancel()
		if err := r.cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return c.Ping(ctx).Err() }); err != nil {
			return fmt.Errorf("asking the masters: %w", err)
		}
	}
	_, err := r.run(ctx, r.scripts.take, appendKeys(nil, "{probe}"), []any{"probe", 1000, 1, 1, 1 << 20, 0, 0, 0})
	return err
}

// run calls a script within the time-out. It does not heed the end of ctx: a client that leaves is no fault of Redis.
func (r *Redis) run(ctx context.Context, script *redis.Script, keys []string, args []any) ([]int64, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
	defer cancel()
	answer, err := script.Run(ctx, r.client, keys, args...).Int64Slice()
	if err != nil {
		return nil, fmt.Errorf("counting in redis: %w", err)
	}
	return answer, nil
}
