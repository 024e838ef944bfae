package limit

import (
	"fmt"
	"strconv"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
)

// rate is the shape of a bucket. What has been taken out of a bucket is its debt, counted in units so fine that refilling is exact
// in integers: one microsecond brings gain units, one thing (a request, a token) takes cost units, and the bucket holds full units.
// Where gain is 0 nothing is refilled: a calendar period has a bucket of its own, and a place among concurrent requests is given back.
type rate struct {
	spec string // such as 10/s; without its number where buckets outlive a change of it
	size int64  // things in a full bucket
	per  time.Duration
	gain int64
	cost int64
	full int64
}

// mostUnits keeps debts exact in the doubles with which Redis' scripts count.
const mostUnits = 1 << 52

func newRate(n int64, per time.Duration) (*rate, error) {
	if n < 1 || per.Microseconds() < 1 {
		return nil, fmt.Errorf("%d in %s is no rate", n, per)
	}
	if config.Calendar(per) {
		return &rate{spec: unit(per, "", "", "", "day", "month"), size: n, per: per, cost: 1, full: n}, nil
	}
	period := per.Microseconds()
	g := gcd(n, period)
	r := &rate{
		spec: strconv.FormatInt(n, 10) + "/" + unit(per, "s", "min", "h", "", ""), size: n, per: per,
		gain: n / g, cost: period / g,
	}
	if r.cost > mostUnits/n {
		return nil, fmt.Errorf("%s cannot be counted exactly: take a rounder number", r.spec)
	}
	r.full = n * r.cost
	return r, nil
}

// newPlaces is the shape of a bucket for n requests at a time.
func newPlaces(n int64) *rate { return &rate{spec: "places", size: n, cost: 1, full: n} }

// share returns the part of r that one gateway grants while the shared store is away: half, at least one.
func (r *rate) share() (*rate, error) {
	half := max(1, r.size/2)
	if r.per == 0 {
		return newPlaces(half), nil
	}
	return newRate(half, r.per)
}

// units returns what n things take. More than can be counted is as much as can be.
func (r *rate) units(n int64) int64 {
	if n > mostUnits/r.cost {
		return mostUnits
	}
	return max(0, n) * r.cost
}

// refilled returns the debt after the bucket stood for elapsed microseconds. Time that ran backwards brings nothing.
func (r *rate) refilled(debt, elapsed int64) int64 {
	if elapsed <= 0 || r.gain == 0 {
		return debt
	}
	if elapsed >= r.untilFull(debt) {
		return min(debt, 0)
	}
	return debt - elapsed*r.gain
}

// changed returns the debt after what was taken turned out to be more or, with a change below zero, less. A refilled bucket never
// holds more than full; a quota does after it was topped up.
func (r *rate) changed(debt, change int64) int64 {
	debt = min(mostUnits, debt+change)
	if r.gain > 0 {
		return max(0, debt)
	}
	return debt
}

// untilFull returns the microseconds until a bucket with that debt is full.
func (r *rate) untilFull(debt int64) int64 { return ceilDiv(max(0, debt), r.gain) }

// forgotten returns the microseconds after which a bucket with that debt need not be remembered.
func (r *rate) forgotten(debt int64, keeps time.Duration) int64 {
	if r.gain > 0 {
		return r.untilFull(debt)
	}
	return keeps.Microseconds()
}

// fits reports whether a bucket with that debt has room for need units.
func (r *rate) fits(debt, need int64) bool { return r.full-debt >= need }

// wait returns the microseconds until a bucket with that debt has room for need units; 0 = it has.
func (r *rate) wait(debt, need int64) int64 {
	if r.fits(debt, need) {
		return 0
	}
	return ceilDiv(need-(r.full-debt), r.gain)
}

// left returns how many things a bucket with that debt has room for.
func (r *rate) left(debt int64) int64 { return max(0, (r.full-debt)/r.cost) }

func unit(per time.Duration, second, minute, hour, day, month string) string {
	switch per {
	case time.Second:
		return second
	case time.Minute:
		return minute
	case time.Hour:
		return hour
	case config.Day:
		return day
	case config.Month:
		return month
	case config.Total:
		return "total"
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
