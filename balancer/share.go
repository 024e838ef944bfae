package balancer

import (
	"slices"
	"time"
)

// Several gateways over one fleet choose as one would when each tells the others what it has put where: a pool exports
// deltas by [Pool.Export] and merges those of its peers by [Pool.Merge]. How deltas travel is the caller's business; it
// should be every 100 ms or more often.

const (
	peerSilence  = time.Second            // after which a peer's load is not believed any more
	peerGone     = time.Minute            // after which a peer is a new one
	speedsEvery  = time.Second            // at most, for each endpoint: speeds change slowly
	firstLately  = time.Second            // first tokens that are told
	scrapeSettle = 200 * time.Millisecond // in which peers tell of requests that a scrape saw already
	snapBlocks   = 1 << 16                // in a snapshot, of all endpoints together
	mergeAtOnce  = 1 << 9                 // blocks for which the mutex is held
)

// sharing is what a pool knows of its peers and what it has told them. It exists from the first Export or Merge on.
type sharing struct {
	byKey map[uint64]*Endpoint
	peers []*peer
	check time.Time // no peer has been silent for too long before it

	run, tick uint64
	log       *placementLog // nil until the first Export
	told      []told
}

// told is when an endpoint's speed was last exported, and the samples it rested on.
type told struct {
	samples int
	tick    uint64
	at      time.Time
}

// peer is what another gateway has told.
type peer struct {
	name  string
	until Cursor
	heard time.Time
	loads []counts // by endpoint, as told last; part of the sums in peers
}

// peers is what all peers together have on one endpoint.
type peers struct {
	counts         // loose is D, as we cannot tell which of their blocks are the same
	scraped counts // what of it the last scrape has seen, as far as requests go
}

func (p *Pool) sharing() *sharing {
	if p.share == nil {
		p.share = &sharing{byKey: make(map[uint64]*Endpoint, len(p.endpoints))}
		sums := make([]peers, len(p.endpoints))
		for i, e := range p.endpoints {
			p.share.byKey[e.urlHash], e.peers = e, &sums[i]
		}
	}
	return p.share
}

// Export returns the load of the pool and what is new since an earlier export, whose Until is passed in. The zero
// Cursor, one of another pool and one too long ago get a snapshot, with the lately used part of the index. From the
// first export on the pool keeps a log of placements, of about 1 MiB at most.
func (p *Pool) Export(since Cursor, now time.Time) Delta {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sharing()
	if s.log == nil {
		s.log, s.told = new(placementLog), make([]told, len(p.endpoints))
		s.run = uint64(now.UnixNano())
	}
	placed, known := s.log.since(since.Placed)
	if since.Run != s.run || since.Tick > s.tick || !known {
		since = Cursor{}
	}
	s.tick++
	p.learner.fit(p.endpoints, !p.cfg.ProbeIdle, now)
	d := Delta{
		Since: since, Until: Cursor{Run: s.run, Tick: s.tick, Placed: s.log.next},
		Endpoints: make([]SharedEndpoint, 0, len(p.endpoints)),
	}
	place := make([]int, len(p.endpoints)) // in d.Endpoints, from 1 on
	list := func(i int) int {
		if place[i] == 0 {
			d.Endpoints = append(d.Endpoints, p.ownPart(p.endpoints[i], since, now))
			place[i] = len(d.Endpoints)
		}
		return place[i] - 1
	}
	for i, e := range p.endpoints {
		if p.tellSpeed(e, now) || e.count.inFlight > 0 || now.Sub(e.speed.lastFirst) < firstLately || s.told[i].tick > since.Tick {
			list(i)
		}
	}
	if since == (Cursor{}) {
		p.addHeld(&d, list)
		return d
	}
	for _, entry := range placed {
		if entry.epoch == p.endpoints[entry.endpoint].epoch {
			d.Placements = append(d.Placements, Placement{Endpoint: list(entry.endpoint), Kind: entry.kind, Blocks: entry.blocks})
		}
	}
	return d
}

// tellSpeed tells whether peers do not know yet how fast e is.
func (p *Pool) tellSpeed(e *Endpoint, now time.Time) bool {
	t := &p.share.told[e.index]
	if since := now.Sub(t.at); !e.speed.measured() || e.speed.steps.n == t.samples || since >= 0 && since < speedsEvery {
		return false
	}
	*t = told{samples: e.speed.steps.n, tick: p.share.tick, at: now}
	return true
}

