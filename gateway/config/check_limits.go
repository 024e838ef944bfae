package config

import (
	"fmt"
	"math"
	"slices"
	"time"
	_ "time/tzdata" // for machines that know no zones, such as an empty container
)

func (c *checker) limits(limits []Limit) {
	c.names("limits", len(limits), func(i int) string { return limits[i].Name })
	for i := range limits {
		c.limit(fmt.Sprintf("limits[%d]", i), &limits[i])
	}
}

func (c *checker) limit(at string, l *Limit) {
	c.match(at+".match", &l.Match)
	for j, by := range l.By {
		if slices.Index(l.By, by) < j {
			c.fault(fmt.Sprintf("%s.by[%d]", at, j), fmt.Sprintf("%s is here a second time", by), "remove it")
		}
	}
	c.bounds(at, l)
	c.zone(at+".zone", l.Zone)
	c.oneOf(at+".reserve", l.Reserve, []string{ReserveExpected, ReserveStrict})
	c.oneOf(at+".redis_down", l.RedisDown, []string{RedisAllow, RedisRefuse})
	c.oneOf(at+".cached", l.Cached, []string{CachedRequests, CachedNothing})
	if l.MaxOutput < 1 {
		c.fault(at+".max_output", "must be at least 1", "write a number of tokens such as 4096")
	}
	if l.Status < 400 || l.Status > 599 {
		c.fault(at+".status", "must be 400 to 599", "write 429, which clients understand best")
	}
}

// bounds checks that a limit limits something, once for each unit of time.
func (c *checker) bounds(at string, l *Limit) {
	c.rates(at+".requests", l.Requests)
	c.rates(at+".tokens", l.Tokens)
	c.rates(at+".input_tokens", l.InputTokens)
	c.rates(at+".output_tokens", l.OutputTokens)
	spends := make([]Rate, len(l.Cost))
	for i, s := range l.Cost {
		spends[i] = Rate(s)
	}
	c.rates(at+".cost", spends)
	if len(l.Cost) > 0 && len(c.cfg.Prices.Models) == 0 {
		c.fault(at+".cost", "there are no prices", "write prices: {currency: CNY, models: [{models: [NAME], input: 2, output: 8}]}")
	}
	if l.Concurrency < 0 {
		c.fault(at+".concurrency", "must not be negative", "write how many requests may be under way at a time, or 0 for no bound")
	}
	if len(l.Requests)+len(l.Tokens)+len(l.InputTokens)+len(l.OutputTokens)+len(l.Cost) == 0 && l.Concurrency == 0 {
		c.fault(at+".requests", "a limit needs at least one bound",
			"write requests: [10/s], tokens: [500/min], input_tokens, output_tokens, cost or concurrency: 10")
	}
}

func (c *checker) rates(at string, rates []Rate) {
	seen := map[time.Duration]bool{}
	for i, r := range rates {
		if seen[r.Per] && r.Per > 0 {
			c.fault(fmt.Sprintf("%s[%d]", at, i), "a second rate for the same unit of time", "keep the lower one")
		}
		seen[r.Per] = true
	}
}

// zone checks the name of a time zone.
func (c *checker) zone(path, name string) {
	if _, err := time.LoadLocation(name); err != nil || name == "" || name == "Local" {
		c.fault(path, fmt.Sprintf("there is no time zone %q", name), "write a name such as UTC or Asia/Shanghai")
	}
}

func (c *checker) prices(p *Prices) {
	for i := range p.Models {
		at := fmt.Sprintf("prices.models[%d]", i)
		if len(p.Models[i].Models) == 0 {
			c.fault(at+".models", "a price needs models", `write models: [NAME], or ["*"] for all that no price above names`)
		}
		c.nonEmpty(at+".models", p.Models[i].Models)
		for key, value := range map[string]float64{"input": p.Models[i].Input, "cached": p.Models[i].Cached, "output": p.Models[i].Output} {
			if !(value >= 0 && value <= 1e6) || math.IsNaN(value) {
				c.fault(at+"."+key, "must be 0 to 1000000", "write what a million tokens cost")
			}
		}
	}
}
