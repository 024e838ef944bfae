package limit_test

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warmlane/warmlane/gateway/certtest"
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
	"github.com/warmlane/warmlane/gateway/redistest"
)

// launch starts a server where the client looks for it.
func launch(t *testing.T, client *redis.Options, options ...string) (*redistest.Server, *redis.Client) {
	t.Helper()
	s, c := redistest.StartAt(t, client.Addr, options...), redis.NewClient(client)
	t.Cleanup(func() { _ = c.Close() })
	return s, c
}

// asking is a caller whose requests are counted.
func asking() limit.Query { return limit.Query{Subject: config.Subject{User: "u"}, Prompt: 10} }

// counted is a limiter of which three of ten requests of a user are used, in the Redis.
func counted(t *testing.T, shared *limit.Redis) *limit.Limiter {
	t.Helper()
	l := newLimiter(t, limit.Config{Limits: []config.Limit{
		{Name: "x", Tokens: []config.Rate{per(1000, config.Total)}, Concurrency: 1000},
		{Name: "y", Match: config.Match{Users: []string{"u"}}, Requests: []config.Rate{per(10, time.Hour)}},
	}}, shared)
	for range 3 {
		admitted(t, l, asking()).Settle(limit.Use{Input: 20}, true)
	}
	remaining(t, l, "940")
	if !shared.Up() {
		t.Fatal("the limits are not kept in Redis")
	}
	return l
}

// TestVariants_UserAndDatabase has a Redis with users, of whom warmlane's may only do what it needs, in a database of its own.
func TestVariants_UserAndDatabase(t *testing.T) {
	port := redistest.FreePort(t)
	_, admin := launch(t, &redis.Options{Addr: fmt.Sprint("127.0.0.1:", port), Password: "root"}, "--port", fmt.Sprint(port), "--requirepass", "root")
	err := admin.Do(t.Context(), "ACL", "SETUSER", "warmlane", "on", ">p@ss", "~warmlane:*",
		"+@connection", "+@read", "+@write", "+@scripting", "-@dangerous", "+time").Err()
	if err != nil {
		t.Fatal(err)
	}
	counted(t, openRedis(t, limit.RedisConfig{URL: fmt.Sprintf("redis://warmlane:p%%40ss@127.0.0.1:%d/6", port), Timeout: time.Second}))

	info, err := admin.Info(t.Context(), "keyspace").Result()
	if err != nil || !strings.Contains(info, "db6:") || strings.Contains(info, "db0:") {
		t.Errorf("keys are in\n%s%v", info, err)
	}
	wrong := openRedis(t, limit.RedisConfig{URL: fmt.Sprintf("redis://warmlane:wrong@127.0.0.1:%d/6", port)})
	eventually(t, "a wrong password is noticed", func() bool { return !wrong.Up() })
}

// TestVariants_TLS has a Redis that only talks TLS, with a certificate of an authority of its own.
func TestVariants_TLS(t *testing.T) {
	dir, root := t.TempDir(), certtest.Authority(t, "redis")
	path := func(name string) string { return filepath.Join(dir, name) }
	authority, cert, key := path("ca.crt"), path("redis.crt"), path("redis.key")
	root.Write(t, authority, path("ca.key"))
	certtest.Make(t, x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, root).Write(t, cert, key)
	if help, err := exec.Command("redis-server", "--tls-port", "0", "--port", "0", "--bind", "nowhere.invalid").CombinedOutput(); err != nil && strings.Contains(string(help), "Bad directive") {
		t.Skip("redis-server knows no TLS")
	}
	port := redistest.FreePort(t)
	ca := config.Redis{CA: authority}
	trusts, err := ca.TLSConfig()
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprint("127.0.0.1:", port)
	launch(t, &redis.Options{Addr: addr, TLSConfig: trusts}, "--port", "0", "--tls-port", fmt.Sprint(port),
		"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", authority, "--tls-auth-clients", "no")
	counted(t, openRedis(t, limit.RedisConfig{URL: "rediss://" + addr + "/0", TLS: trusts, Timeout: time.Second}))
	for _, cfg := range []limit.RedisConfig{{URL: "rediss://" + addr}, {URL: "redis://" + addr}} {
		stranger := openRedis(t, cfg)
		eventually(t, cfg.URL+" without the authority, or in plain, is away", func() bool { return !stranger.Up() })
	}
}

// TestVariants_Sentinel kills the master: the limits go on in the replica that takes its place, from where they were.
func TestVariants_Sentinel(t *testing.T) {
	ports := [3]int{redistest.FreePort(t), redistest.FreePort(t), redistest.FreePort(t)}
	at := func(i int) *redis.Options {
		return &redis.Options{Addr: fmt.Sprint("127.0.0.1:", ports[i]), Password: [...]string{"data", "data", "watch"}[i]}
	}
	data := func(i int) []string {
		return []string{"--port", fmt.Sprint(ports[i]), "--requirepass", "data", "--masterauth", "data", "--repl-diskless-sync-delay", "0"}
	}
	master, first := launch(t, at(0), data(0)...)
	_, second := launch(t, at(1), append(data(1), "--replicaof", fmt.Sprintf("127.0.0.1 %d", ports[0]))...)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	conf := fmt.Sprintf("port %d\nrequirepass watch\nsentinel monitor lane 127.0.0.1 %d 1\nsentinel auth-pass lane data\n"+
		"sentinel down-after-milliseconds lane 500\nsentinel failover-timeout lane 2000\n", ports[2], ports[0])
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	_, sentinel := launch(t, at(2), file, "--sentinel")
	eventually(t, "the sentinel knows the replica", func() bool {
		reply, err := sentinel.Do(t.Context(), "SENTINEL", "REPLICAS", "lane").Slice()
		return err == nil && len(reply) == 1 && strings.Contains(second.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})

	shared := openRedis(t, limit.RedisConfig{
		URL:   fmt.Sprintf("redis://:data@127.0.0.1:%d/0?master_name=lane&sentinel_password=watch", ports[2]),
		Probe: 50 * time.Millisecond, Timeout: time.Second,
	})
	eventually(t, "redis is found through the sentinel", shared.Up)
	l := counted(t, shared)
	before := header(admitted(t, l, asking()), "x-ratelimit-remaining-requests")
	replicated(t, first)
	master.Kill()
	killed := time.Now()
	_, _ = l.Reserve(t.Context(), &limit.Query{}) // finds it gone
	if shared.Up() {
		t.Error("nobody noticed that the master is gone")
	}
	eventually(t, "the replica is found", shared.Up)
	t.Logf("limits were shared again %s after the master had died", time.Since(killed).Round(time.Millisecond))
	after := header(admitted(t, l, asking()), "x-ratelimit-remaining-requests")
	if before != "6" || after != "5" {
		t.Errorf("%s of ten requests were left before, %s after one more", before, after)
	}
	remaining(t, l, "920") // and ten tokens are set aside for each of the two
}

// replicated waits until the replica has all that the master has.
func replicated(t *testing.T, master *redis.Client) {
	t.Helper()
	c := master.Conn() // the wait is for what this connection wrote, and with it for all before
	defer c.Close()
	if err := c.Set(t.Context(), "warmlane:test", 1, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Wait(t.Context(), 1, 5*time.Second).Result(); n != 1 || err != nil {
		t.Fatalf("%d replicas have it all (%v)", n, err)
	}
}
