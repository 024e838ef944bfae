package config

import (
	"fmt"
	"math"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// Duration is a Go duration that reads and prints as one, such as 1m30s.
type Duration time.Duration

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns d as Go writes it, without units that are zero: 2m, not 2m0s.
func (d Duration) String() string {
	text := d.Std().String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

func (d *Duration) parse(text string) *complaint {
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < 0 {
		return &complaint{"is not a duration", "write a number and a unit, such as 500ms, 60s or 2m"}
	}
	*d = Duration(parsed)
	return nil
}

// Size is a number of bytes, such as 64MiB.
type Size int64

// sizeUnits are the units of a Size, largest first of those that print.
const sizeUnits = "GiB MiB KiB GB MB KB B"

func sizeUnit(name string) int64 {
	switch name {
	case "GiB":
		return 1 << 30
	case "MiB":
		return 1 << 20
	case "KiB":
		return 1 << 10
	case "GB":
		return 1e9
	case "MB":
		return 1e6
	case "KB":
		return 1e3
	default:
		return 1
	}
}

// Int returns s as an int.
func (s Size) Int() int { return int(s) }

// String returns s in the largest unit that divides it.
func (s Size) String() string {
	for unit := range strings.FieldsSeq(sizeUnits) {
		if n := sizeUnit(unit); s != 0 && int64(s)%n == 0 {
			return strconv.FormatInt(int64(s)/n, 10) + unit
		}
	}
	return "0B"
}

func (s *Size) parse(text string) *complaint {
	bad := &complaint{"is not a size", "write a whole number and a unit, such as 512KiB, 64MiB or 1GiB"}
	for unit := range strings.FieldsSeq(sizeUnits) {
		digits, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/sizeUnit(unit) {
			return bad
		}
		*s = Size(n * sizeUnit(unit))
		return nil
	}
	return bad
}

// Rate is a number of things in a unit of time, such as 100/min.
type Rate struct {
	N   int64
	Per time.Duration // a second, a minute, an hour, Day, Month or Total
}

// Units that stand for the calendar's, however long those are.
const (
	Day   = 24 * time.Hour
	Month = 30 * Day
	Total = 1000 * Month // for ever
)

// Calendar reports whether per is one of the units that the calendar bounds.
func Calendar(per time.Duration) bool { return per >= Day }

// rateUnits are the units of rates by their names.
func rateUnits() map[string]time.Duration {
	return map[string]time.Duration{
		"s": time.Second, "min": time.Minute, "h": time.Hour, "day": Day, "month": Month, "total": Total,
	}
}

func rateUnit(per time.Duration) string {
	for name, d := range rateUnits() {
		if d == per {
			return name
		}
	}
	return per.String()
}

// String returns r as the file writes it.
func (r Rate) String() string { return fmt.Sprintf("%d/%s", r.N, rateUnit(r.Per)) }

func (r *Rate) parse(text string) *complaint {
	digits, unit, _ := strings.Cut(text, "/")
	n, err := strconv.ParseInt(digits, 10, 64)
	per, known := rateUnits()[unit]
	if known && n > 1e12 {
		return &complaint{"is too large", "write at most 1000000000000; without a bound leave the rate out"}
	}
	if !known || err != nil || n < 1 {
		return &complaint{"is not a rate", "write a whole number, a slash and s, min, h, day, month or total, such as 10/s, 100/min or 2000/day"}
	}
	*r = Rate{n, per}
	return nil
}

// Spend is an amount of money in a unit of time, such as 10.50/day.
type Spend struct {
	N   int64 // millionths of the currency
	Per time.Duration
}

// String returns s as the file writes it.
func (s Spend) String() string { return s.Amount() + "/" + rateUnit(s.Per) }

// Amount returns the money without the time, such as 10.50.
func (s Spend) Amount() string {
	whole, part := s.N/1e6, fmt.Sprintf("%06d", s.N%1e6)
	part = strings.TrimRight(part, "0")
	switch len(part) {
	case 0:
		return strconv.FormatInt(whole, 10)
	case 1:
		part += "0"
	}
	return strconv.FormatInt(whole, 10) + "." + part
}

func (s *Spend) parse(text string) *complaint {
	amount, unit, _ := strings.Cut(text, "/")
	per, known := rateUnits()[unit]
	value, err := strconv.ParseFloat(amount, 64)
	if !known || err != nil || !(value >= 1e-6 && value <= 1e9) {
		return &complaint{"is not an amount of money in a time", "write a number, a slash and s, min, h, day, month or total, such as 0.50/h or 20/day"}
	}
	*s = Spend{int64(math.Round(value * 1e6)), per}
	return nil
}

// String returns a as the file writes it.
func (a Auth) String() string {
	switch a.Scheme {
	case AuthBare:
		return "bare"
	case AuthHeader:
		return "header:" + a.Header
	default:
		return "bearer"
	}
}

func (a *Auth) parse(text string) *complaint {
	header, isHeader := strings.CutPrefix(text, "header:")
	switch {
	case text == "bearer":
		*a = Auth{}
	case text == "bare":
		*a = Auth{Scheme: AuthBare}
	case isHeader && isToken(header):
		*a = Auth{AuthHeader, textproto.CanonicalMIMEHeaderKey(header)}
	default:
		return &complaint{"is not a way to send a credential", "write bearer, bare or header:NAME"}
	}
	return nil
}

// String returns b as the file writes it.
func (b By) String() string {
	names := byNames()
	if int(b.Kind) < len(names) {
		return names[b.Kind]
	}
	return byPrefixes()[int(b.Kind)-len(names)] + b.Name
}

// byNames are the names of the kinds before ByHeader, in their order.
func byNames() []string { return []string{"consumer", "user", "model", "route", "ip", "app"} }

// byPrefixes are what stands before a name, from ByHeader on.
func byPrefixes() []string { return []string{"header:", "query:", "cookie:"} }

func (b *By) parse(text string) *complaint {
	for kind, name := range byNames() {
		if text == name {
			*b = By{Kind: ByKind(kind)}
			return nil
		}
	}
	for i, prefix := range byPrefixes() {
		if name, ok := strings.CutPrefix(text, prefix); ok && isToken(name) {
			*b = By{ByHeader + ByKind(i), name}
			if b.Kind == ByHeader {
				b.Name = textproto.CanonicalMIMEHeaderKey(name)
			}
			return nil
		}
	}
	return &complaint{"does not separate requests", "write consumer, user, model, route, ip, app, header:NAME, query:NAME or cookie:NAME"}
}

// failedNames are the classes of failures, in their order.
func failedNames() []string {
	return []string{"connect", "timeout", "429", "5xx", "queue_full", "context_length"}
}

// String returns f as the file writes it.
func (f FailedBy) String() string {
	if names := failedNames(); f >= 1 && int(f) <= len(names) {
		return names[f-1]
	}
	return strconv.Itoa(int(f))
}

func (f *FailedBy) parse(text string) *complaint {
	for i, name := range failedNames() {
		if text == name {
			*f = FailedBy(i + 1)
			return nil
		}
	}
	if status, err := strconv.Atoi(text); err == nil && status >= 400 && status <= 599 {
		*f = FailedBy(status)
		return nil
	}
	return &complaint{"is not a class of failures", "write " + strings.Join(failedNames(), ", ") + ", or a status such as 404"}
}

// isToken reports whether name can be a header's name (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	for _, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}
