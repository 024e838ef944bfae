package usage_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/redistest"
	"github.com/warmlane/warmlane/gateway/usage"
)

// A node of a cluster refuses scripts whose keys do not lie in one slot.
func TestBook_Cluster(t *testing.T) {
	port := redistest.FreePort(t)
	addr := fmt.Sprint("127.0.0.1:", port)
	node := redistest.StartAt(t, addr, "--port", fmt.Sprint(port), "--cluster-enabled", "yes")
	c := redis.NewClient(&redis.Options{Addr: addr})
	defer c.Close()
	if err := c.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	b := open(t, usage.Options{Redis: config.Redis{URL: config.NewSecret(node.URL), Cluster: true}})
	b.Record(&usage.Entry{Consumer: "a", Prompt: 5})
	for deadline, tick := time.Now().Add(10*time.Second), time.NewTicker(20*time.Millisecond); b.Flush(t.Context()) != nil; <-tick.C {
		if time.Now().After(deadline) { // until the node says that all slots are there
			t.Fatal(b.Flush(t.Context()))
		}
	}
	same(t, "in a cluster", table(t, b, usage.Query{By: []usage.Dimension{usage.Consumer}}), "a [1 0 0 0 5 0 0 0]")
}
