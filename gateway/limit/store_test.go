package limit_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that moves when told.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	follow func(time.Time)
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	if c.follow != nil {
		c.follow(c.now)
	}
}

// onEachStore runs a test with a clock in hand on buckets in memory and on buckets in a Redis.
func onEachStore(t *testing.T, test func(t *testing.T, c *clock, limiter func(...config.Limit) *limit.Limiter)) {
	t.Run("memory", func(t *testing.T) {
		c := newClock()
		memory := limit.NewMemory(0, c.Now)
		test(t, c, func(limits ...config.Limit) *limit.Limiter {
			return newLimiter(t, limit.Config{Limits: limits, Memory: memory}, nil)
		})
	})
	t.Run("redis", func(t *testing.T) {
		c := newClock()
		server := miniredis.RunT(t)
		c.follow = server.SetTime
		server.SetTime(c.Now())
		shared := openRedis(t, limit.RedisConfig{URL: "redis://" + server.Addr(), Timeout: time.Second})
		test(t, c, func(limits ...config.Limit) *limit.Limiter {
			l := newLimiter(t, limit.Config{Limits: limits, Memory: limit.NewMemory(0, c.Now)}, shared)
			t.Cleanup(func() {
				if !shared.Up() {
					t.Error("the limits were not kept in Redis")
				}
			})
			return l
		})
	})
}

// newLimiter makes a limiter whose limits refuse, as limits do by default.
func newLimiter(t testing.TB, cfg limit.Config, shared *limit.Redis) *limit.Limiter {
	t.Helper()
	for i := range cfg.Limits {
		cfg.Limits[i].Enforce = true
	}
	l, err := limit.New(cfg, shared)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openRedis(t testing.TB, cfg limit.RedisConfig) *limit.Redis {
	t.Helper()
	r, err := limit.OpenRedis(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// redisServer is a real redis-server on a Unix socket.
type redisServer struct {
	t       testing.TB
	socket  string
	process *exec.Cmd
}

func startRedis(t testing.TB) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server on this machine")
	}
	folder, err := os.MkdirTemp("", "redis") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	s := &redisServer{t: t, socket: filepath.Join(folder, "s")}
	t.Cleanup(func() {
		s.kill()
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	s.start()
	return s
}

func (s *redisServer) url() string { return "unix://" + s.socket }

// start starts the server and waits until it takes connections.
func (s *redisServer) start() {
	s.t.Helper()
	s.process = exec.Command("redis-server", "--port", "0", "--unixsocket", s.socket, "--save", "", "--appendonly", "no")
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "redis-server takes connections", func() bool {
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

func (s *redisServer) kill() {
	if s.process == nil {
		return
	}
	s.signal(syscall.SIGKILL)
	_ = s.process.Wait() // it was killed: that is an error
	s.process = nil
}

func (s *redisServer) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Error(err)
	}
}

func (s *redisServer) pause()  { s.t.Helper(); s.signal(syscall.SIGSTOP) }
func (s *redisServer) resume() { s.t.Helper(); s.signal(syscall.SIGCONT) }

// eventually polls until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(10 * time.Second)
	for !cond() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// command sends one command to the server.
func (s *redisServer) command(args ...any) {
	s.t.Helper()
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket})
	if err := errors.Join(c.Do(s.t.Context(), args...).Err(), c.Close()); err != nil {
		s.t.Error(err)
	}
}

// span is how long a measurement takes: short beside other tests, long where promises are measured.
func span(short, long time.Duration) time.Duration {
	if os.Getenv("WARMLANE_PROMISES") != "" {
		return long
	}
	return short
}
