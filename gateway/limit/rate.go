package limit

import (
	"fmt"
	"strconv"
	"time"
)

// rate is the shape of a bucket. Its level is counted in units so fine that refilling is exact in integers: one microsecond
// brings gain units, one request takes cost units, and the bucket holds full units.
type rate struct {
	spec     string // such as 10/s
	size     int64  // requests in a full bucket
	sizeText string
	gain     int64
	cost     int64
	full     int64
}

// mostUnits keeps levels exact in the doubles with which Redis' scripts count.
const mostUnits = 1 << 52

func newRate(n int64, per time.Duration) (*rate, error) {
	period := per.Microseconds()
	if n < 1 || period < 1 {
		return nil, fmt.Errorf("%d in %s is no rate", n, per)
	}
	g := gcd(n, period)
	r := &rate{
		spec: spec(n, per), size: n, sizeText: strconv.FormatInt(n, 10),
		gain: n / g, cost: period / g,
	}
	if r.cost > mostUnits/n {
		return nil, fmt.Errorf("%s cannot be counted exactly: take a rounder number", r.spec)
	}
	r.full = n * r.cost
	return r, nil
}

// share returns the part of r that one gateway grants while the shared store is away: half, at least one request.
func (r *rate) share(per time.Duration) (*rate, error) { return newRate(max(1, r.size/2), per) }

// refilled returns the level after the bucket stood for elapsed microseconds. Time that ran backwards brings nothing.
func (r *rate) refilled(level, elapsed int64) int64 {
	if elapsed <= 0 {
		return level
	}
	if elapsed >= r.untilFull(level) {
		return r.full
	}
	return level + elapsed*r.gain
}

// untilFull returns the microseconds until a bucket at level is full.
func (r *rate) untilFull(level int64) int64 { return ceilDiv(r.full-level, r.gain) }

// wait returns the microseconds until a bucket at level has room for one request; 0 = it has.
func (r *rate) wait(level int64) int64 {
	if level >= r.cost {
		return 0
	}
	return ceilDiv(r.cost-level, r.gain)
}

// left returns how many requests a bucket at level has room for.
func (r *rate) left(level int64) int64 { return max(0, level/r.cost) }

// describe returns the rate in words for a caller.
func describe(n int64, per time.Duration) string {
	things := "requests"
	if n == 1 {
		things = "request"
	}
	return fmt.Sprintf("%d %s per %s", n, things, unit(per, "second", "minute", "hour"))
}

func spec(n int64, per time.Duration) string {
	return strconv.FormatInt(n, 10) + "/" + unit(per, "s", "min", "h")
}

func unit(per time.Duration, second, minute, hour string) string {
	switch per {
	case time.Second:
		return second
	case time.Minute:
		return minute
	case time.Hour:
		return hour
	default:
		return per.String()
	}
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
