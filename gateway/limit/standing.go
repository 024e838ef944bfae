package limit

import (
	"context"
	"time"
)

// Standing is how one bound of a limit stands for one bucket.
type Standing struct {
	Of         string        // what is counted, as in the configuration
	Per        time.Duration // as in the configuration; 0 for requests at a time
	Size       int64         // things of a full bucket, of cost millionths; of a gateway that counts alone its share
	Used, Left int64         // of these; what open requests have set aside is used
	Resets     time.Duration // until nothing is used; below 0 = nobody knows, or never
}

// Standings tells how every bound of the limit of that name stands for what q falls into, and takes nothing. alone says that Redis is away
// and that this gateway's own count is told. An unknown name is ErrNoLimit.
func (l *Limiter) Standings(ctx context.Context, name string, q *Query) (all []Standing, alone bool, err error) {
	for _, r := range l.rules {
		if r.name != name {
			continue
		}
		var c call
		look := func(whole bool) {
			c.asks, c.bytes, c.ends = c.asks[:0], c.bytes[:0], c.ends[:0]
			l.add(&c, r, q, l.memory.now(), whole)
			c.place()
			for i := range c.asks { // what no bucket has room for is taken from none
				c.asks[i].need, c.asks[i].soft = mostUnits, false
			}
		}
		look(true)
		if l.shared == nil {
			l.memory.take(c.asks)
		} else if _, err := l.shared.take(ctx, "", c.asks); err != nil {
			alone = true
			look(false)
			l.memory.take(c.asks)
		}
		for i := range c.asks {
			all = append(all, c.asks[i].standing())
		}
		return all, alone, nil
	}
	return nil, false, ErrNoLimit
}

// standing tells how the bucket was found.
func (a *ask) standing() Standing {
	s := Standing{
		Of: a.shape.measure.word(), Per: a.shape.whole.per, Size: a.rate.size,
		Used: ceilDiv(max(0, a.debt), a.rate.cost), Left: a.rate.left(a.debt), Resets: a.reset(),
	}
	if s.Resets == never || a.mode == places && s.Used > 0 {
		s.Resets = -1
	}
	return s
}
