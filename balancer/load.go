package balancer

import (
	"math"
	"time"
)

// Load is one scrape of an endpoint. Unknown numbers are NaN or 0, unknown times zero; nothing unknown is taken for
// idle.
type Load struct {
	// Running and Waiting are the engine's gauges of requests.
	Running, Waiting float64
	// KVUse is the used part of the KV memory, 0..1. KVTokens is its capacity.
	KVUse    float64
	KVTokens int
	// Queries and Hits are the engine's counters of prompt tokens looked up in and found by its prefix cache.
	Queries, Hits float64
	// Started is when the engine process began. A change drops what is believed of its cache and speed.
	Started time.Time
	// MaxModelLen is the longest context in tokens.
	MaxModelLen int
	// Models are the names the engine serves, adapters included. Empty means any.
	Models []string
	// Interval is the time between scrapes; a sample older than three of them is unknown. 0 means one second.
	Interval time.Duration
}

const (
	foreignTime    = 5.0 // s, by which a guess of foreign load fades
	mostForeign    = 1e5 // requests at one endpoint; a gauge that tells of more is broken
	staleIntervals = 3
	sameStart      = time.Second // two start times closer than this are one
)

// scraped is the last scrape of an endpoint and what it says about requests that are not ours.
type scraped struct {
	load    Load
	at      time.Time
	foreign float64 // requests at the moment of the scrape, beyond our own at that moment; 0 when not told
	running float64 // those of them past the first token
}

// fresh tells whether the scrape still says something about now.
func (s *scraped) fresh(now time.Time) bool {
	interval := s.load.Interval
	if interval <= 0 {
		interval = time.Second
	}
	age := now.Sub(s.at)
	return !s.at.IsZero() && age >= 0 && age <= staleIntervals*interval
}

// others is the faded guess of foreign requests in flight that no peer tells of, and of those of them that decode; 0 when
// unknown, which leaves our own counts alone.
func (e *Endpoint) others(now time.Time) (inFlight, decoding float64) {
	s := &e.scraped
	n, d := s.foreign, s.running
	if e.peers != nil {
		n -= float64(e.peers.scraped.inFlight)
		d = min(max(0, d-float64(e.peers.scraped.decoding)), n)
	}
	if !(n > 0) || !s.fresh(now) {
		return 0, 0
	}
	faded := math.Exp(-now.Sub(s.at).Seconds() / foreignTime)
	return faded * n, faded * d
}

// compare sets what the gauges tell beyond our own requests. Ours that decode are among the running ones; of ours that
// wait the engine may have begun with some.
func (s *scraped) compare(own *counts) {
	running, waiting := s.load.Running, s.load.Waiting
	if !(running >= 0) || !(waiting >= 0) || running+waiting > mostForeign {
		return
	}
	s.foreign = max(0, running+waiting-float64(own.inFlight))
	s.running = min(max(0, running-float64(own.decoding)), s.foreign)
}

// Observe takes in a successful scrape of e.
func (p *Pool) Observe(e *Endpoint, l Load, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if restarted(&e.scraped.load, &l) {
		p.restarted(e)
	}
	if l.KVTokens <= 0 {
		l.KVTokens = e.scraped.load.KVTokens
	}
	if l.KVTokens != e.scraped.load.KVTokens {
		e.trust.resize()
	}
	if l.Started.IsZero() {
		l.Started = e.scraped.load.Started
	}
	if !(l.Queries > 0) {
		l.Queries = e.scraped.load.Queries
	}
	before := e.scraped.load
	e.scraped = scraped{load: l, at: now}
	e.scraped.compare(&e.count)
	e.countSlots(&before)
	if e.peers != nil {
		e.peers.scraped = e.peers.counts
	}
	p.setBudget(e)
	p.measureContexts()
	p.serveQueue(now)
}

// LongestContext is the most tokens, prompt and answer together, that any endpoint takes; 0 where that is not known of all.
func (p *Pool) LongestContext() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.longestContext == math.MaxInt {
		return 0
	}
	return p.longestContext
}

func (p *Pool) measureContexts() {
	p.longestContext = 0
	for _, e := range p.endpoints {
		most := e.scraped.load.MaxModelLen
		if most <= 0 {
			most = math.MaxInt
		}
		p.longestContext = max(p.longestContext, most)
	}
}

// restarted tells whether two scrapes are of different processes: by their start, or by a counter that went back.
func restarted(old, now *Load) bool {
	if !old.Started.IsZero() && !now.Started.IsZero() {
		return now.Started.Sub(old.Started).Abs() > sameStart
	}
	return now.Queries > 0 && now.Queries < old.Queries
}

// restarted drops what was believed of the engine process that e was.
func (p *Pool) restarted(e *Endpoint) {
	p.index.Drop(e.index)
	p.share.restarted(e)
	e.speed.forget()
	e.trust = newTrust()
	e.slots = 0
	e.epoch++
	e.scraped = scraped{load: Load{KVTokens: e.scraped.load.KVTokens, Models: e.scraped.load.Models}}
	p.learner.refit()
}

// Unobserved notes a scrape of e that failed. It is no evidence against an endpoint; what was known grows stale, and
// a dial is due that tells whether the port still answers.
func (p *Pool) Unobserved(e *Endpoint, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.health.wantDial(now)
}
