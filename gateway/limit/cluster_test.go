package limit_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
)

// startCluster starts a Redis Cluster of three masters on loopback and returns its URL.
func startCluster(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server on this machine")
	}
	var nodes []*redis.Client
	var ports []int
	for i := range 3 {
		port := freePort(t)
		folder := t.TempDir()
		c := exec.Command("redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no",
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000")
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		node := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port)})
		t.Cleanup(func() { _ = node.Close() })
		eventually(t, "a node answers", func() bool { return node.Ping(t.Context()).Err() == nil })
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

// freePort is a port that is free, and so is the one 10,000 above it, by which nodes talk.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		a, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := a.Addr().(*net.TCPAddr).Port
		b, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10_000))
		_ = a.Close()
		if err == nil {
			_ = b.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
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
