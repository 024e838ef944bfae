package usage_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/redistest"
	"github.com/warmlane/warmlane/gateway/usage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that moves when told.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func at(text string) *clock {
	now, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return &clock{now: now}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func in(s *redistest.Server) config.Redis { return config.Redis{URL: config.NewSecret(s.URL)} }

// open opens a book that is closed at the test's end.
func open(t testing.TB, o usage.Options) *usage.Book {
	t.Helper()
	b, err := usage.Open(fill(o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// fill adds the defaults of the configuration.
func fill(o usage.Options) usage.Options {
	if o.KeepDays == 0 {
		o.KeepDays = 90
	}
	if o.Zone == "" {
		o.Zone = "UTC"
	}
	return o
}

// onEachStore runs a test on counts in memory, in a file and in Redis.
func onEachStore(t *testing.T, test func(t *testing.T, o usage.Options)) {
	t.Run("memory", func(t *testing.T) { test(t, usage.Options{}) })
	t.Run("file", func(t *testing.T) {
		test(t, usage.Options{Usage: config.Usage{File: filepath.Join(t.TempDir(), "usage.db")}})
	})
	t.Run("redis", func(t *testing.T) { test(t, usage.Options{Redis: in(redistest.Start(t))}) })
}

// table is a report in lines: the dimensions, then requests, failed, cached, estimated, the three kinds of tokens and the cost.
func table(t testing.TB, b *usage.Book, q usage.Query) string {
	t.Helper()
	r, err := b.Report(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, row := range r.Rows {
		for _, d := range q.By {
			text.WriteString(row.Key[d] + " ")
		}
		fmt.Fprintln(&text, row.Count)
	}
	return text.String()
}

func same(t testing.TB, what, got, want string) {
	t.Helper()
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}
