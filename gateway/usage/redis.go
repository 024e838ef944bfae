package usage

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed add.lua
var addScript string

// keyPrefix begins every key. A day's keys lie in one slot of a cluster.
const keyPrefix = "warmlane:usage:"

// scanAtOnce is how many fields are read in one piece, so that a large day does not stop a Redis that limits wait for.
const scanAtOnce = 1000

// shared keeps a day's counts in a hash of Redis, one field a combination and measure.
type shared struct {
	client  redis.UniversalClient
	script  *redis.Script
	gateway string // this process
	keep    time.Duration
}

func openRedis(o *Options, gateway string) (*shared, error) {
	client, err := o.Redis.Client(patience)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return &shared{
		client: client, script: redis.NewScript(addScript), gateway: gateway,
		keep: time.Duration(o.KeepDays+1) * 24 * time.Hour, // from the day's last request on
	}, nil
}

func (s *shared) add(ctx context.Context, b *batch) error {
	keys := []string{countsOf(b.day), countsOf(b.day) + ":from"}
	args := make([]any, 0, 3+2*int(measures)*len(b.rows))
	args = append(args, s.gateway, b.number, s.keep.Milliseconds())
	for i := range b.rows {
		for m, n := range b.rows[i].count {
			if n != 0 {
				args = append(args, fieldOf(b.rows[i].key, Measure(m)), n)
			}
		}
	}
	if err := s.script.Run(ctx, s.client, keys, args...).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

func (s *shared) read(ctx context.Context, day string, each func(Key, *Count)) error {
	fields := s.client.HScan(ctx, countsOf(day), 0, "", scanAtOnce).Iterator()
	seen := map[string]bool{} // a scan may tell a field twice
	for fields.Next(ctx) {
		field := fields.Val()
		if !fields.Next(ctx) {
			break
		}
		key, m, ok := readField(field)
		n, err := strconv.ParseInt(fields.Val(), 10, 64)
		if !ok || err != nil || seen[field] {
			continue
		}
		seen[field] = true
		key[Day] = day
		var c Count
		c[m] = n
		each(key, &c)
	}
	if err := fields.Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

func (s *shared) close() error { return s.client.Close() }

func countsOf(day string) string { return keyPrefix + "{" + day + "}" }

// fieldOf names a combination without its day, and a measure: ["dify","shop","llama3","llama3","shop","requests"].
func fieldOf(k Key, m Measure) string {
	return string(pack(append(k[Consumer:len(k):len(k)], Measures()[m])))
}

// readField is the reverse of fieldOf; false for what somebody else, or another release, has put there.
func readField(field string) (k Key, m Measure, ok bool) {
	parts, ok := unpack([]byte(field), len(k))
	if !ok {
		return k, 0, false
	}
	copy(k[Consumer:], parts)
	for i, name := range Measures() {
		if name == parts[len(parts)-1] {
			return k, Measure(i), true
		}
	}
	return k, 0, false
}
