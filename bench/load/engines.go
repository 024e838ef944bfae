package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warmlane/warmlane/scraper/engines"
)

// metricsLimit bounds an engine's metrics page; vLLM's has 62 KB.
const metricsLimit = 8 << 20

// EngineCount is what one engine counted itself.
type EngineCount struct {
	Requests int     // finished requests; -1 when the engine does not tell
	Queries  float64 // prompt tokens looked up in the prefix cache; NaN when unknown
	Hits     float64 // of these, found; NaN when unknown
}

// Since is the growth from before to c. An engine restarted in between counts from 0, which is seen by a falling
// counter.
func (c EngineCount) Since(before EngineCount) EngineCount {
	if c.Requests < before.Requests || c.Queries < before.Queries || c.Hits < before.Hits {
		return c
	}
	grown := EngineCount{Requests: -1, Queries: c.Queries - before.Queries, Hits: c.Hits - before.Hits}
	if before.Requests >= 0 {
		grown.Requests = c.Requests - before.Requests
	}
	return grown
}

// EngineHitRate is the token hit rate over several engines; NaN when none of them tells its own.
func EngineHitRate(counts []EngineCount) float64 {
	var queries, hits float64
	for _, c := range counts {
		if !math.IsNaN(c.Queries) && !math.IsNaN(c.Hits) {
			queries += c.Queries
			hits += c.Hits
		}
	}
	if queries == 0 {
		return math.NaN()
	}
	return hits / queries
}

// CountEngines reads the counters of the engines at the given base URLs, in their order.
func CountEngines(ctx context.Context, urls []string) ([]EngineCount, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	counts := make([]EngineCount, len(urls))
	group, ctx := errgroup.WithContext(ctx)
	for i, u := range urls {
		group.Go(func() error {
			page, err := metricsPage(ctx, client, u)
			if err != nil {
				return fmt.Errorf("reading the counters of %s: %w", u, err)
			}
			counts[i], err = countPage(page)
			if err != nil {
				return fmt.Errorf("reading the counters of %s: %w", u, err)
			}
			return nil
		})
	}
	return counts, group.Wait()
}

func metricsPage(ctx context.Context, client *http.Client, engine string) ([]byte, error) {
	base, err := BaseURL(engine)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, versioned.ReplaceAllString(base, "")+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	page, err := io.ReadAll(io.LimitReader(resp.Body, metricsLimit))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, statusFailure(resp.StatusCode, page)
	}
	return page, nil
}

// requestCounters are the counters of finished requests that engines are known to have.
var requestCounters = [...]string{"vllm:request_success_total", "sglang:num_requests_total"}

func countPage(page []byte) (EngineCount, error) {
	c := EngineCount{Requests: -1, Queries: math.NaN(), Hits: math.NaN()}
	if table := engines.Detect(page); table != nil {
		sample, err := engines.Parse(table, page)
		if err != nil {
			return c, err
		}
		c.Queries, c.Hits = sample.Queries, sample.Hits
	}
	for _, name := range requestCounters {
		if n, ok := sumRows(page, name); ok {
			c.Requests = int(n)
		}
	}
	return c, nil
}

// sumRows adds up all rows of a counter in Prometheus text.
func sumRows(page []byte, name string) (sum float64, found bool) {
	for lines := bufio.NewScanner(bytes.NewReader(page)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || (rest[0] != '{' && rest[0] != ' ') {
			continue
		}
		fields := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:]) // value, and perhaps a timestamp
		if len(fields) == 0 {
			continue
		}
		if v, err := strconv.ParseFloat(fields[0], 64); err == nil {
			sum, found = sum+v, true
		}
	}
	return sum, found
}
