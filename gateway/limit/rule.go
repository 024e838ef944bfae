package limit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/warmlane/warmlane/gateway/config"
)

// rule is one limit of the configuration, ready to be applied.
type rule struct {
	name    string
	match   config.Match
	by      []config.By
	buckets []shape
}

// shape is one rate of a rule: as configured, and the share of it that counts while the shared store is away.
type shape struct {
	whole, share       *rate
	wholeKey, shareKey string // how the keys of its buckets begin
	words              string // for the caller
}

func newRule(c config.Limit) (*rule, error) {
	r := &rule{name: c.Name, match: c.Match, by: c.By}
	seen := make(map[config.Rate]bool, len(c.Requests))
	for _, cr := range c.Requests {
		if seen[cr] {
			continue
		}
		seen[cr] = true
		s, err := newShape(c.Name, cr)
		if err != nil {
			return nil, fmt.Errorf("reading limit %q: %w", c.Name, err)
		}
		r.buckets = append(r.buckets, s)
	}
	return r, nil
}

func newShape(name string, c config.Rate) (shape, error) {
	whole, err := newRate(c.N, c.Per)
	if err != nil {
		return shape{}, err
	}
	share, err := whole.share(c.Per)
	if err != nil {
		return shape{}, err
	}
	return shape{
		whole: whole, share: share,
		wholeKey: string(appendPart(appendPart(nil, name), whole.spec)),
		shareKey: string(appendPart(appendPart(nil, name), share.spec)),
		words:    describe(c.N, c.Per),
	}, nil
}

// appendValues appends what tells the buckets of r apart for q. A value that the request lacks is the empty one: leaving out
// the field does not escape the limit.
func (r *rule) appendValues(key []byte, q *Query) []byte {
	for i := range r.by {
		key = appendValue(key, &r.by[i], q)
	}
	return key
}

func appendValue(key []byte, by *config.By, q *Query) []byte {
	switch by.Kind {
	case config.ByConsumer:
		return appendPart(key, q.Consumer)
	case config.ByUser:
		return appendPart(key, q.User)
	case config.ByModel:
		return appendPart(key, q.Model)
	case config.ByRoute:
		return appendPart(key, q.Route)
	case config.ByIP:
		return appendAddress(key, q.IP)
	case config.ByHeader:
		if q.Headers == nil {
			return appendPart(key, "")
		}
		return appendPart(key, q.Headers.Peek(by.Header))
	default:
		panic(fmt.Sprintf("BUG: limit by unknown kind %d", by.Kind))
	}
}

// longest is the length up to which a value stands in a key as it is.
const longest = 64

// appendPart appends one value with its length before it, so that no two lists of values make one key. Long values enter by
// their SHA-256: keys stay short whatever a caller sends.
func appendPart[T string | []byte](key []byte, value T) []byte {
	key = strconv.AppendInt(key, int64(len(value)), 10)
	key = append(key, ':')
	if len(value) <= longest {
		return append(key, value...)
	}
	digest := sha256.Sum256([]byte(value))
	return hex.AppendEncode(key, digest[:])
}

// appendAddress appends a client's address. The addresses of one IPv6 /64 belong to one host and count as one.
func appendAddress(key []byte, ip netip.Addr) []byte {
	ip = ip.Unmap()
	if ip.Is6() {
		if net, err := ip.WithZone("").Prefix(64); err == nil {
			ip = net.Addr()
		}
	}
	var text [48]byte
	return appendPart(key, ip.AppendTo(text[:0]))
}
