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
	Per time.Duration // a second, a minute or an hour
}

// String returns r as the file writes it.
func (r Rate) String() string {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "min", time.Hour: "h"}[r.Per]
	return fmt.Sprintf("%d/%s", r.N, unit)
}

func (r *Rate) parse(text string) *complaint {
	bad := &complaint{"is not a rate", "write a whole number, a slash and s, min or h, such as 10/s, 100/min or 2000/h"}
	digits, unit, ok := strings.Cut(text, "/")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n < 1 || n > 1e12 {
		return bad
	}
	switch unit {
	case "s":
		*r = Rate{n, time.Second}
	case "min":
		*r = Rate{n, time.Minute}
	case "h":
		*r = Rate{n, time.Hour}
	default:
		return bad
	}
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
	if b.Kind == ByHeader {
		return "header:" + b.Header
	}
	return byNames()[b.Kind]
}

// byNames are the names of the kinds before ByHeader, in their order.
func byNames() []string { return []string{"consumer", "user", "model", "route", "ip"} }

func (b *By) parse(text string) *complaint {
	for kind, name := range byNames() {
		if text == name {
			*b = By{Kind: ByKind(kind)}
			return nil
		}
	}
	if header, ok := strings.CutPrefix(text, "header:"); ok && isToken(header) {
		*b = By{ByHeader, textproto.CanonicalMIMEHeaderKey(header)}
		return nil
	}
	return &complaint{"does not separate requests", "write consumer, user, model, route, ip or header:NAME"}
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
