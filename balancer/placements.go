package balancer

import "slices"

// placementLog is what lately happened to the blocks of a pool, for deltas. Entries are never changed.
type placementLog struct {
	entries []logged
	next    uint64 // entries ever written
	words   int    // that the entries take
}

type logged struct {
	kind     PlacementKind
	endpoint int
	epoch    uint64 // of the endpoint
	blocks   []uint64
}

const (
	logWords   = 1 << 17 // 1 MiB
	entryWords = 8       // of an entry without blocks
)

func (l *logged) words() int { return len(l.blocks) + entryWords }

func (g *placementLog) write(kind PlacementKind, e *Endpoint, parts ...[]uint64) {
	entry := logged{kind: kind, endpoint: e.index, epoch: e.epoch, blocks: slices.Concat(parts...)}
	g.entries = append(g.entries, entry)
	g.next++
	g.words += entry.words()
	for g.words > logWords {
		g.words -= g.entries[0].words()
		g.entries[0] = logged{}
		g.entries = g.entries[1:]
	}
}

// since returns the entries from a position on; ok is false when some of them are lost.
func (g *placementLog) since(position uint64) (entries []logged, ok bool) {
	missing := g.next - position
	if position > g.next || missing > uint64(len(g.entries)) {
		return nil, false
	}
	return g.entries[len(g.entries)-int(missing):], true
}

// noteSent, noteAnswer and noteLost write down what peers are to know of the index, once there are any.
func (p *Pool) noteSent(e *Endpoint, chain []uint64) {
	if p.share != nil && p.share.log != nil && len(chain) > 0 {
		p.share.log.write(Sent, e, chain)
	}
}

func (p *Pool) noteAnswer(e *Endpoint, chain, answer []uint64) {
	switch {
	case p.share == nil || p.share.log == nil || len(answer) == 0:
	case len(chain) == 0:
		p.share.log.write(Sent, e, answer)
	default:
		p.share.log.write(Answered, e, chain[len(chain)-1:], answer)
	}
}

// noteLost tells of the part of a chain that was taken back.
func (p *Pool) noteLost(l *Lease, chain []uint64) {
	if p.share == nil || p.share.log == nil {
		return
	}
	p.index.Walk(chain, l.dispatched, &p.match)
	if depth := int(p.match.Depth[l.endpoint.index]); depth < len(chain) {
		p.share.log.write(Lost, l.endpoint, chain[depth:])
	}
}
