package balancer

import "time"

// Lease is one attempt of a request on one endpoint. It is used by one goroutine at a time and must be ended.
type Lease struct {
	pool     *Pool
	endpoint *Endpoint
	decision Decision
}

// Endpoint is where the request goes.
func (l *Lease) Endpoint() *Endpoint { return l.endpoint }

// Decision tells why. It stays valid after the end of the lease.
func (l *Lease) Decision() *Decision { return &l.decision }

// FirstToken notes the first event of the answer. Further calls do nothing.
func (l *Lease) FirstToken(now time.Time) {}

// Token notes a later event of the answer with n tokens in it; 1 if unknown.
func (l *Lease) Token(now time.Time, n int) {}

// End takes back all that was charged, notes the outcome and teaches the pool by it. Only the first call counts.
func (l *Lease) End(o Outcome, now time.Time) {}
