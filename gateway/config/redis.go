package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Redis is the store that several gateways share. Without a URL limits live in this process.
type Redis struct {
	// URL is redis://, rediss:// or unix:// with user, password and number of the database, as go-redis' ParseURL reads it. Its query may
	// name further nodes (addr=HOST:PORT, again for each) and, for Sentinel, master_name, sentinel_username and sentinel_password.
	URL     Secret `yaml:"url,scalar"`
	Cluster bool   `yaml:"cluster"` // the URL names nodes of a Redis Cluster
	CA      string `yaml:"ca"`      // PEM file with the authorities that rediss:// trusts; "" = the system's

	ca string // the file's content as it was checked
}

// Enabled reports whether a Redis is configured.
func (r *Redis) Enabled() bool { return !r.URL.Empty() }

// RedisOptions are go-redis' for a URL, with every wait bounded by timeout, twice that for a dial. Nothing is repeated: a repeated script
// would count twice, and a repeated dial is a wait. The error does not quote the URL, which may hold a password.
func RedisOptions(text string, timeout time.Duration) (*redis.UniversalOptions, error) {
	bad := errors.New("reading the Redis URL: it is none of redis://, rediss:// and unix://, or malformed")
	u, err := url.Parse(text)
	if err != nil {
		return nil, bad
	}
	query := u.Query()
	take := func(name string) string {
		value := query.Get(name)
		query.Del(name)
		return value
	}
	further := query["addr"]
	query.Del("addr")
	master, user, password := take("master_name"), take("sentinel_username"), take("sentinel_password")
	u.RawQuery = query.Encode()
	one, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, bad
	}
	return &redis.UniversalOptions{
		Addrs: append([]string{one.Addr}, further...), DB: one.DB, Username: one.Username, Password: one.Password, TLSConfig: one.TLSConfig,
		MasterName: master, SentinelUsername: user, SentinelPassword: password,
		ContextTimeoutEnabled: true,
		DialTimeout:           2 * timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
		MaxRetries: -1, DialerRetries: 1, PoolSize: 64, MinIdleConns: 1, PipelinePoolSize: -1,
		ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}, nil
}

// Client makes a client of the configured Redis, for all but limits, which have their own way of waiting. Nothing connects yet.
func (r *Redis) Client(patience time.Duration) (redis.UniversalClient, error) {
	o, err := RedisOptions(r.URL.Reveal(), patience)
	if err != nil {
		return nil, err
	}
	trusts, err := r.TLSConfig()
	if err != nil {
		return nil, err
	}
	if trusts != nil && o.TLSConfig != nil {
		o.TLSConfig = trusts
	}
	if r.Cluster {
		return redis.NewClusterClient(o.Cluster()), nil
	}
	return redis.NewUniversalClient(o), nil
}

// TLSConfig returns what rediss:// trusts, nil for the system's authorities.
func (r *Redis) TLSConfig() (*tls.Config, error) {
	if r.CA == "" {
		return nil, nil
	}
	text := []byte(r.ca)
	if r.ca == "" {
		var err error
		if text, err = readSmall(r.CA, 1<<20); err != nil {
			return nil, err
		}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("it holds no certificate")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
