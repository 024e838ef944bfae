package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warmlane/warmlane/gateway/config"
)

const (
	redisPatience = 25 * time.Millisecond
	redisRest     = time.Second // after a failure
	redisPrefix   = "warmlane:cache:"
	scanAtOnce    = 500
)

// literal takes the meaning from signs of a pattern; * and ? are in no name.
var literal = strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`)

// shared keeps answers in Redis, one key an answer.
type shared struct {
	client redis.UniversalClient
	log    *slog.Logger
	rests  atomic.Int64 // until when Redis is left alone, in Unix nanoseconds
}

// stored is an answer in Redis.
type stored struct {
	ContentType string    `json:"type"`
	Stored      time.Time `json:"stored"`
	Body        []byte    `json:"body"`
}

func openRedis(cfg *config.Redis, log *slog.Logger) (*shared, error) {
	client, err := cfg.Client(redisPatience)
	if err != nil {
		return nil, fmt.Errorf("redis for the answer cache: %w", err)
	}
	return &shared{client: client, log: log}, nil
}

func nameOf(rule string, k Key) string { return redisPrefix + rule + ":" + k.String() }

// resting reports whether Redis is left alone.
func (s *shared) resting() bool { return time.Now().UnixNano() < s.rests.Load() }

// rest leaves Redis alone for a while, and says so once.
func (s *shared) rest(err error) {
	now := time.Now()
	if until := s.rests.Load(); s.rests.CompareAndSwap(until, now.Add(redisRest).UnixNano()) && now.UnixNano()-until > int64(redisRest) {
		s.log.Warn("redis does not answer, no answers are taken from the cache", "err", err)
	}
}

func (s *shared) get(ctx context.Context, rule string, k Key, _ time.Time) (*Answer, bool) {
	if s.resting() {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	text, err := s.client.Get(ctx, nameOf(rule, k)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, false
	}
	if err != nil {
		s.rest(err)
		return nil, false
	}
	var a stored
	if json.Unmarshal(text, &a) != nil {
		return nil, false // somebody else's, or of another release
	}
	return &Answer{ContentType: a.ContentType, Body: a.Body, Stored: a.Stored}, true
}

// put takes as long as Redis does, 25 ms at most.
func (s *shared) put(ctx context.Context, rule string, k Key, a *Answer, ttl time.Duration, _ time.Time) {
	if s.resting() {
		return
	}
	text, err := json.Marshal(stored{a.ContentType, a.Stored, a.Body})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	if err := s.client.Set(ctx, nameOf(rule, k), text, ttl).Err(); err != nil {
		s.rest(err)
	}
}

func (s *shared) drop(ctx context.Context, rule string) (int, error) {
	return s.dropAll(ctx, redisPrefix, rule)
}

// dropAll drops the keys of a rule with that prefix.
func (s *shared) dropAll(ctx context.Context, prefix, rule string) (int, error) {
	pattern := prefix + "*"
	if rule != "" {
		pattern = prefix + literal.Replace(rule) + ":*"
	}
	var n atomic.Int64
	var err error
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return dropOn(ctx, node, pattern, &n) })
	} else {
		err = dropOn(ctx, s.client, pattern, &n)
	}
	if err != nil {
		err = fmt.Errorf("dropping answers in redis: %w", err)
	}
	return int(n.Load()), err
}

// dropOn drops what one node has, each key by itself: those of a cluster lie in different slots.
func dropOn(ctx context.Context, node redis.Cmdable, pattern string, n *atomic.Int64) error {
	for cursor := uint64(0); ; {
		keys, next, err := node.Scan(ctx, cursor, pattern, scanAtOnce).Result()
		if err == nil && len(keys) > 0 {
			_, err = node.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, key := range keys {
					p.Unlink(ctx, key)
				}
				return nil
			})
			n.Add(int64(len(keys)))
		}
		if cursor = next; err != nil || cursor == 0 {
			return err
		}
	}
}

func (s *shared) close() {
	if err := s.client.Close(); err != nil {
		s.log.Warn("closing redis of the answer cache", "err", err)
	}
}
