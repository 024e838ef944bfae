package limit

import (
	"errors"
	"fmt"

	"github.com/warmlane/warmlane/gateway/config"
)

// Errors of TopUp.
var (
	ErrNoLimit = errors.New("no limit has that name")
	ErrNoQuota = errors.New("the limit has no quota for a day, a month or ever that counts this")
)

// TopUp gives back to the quotas of the limit of that name, for what q falls into: amount more of what the word names (requests, tokens,
// input_tokens, output_tokens, cost in millionths) in the present day, month and for ever. A quota may hold more than its size then.
func (l *Limiter) TopUp(name string, q *Query, word string, amount int64) error {
	for _, r := range l.rules {
		if r.name != name {
			continue
		}
		var c call
		l.add(&c, r, q, l.memory.now(), true)
		c.place()
		found := false
		for i := range c.asks {
			a := &c.asks[i]
			if a.shape.measure.word() == word && config.Calendar(a.rate.per) {
				found = true
				if err := l.topUp(a, amount); err != nil {
					return err
				}
			}
		}
		if !found {
			return ErrNoQuota
		}
		return nil
	}
	return ErrNoLimit
}

func (l *Limiter) topUp(a *ask, amount int64) error {
	a.mode, a.need = final, a.rate.units(amount)
	c := a.claim()
	if l.shared == nil {
		l.memory.change(c.key, c.rate, -c.need, c.keeps)
		return nil
	}
	s := settlement{id: "topup", changes: []change{{&c, 0}}}
	if l.shared.breaker.open() {
		return errAway
	}
	if err := l.shared.pipeline(l.shared.scripts.settle, l.shared.appendSettlement(nil, &s, l.shared.ledger.lease)); err != nil {
		return fmt.Errorf("topping up: %w", err)
	}
	return nil
}
