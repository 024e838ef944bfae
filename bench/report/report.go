// Package report prints the figures of load runs: a table for people, one JSON object for machines.
//
// It knows nothing of how the figures came about; who fills in a Policy vouches for its definitions (those of package
// load) and its units, which are milliseconds and seconds of the engines' own time. It guarantees that the JSON has
// every promised key, and null, never an invalid number, where a figure is unknown.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// Fraction is a share between 0 and 1; NaN means unknown and is null in JSON.
type Fraction float64

// Unknown is the Fraction that nobody measured.
func Unknown() Fraction { return Fraction(math.NaN()) }

// Known reports whether the fraction was measured.
func (f Fraction) Known() bool { return !math.IsNaN(float64(f)) }

// MarshalJSON writes the number with four decimals, or null.
func (f Fraction) MarshalJSON() ([]byte, error) {
	if !f.Known() {
		return []byte("null"), nil
	}
	return fmt.Appendf(nil, "%.4f", float64(f)), nil
}

// UnmarshalJSON reads a number, or null as unknown.
func (f *Fraction) UnmarshalJSON(text []byte) error {
	var v *float64
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("reading a fraction: %w", err)
	}
	*f = Unknown()
	if v != nil {
		*f = Fraction(*v)
	}
	return nil
}

// Spread is the mean and quantiles of a latency, in milliseconds.
type Spread struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"-"`
	P99  float64 `json:"p99"`
}

// Mean is the mean of a latency, in milliseconds.
type Mean struct {
	Mean float64 `json:"mean"`
}

// Policy is one run: all figures of one policy, or of one server.
type Policy struct {
	Name       string   `json:"name"`
	HitRate    Fraction `json:"hit_rate"` // prompt tokens served from a prefix cache
	TTFT       Spread   `json:"ttft_ms"`
	Request    Spread   `json:"request_ms"`
	InterToken Mean     `json:"itl_ms"`
	OutputRate float64  `json:"output_tokens_per_s"`
	Requests   int      `json:"requests"` // all that ended, failed ones too
	Errors     int      `json:"errors"`
	PerReplica []int    `json:"per_replica"` // requests that each engine counted; empty when no engine was asked

	IdealHitRate *Fraction      `json:"ideal_hit_rate,omitempty"` // what one endless cache would have served
	ErrorKinds   map[string]int `json:"errors_by_kind,omitempty"`
}

// WriteJSON writes the policy as one JSON object on one line.
func (p *Policy) WriteJSON(w io.Writer) error {
	p.fill()
	return encode(w, p)
}

func (p *Policy) fill() {
	if p.PerReplica == nil {
		p.PerReplica = []int{}
	}
	for _, f := range []*float64{
		&p.TTFT.Mean, &p.TTFT.P50, &p.TTFT.P90, &p.TTFT.P99, &p.Request.Mean, &p.Request.P50, &p.Request.P90,
		&p.Request.P99, &p.InterToken.Mean, &p.OutputRate,
	} {
		*f = math.Round(*f*1000) / 1000
	}
}

// Comparison is several policies on the same workload.
type Comparison struct {
	Policies []Policy `json:"policies"` // the first one is what the others are compared with
	Lag      Fraction `json:"lag"`      // lateness of the simulated engines, as a share of their scheduled times
	Seed     uint64   `json:"seed"`
	Engine   string   `json:"engine"` // what served, for instance a preset's name

	Caption   []string `json:"-"` // lines above the table: what was run, on what
	Published bool     `json:"-"` // show the published figures beside the measured ones, and why they differ
}

// WriteJSON writes the comparison as one JSON object on one line.
func (c *Comparison) WriteJSON(w io.Writer) error {
	for i := range c.Policies {
		c.Policies[i].fill()
	}
	return encode(w, c)
}

func encode(w io.Writer, v any) error {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return fmt.Errorf("writing the report as JSON: %w", err)
	}
	return nil
}