// ownPart is what peers are told of e.
func (p *Pool) ownPart(e *Endpoint, since Cursor, now time.Time) SharedEndpoint {
	if len(e.whole) > 0 {
		e.presumeDone(now)
	}
	c, s := &e.count, &e.speed
	part := SharedEndpoint{
		Key:      e.urlHash,
		InFlight: uint32(c.inFlight), Decoding: uint32(c.decoding), Pending: uint32(c.pending), Context: uint32(c.context),
		Distinct: uint32(float64(p.index.InFlight(e.index))*p.blockTokens) + uint32(c.loose),
	}
	if started := e.scraped.load.Started; !started.IsZero() {
		part.Started = started.UnixMilli()
	}
	if ago := now.Sub(s.lastFirst); ago >= 0 && ago < firstLately {
		part.FirstAgo = max(ago, time.Microsecond)
	}
	if s.measured() && p.share.told[e.index].tick > since.Tick {
		part.Step, part.PerToken = s.step, s.perTok
	}
	return part
}

// addHeld adds the lately used part of the index. It lets others have the mutex in between.
func (p *Pool) addHeld(d *Delta, list func(int) int) {
	each := max(1, snapBlocks/len(p.endpoints))
	for i := range p.endpoints {
		if blocks := p.index.Recent(i, each); len(blocks) > 0 {
			d.Placements = append(d.Placements, Placement{Endpoint: list(i), Kind: Held, Blocks: blocks})
		}
		p.mu.Unlock()
		p.mu.Lock()
	}
}

// Merge takes in a delta that the pool of the same name on another gateway, called from, has exported. Endpoints that
// this pool does not have are skipped, and so are deltas that come twice or late. A peer's load counts as if it were
// ours until it has been silent for a second; its placements become part of the index. The error is [ErrGap] or nil.
func (p *Pool) Merge(from string, d *Delta, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sharing()
	p.forgetSilent(now)
	pr := s.peer(from, len(p.endpoints))
	snapshot := d.Since == Cursor{}
	if pr.knows(d.Until, now) {
		if snapshot && d.Until.Run == pr.until.Run { // overtaken by a delta, which did not bring what it holds
			p.mergePlacements(d, now)
		}
		return nil
	}
	gap := !snapshot && (d.Since.Run != pr.until.Run || d.Since.Placed > pr.until.Placed)
	p.mergeLoad(pr, d, now)
	pr.until, pr.heard = d.Until, now
	p.mergePlacements(d, now)
	p.serveQueue(now)
	if gap {
		return ErrGap
	}
	return nil
}

// peer finds a peer or makes a new one.
func (s *sharing) peer(name string, endpoints int) *peer {
	for _, pr := range s.peers {
		if pr.name == name {
			return pr
		}
	}
	pr := &peer{name: name, loads: make([]counts, endpoints)}
	s.peers = append(s.peers, pr)
	return pr
}

func (pr *peer) silent(now time.Time) bool {
	return pr.heard.IsZero() || now.Sub(pr.heard) >= peerSilence
}

// knows tells whether a delta up to c is old news: a duplicate, late, or of an earlier life of the peer.
func (pr *peer) knows(c Cursor, now time.Time) bool {
	if c.Run == pr.until.Run {
		return c.Tick <= pr.until.Tick
	}
	return c.Run < pr.until.Run && !pr.silent(now)
}

// mergeLoad puts what d tells of endpoints in the place of what the peer has told before.
func (p *Pool) mergeLoad(pr *peer, d *Delta, now time.Time) {
	joins := pr.silent(now)
	p.takeOut(pr, now)
	for i := range d.Endpoints {
		told := &d.Endpoints[i]
		e := p.endpointOf(told)
		if e == nil {
			continue
		}
		pr.loads[e.index] = counts{
			inFlight: int(told.InFlight), decoding: int(min(told.Decoding, told.InFlight)), pending: int(told.Pending),
			context: int(told.Context), loose: int(told.Distinct),
		}
		if told.FirstAgo > 0 || told.Step > 0 {
			e.speed.hear(told, now)
			p.learner.dirty = true
		}
	}
	p.putIn(pr, now)
	for _, e := range p.endpoints {
		if joins || now.Sub(e.scraped.at) <= scrapeSettle {
			seen := &e.peers.scraped
			seen.inFlight, seen.decoding = max(seen.inFlight, e.peers.inFlight), max(seen.decoding, e.peers.decoding)
		}
	}
}

