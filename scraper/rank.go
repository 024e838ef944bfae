package scraper

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// RankURL is the URL of one data-parallel rank of an engine: the engine's with the rank as fragment, such as http://10.0.0.1:8000#1. As a
// fragment is never sent, the URL can be used like the engine's own.
func RankURL(engine string, rank int) string { return engine + "#" + strconv.Itoa(rank) }

// mostRanks bounds what is held for one engine.
const mostRanks = 1024

// splitRank takes an endpoint's URL apart; rank is -1 for a whole engine.
func splitRank(endpoint string) (base *url.URL, rank int, err error) {
	base, err = url.Parse(endpoint)
	if err != nil {
		return nil, 0, fmt.Errorf("endpoint URL: %w", withoutURL(err))
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, 0, fmt.Errorf("endpoint URL %q is neither http nor https", base.Redacted())
	}
	if base.Fragment == "" {
		return base, -1, nil
	}
	rank, err = strconv.Atoi(base.Fragment)
	if err != nil || rank < 0 || rank >= mostRanks {
		return nil, 0, fmt.Errorf("endpoint URL %q: %q is no rank", base.Redacted(), base.Fragment)
	}
	base.Fragment = ""
	return base, rank, nil
}

// member is an endpoint that is read from an engine's page: the whole engine, or one rank of it.
type member struct {
	endpoint *balancer.Endpoint
	rank     int // -1 for the whole engine
	birth    birth
	started  time.Time
}
