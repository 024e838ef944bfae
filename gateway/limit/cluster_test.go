package limit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
	"github.com/warmlane/warmlane/gateway/redistest"
)

// startCluster starts a Redis Cluster of three masters on loopback and returns its URL.
func startCluster(t *testing.T) string {
	t.Helper()
	var nodes []*redis.Client
	var ports []int
	for i := range 3 {
		port := redistest.FreePort(t)
		addr := fmt.Sprint("127.0.0.1:", port)
		redistest.StartAt(t, addr, "--port", fmt.Sprint(port), "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000")
		node := redis.NewClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { _ = node.Close() })
		if err := node.ClusterAddSlotsRange(t.Context(), i*16384/3, (i+1)*16384/3-1).Err(); err != nil {
			t.Fatal(err)
		}
		nodes, ports = append(nodes, node), append(ports, port)
	}
	meet := func() { // a node forgets one that does not answer within its time-out of 2 s
		for _, port := range ports[1:] {
			if err := nodes[0].ClusterMeet(t.Context(), "127.0.0.1", fmt.Sprint(port)).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	meet()
	met := time.Now()
	for _, node := range nodes {
		eventually(t, "the cluster is whole", func() bool {
			if time.Since(met) > 3*time.Second {
				meet()
				met = time.Now()
			}
			info, err := node.ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return fmt.Sprintf("redis://127.0.0.1:%d?addr=127.0.0.1:%d&addr=127.0.0.1:%d", ports[0], ports[1], ports[2])
}

// TestCluster has limits whose buckets live on different nodes: what one refuses is given back to the others.
func TestCluster(t *testing.T) {
	url := startCluster(t)
	shared := openRedis(t, limit.RedisConfig{URL: url, Cluster: true, Timeout: 5 * time.Second})
	byUser := []config.By{{Kind: config.ByUser}}
	l := newLimiter(t, limit.Config{Limits: []config.Limit{
		{Name: "all", Requests: []config.Rate{per(30, time.Hour)}, Tokens: []config.Rate{per(100_000, config.Day)}},
		{Name: "each", By: byUser, Requests: []config.Rate{per(5, time.Hour)}, Concurrency: 3},
	}}, shared)
	passed := 0
	for user := range 4 { // on several nodes
		q := limit.Query{Subject: config.Subject{User: fmt.Sprint(user)}, Prompt: 1000}
		for range 20 {
			var place *limit.Reservation
			var fail *failure.Error
			eventually(t, "room for one more at a time", func() bool { // places are given back off the way of requests
				place, fail = l.Reserve(t.Context(), &q)
				return fail == nil || !strings.Contains(fail.Message, "at a time")
			})
			if fail == nil {
				passed++
				place.Settle(limit.Use{Input: 500}, true)
			}
		}
	}
	if passed != 20 {
		t.Errorf("%d requests passed, want 5 of each of 4", passed)
	}
	eventually(t, "what was refused is back", func() bool {
		q := limit.Query{Subject: config.Subject{User: "probe"}}
		place, fail := l.Reserve(t.Context(), &q)
		if fail != nil {
			return false
		}
		place.Settle(limit.Use{}, false)
		return header(place, "x-ratelimit-remaining-tokens") == "90000"
	})
	if !shared.Up() {
		t.Error("the limits were not kept in Redis")
	}
}