// endpointOf is the endpoint that a peer tells of, nil when there is none or its engine has restarted since. A restart
// that the peer has seen before us is one for us as well.
func (p *Pool) endpointOf(told *SharedEndpoint) *Endpoint {
	e := p.share.byKey[told.Key]
	if e == nil || told.Started == 0 || e.scraped.load.Started.IsZero() {
		return e
	}
	started := time.UnixMilli(told.Started)
	switch ahead := started.Sub(e.scraped.load.Started); {
	case ahead < -sameStart:
		return nil
	case ahead > sameStart:
		p.restarted(e)
		e.scraped.load.Started = started
	}
	return e
}

// putIn counts a peer's load in.
func (p *Pool) putIn(pr *peer, now time.Time) {
	for i := range pr.loads {
		if l := &pr.loads[i]; *l != (counts{}) {
			p.endpoints[i].takeIn(l, 1, now)
		}
	}
}

// takeOut takes it out again.
func (p *Pool) takeOut(pr *peer, now time.Time) {
	for i := range pr.loads {
		if l := &pr.loads[i]; *l != (counts{}) {
			p.endpoints[i].takeIn(l, -1, now)
		}
	}
	clear(pr.loads)
}

// takeIn adds or takes away what a peer has there.
func (e *Endpoint) takeIn(l *counts, sign int, now time.Time) {
	e.peers.add(l, sign)
	if l.waiting() > 0 { // or did until now
		e.speed.lastWait = now
	}
}

// hear notes what a peer tells of an endpoint's speed. Until its first token the engine has been busy with its prompt.
func (s *speed) hear(told *SharedEndpoint, now time.Time) {
	if s.heard == nil {
		s.heard = new(heard)
	}
	if first := now.Add(-told.FirstAgo); told.FirstAgo > 0 && first.After(s.heard.first) {
		s.heard.first = first
	}
	if told.Step > 0 && told.PerToken > 0 {
		s.heard.step, s.heard.perTok, s.heard.at = told.Step, told.PerToken, now
	}
}

// forgetSilent takes out the load of peers that have been silent.
func (p *Pool) forgetSilent(now time.Time) {
	s := p.share
	if s == nil || len(s.peers) == 0 || now.Before(s.check) {
		return
	}
	s.check = now.Add(peerSilence)
	s.peers = slices.DeleteFunc(s.peers, func(pr *peer) bool {
		if pr.silent(now) {
			p.takeOut(pr, now)
		} else if at := pr.heard.Add(peerSilence); at.Before(s.check) {
			s.check = at
		}
		return now.Sub(pr.heard) >= peerGone
	})
}

// mergePlacements takes the placements into the index. It lets others have the mutex in between.
func (p *Pool) mergePlacements(d *Delta, now time.Time) {
	for i := range d.Placements {
		pl := &d.Placements[i]
		if pl.Endpoint < 0 || pl.Endpoint >= len(d.Endpoints) || len(pl.Blocks) == 0 {
			continue
		}
		if pl.Kind != Held {
			p.mergePlacement(&d.Endpoints[pl.Endpoint], pl.Kind, pl.Blocks, now)
			continue
		}
		for part := range slices.Chunk(pl.Blocks, mergeAtOnce) {
			p.mergePlacement(&d.Endpoints[pl.Endpoint], Held, part, now)
		}
	}
}

func (p *Pool) mergePlacement(told *SharedEndpoint, kind PlacementKind, blocks []uint64, now time.Time) {
	e := p.endpointOf(told)
	if e == nil {
		return
	}
	switch kind {
	case Sent:
		p.index.Place(e.index, blocks, now)
	case Answered:
		p.index.Extend(e.index, blocks[0], blocks[1:])
	case Lost:
		p.index.Forget(e.index, blocks)
	case Held:
		p.index.Restore(e.index, blocks)
	}
	p.mu.Unlock()
	p.mu.Lock()
}

// restarted drops what peers have told of an endpoint whose engine has restarted.
func (s *sharing) restarted(e *Endpoint) {
	if s == nil {
		return
	}
	*e.peers = peers{}
	for _, pr := range s.peers {
		pr.loads[e.index] = counts{}
	}
}
