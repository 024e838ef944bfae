package usage_test

import (
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/usage"
)

// A node of a cluster refuses scripts whose keys do not lie in one slot.
func TestBook_Cluster(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server on this machine")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	node := exec.Command("redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--appendonly", "no",
		"--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(busPort(t)))
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Process.Kill(); _ = node.Wait() })
	c := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port)})
	defer c.Close()
	for deadline, tick := time.Now().Add(10*time.Second), time.NewTicker(5*time.Millisecond); c.Ping(t.Context()).Err() != nil; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("the node does not answer within 10 s")
		}
	}
	if err := c.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	b := open(t, usage.Options{Redis: config.Redis{URL: config.NewSecret(fmt.Sprintf("redis://127.0.0.1:%d", port)), Cluster: true}})
	b.Record(&usage.Entry{Consumer: "a", Prompt: 5})
	for deadline, tick := time.Now().Add(10*time.Second), time.NewTicker(20*time.Millisecond); b.Flush(t.Context()) != nil; <-tick.C {
		if time.Now().After(deadline) { // until the node says that all slots are there
			t.Fatal(b.Flush(t.Context()))
		}
	}
	same(t, "in a cluster", table(t, b, usage.Query{By: []usage.Dimension{usage.Consumer}}), "a [1 0 0 0 5 0 0 0]")
}

// busPort is a free port for the nodes of a cluster among each other.
func busPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
