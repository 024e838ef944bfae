package cache

import "time"

// Recording takes an answer on its way to the caller that leads a flight. It is used by one goroutine.
type Recording struct {
	ContentType string
	flight      *Flight
	body        []byte
	long        bool
}

// Record begins to record what a flight brings.
func (f *Flight) Record() *Recording { return &Recording{flight: f} }

// Write notes what went out.
func (r *Recording) Write(p []byte) {
	if r.long = r.long || len(r.body)+len(p) > r.flight.question.Longest(); r.long {
		r.body = nil
		return
	}
	r.body = append(r.body, p...)
}

// End lands the flight, with the answer when it was complete and not too long.
func (r *Recording) End(complete bool, now time.Time) {
	if !complete || r.long || len(r.body) == 0 {
		r.flight.land(nil, complete && r.long)
		return
	}
	r.flight.land(&Answer{ContentType: r.ContentType, Body: r.body, Stored: now}, false)
}

// Share lands the flight with the answer to a similar question. It is not kept as the answer to this one.
func (r *Recording) Share(a *Answer, similarity float64) {
	r.flight.similarity = similarity
	r.flight.end(a, false)
}
