package balancer

import "time"

// Spare is [Pool.Choose] for a second attempt of a request whose first one goes on. It gives a lease only where that takes nothing from
// others, nil elsewhere: nobody waits in the queue, and an endpoint in service that the request was not sent to has room for it and would
// begin with it within late. The request's conversation follows to that endpoint if the attempt brings a first token. Spare may be called
// beside the calls of the first attempt's lease.
func (p *Pool) Spare(r *Request, late time.Duration, now time.Time) *Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue.waiting) > 0 {
		return nil
	}
	p.sortAll(r, now)
	if len(p.usable) == 0 || p.census.mostlyIll() {
		return nil
	}
	at := p.sessionAt(r.Session)
	l, err := p.bind(r, now, max(late, 1))
	if err != nil {
		return nil
	}
	l.spare = true
	if at >= 0 {
		p.noteSession(r.Session, at)
	}
	return l
}

// Usual is the time from dispatch to the first token at the pool's usual speed, with the prefill that was there before it. Unlike
// [Pool.TTFTEstimate] it does not forgive an endpoint that is known to be slow.
func (l *Lease) Usual() time.Duration { return l.usual }
