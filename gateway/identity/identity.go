// Package identity tells who calls, by API key or by a token of an identity provider.
//
// A key may come as Authorization: Bearer KEY, as the password of Authorization: Basic, as api-key: KEY or as x-api-key: KEY; the
// SDKs in use send one or the other. Only SHA-256 digests of keys are kept. A key that is offered is hashed and its digest looked up,
// so that the time it takes tells a guesser nothing about the keys that exist, and no answer or log line repeats what was offered.
// What has the form of a JSON web token and is no key is checked as one.
//
// Addresses that offer wrong keys again and again are refused with 429; good keys pass from there as well, since many callers may
// share an address.
//
// Identify costs one SHA-256 for each key offered (below a microsecond) and allocates nothing unless it refuses. A token costs its
// signature (0.03 to 0.2 ms) the first time, and a look-up for as long as it is remembered, at most a minute.
package identity

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
)

// Consumer is who calls. The zero Consumer is the anonymous caller of an open gateway, who may use every model.
type Consumer struct {
	Name string // "" = anonymous
	// User is who calls on behalf of the consumer, by a token that says so; "" when only the request's own word is there.
	User   string
	Models []string // globs of the models that may be used; none = all
	// TokenModels are those of the token, where it has to name them.
	TokenModels []string
	byToken     bool // TokenModels count, even when there are none
	// Priority is the best that its requests may have in a queue, and what those have that name none; lower is earlier.
	Priority int
}

// Allows reports whether c may use the model.
func (c *Consumer) Allows(model string) bool {
	if c.byToken && !config.AnyGlob(c.TokenModels, model) {
		return false
	}
	return len(c.Models) == 0 || config.AnyGlob(c.Models, model)
}

// Call is what a request says about its caller. Header values are nil when absent.
type Call struct {
	Authorization, APIKey, XAPIKey []byte
	Path                           string
	IP                             netip.Addr
	Now                            time.Time
	// Early tells that this is a first look at the head, without an address: nothing is counted, and no address checked. The
	// request will be asked again.
	Early bool
}

// Keys are the API keys and the issuers of tokens of all consumers. They are not changed after New and may be used by many
// goroutines; a reload makes new ones. Close ends what keeps the issuers' keys fresh.
type Keys struct {
	keys    map[[sha256.Size]byte]entry
	issuers []*issuer
	open    bool
	wrong   guesses
	close   context.CancelFunc
}

// entry is one key.
type entry struct {
	of  *config.Consumer
	key *config.Key
}

// New reads the keys of the consumers. The configuration has checked them before; a key that two consumers share, or that
// cannot be read, is an error that names the consumers and not the key. Keys of issuers are fetched in the background.
func New(consumers []config.Consumer, log *slog.Logger) (*Keys, error) {
	ctx, cancel := context.WithCancel(context.Background())
	k := &Keys{keys: make(map[[sha256.Size]byte]entry), open: len(consumers) == 0, close: cancel}
	for i := range consumers {
		if err := k.add(ctx, &consumers[i], log); err != nil {
			cancel()
			return nil, err
		}
	}
	return k, nil
}

func (k *Keys) add(ctx context.Context, c *config.Consumer, log *slog.Logger) error {
	for i := range c.Keys {
		digest, err := c.Keys[i].Key.Digest()
		if err != nil {
			return fmt.Errorf("reading key %d of consumer %q: %w", i+1, c.Name, err)
		}
		if other, taken := k.keys[digest]; taken && other.of.Name != c.Name {
			return fmt.Errorf("consumers %q and %q have a key in common", other.of.Name, c.Name)
		}
		k.keys[digest] = entry{c, &c.Keys[i]}
	}
	if !c.JWT.Used() {
		return nil
	}
	issuer, err := newIssuer(ctx, c, log)
	if err != nil {
		return fmt.Errorf("tokens of consumer %q: %w", c.Name, err)
	}
	k.issuers = append(k.issuers, issuer)
	return nil
}

// Close ends the background work.
func (k *Keys) Close() { k.close() }

// Open reports whether everybody may call, because no consumers are configured.
func (k *Keys) Open() bool { return k.open }

// Identify returns the caller of a request. Where several keys are offered one good one suffices, asked in the order of
// Authorization, api-key, x-api-key. The failure is an Unauthorized, a Forbidden, or a RateLimited for who guesses.
func (k *Keys) Identify(call *Call) (Consumer, *failure.Error) {
	if k.open {
		return Consumer{}, nil
	}
	var reason *failure.Error
	offered := false
	for _, key := range [...][]byte{credential(call.Authorization), bytes.TrimSpace(call.APIKey), bytes.TrimSpace(call.XAPIKey)} {
		if len(key) == 0 {
			continue
		}
		offered = true
		c, of, fail := k.find(key, call.Now)
		if fail != nil {
			reason = fail
		}
		if of != nil {
			return c, admit(of, call)
		}
	}
	if !offered {
		return Consumer{}, failure.New(failure.Unauthorized,
			"You didn't provide an API key. Send it in an Authorization header: Authorization: Bearer YOUR_KEY.")
	}
	if call.Early {
		return Consumer{}, cmp.Or(reason, wrongKey())
	}
	if wait := k.wrong.count(call.IP, call.Now); wait > 0 {
		return Consumer{}, failure.New(failure.RateLimited, "Too many wrong API keys from this address. Please check the key.").After(wait)
	}
	return Consumer{}, cmp.Or(reason, wrongKey())
}

func wrongKey() *failure.Error {
	return failure.New(failure.Unauthorized, "Incorrect API key provided.")
}

// find returns whose key or token this is; a consumer of nil when nobody's, with the reason if there is more to say.
func (k *Keys) find(key []byte, now time.Time) (Consumer, *config.Consumer, *failure.Error) {
	if e, known := k.keys[sha256.Sum256(key)]; known {
		if !e.key.Good(now) {
			return Consumer{}, nil, failure.New(failure.Unauthorized, "This API key has expired, or is not valid yet.")
		}
		return Consumer{Name: e.of.Name, Models: e.of.Models, Priority: e.of.Priority}, e.of, nil
	}
	if len(k.issuers) == 0 || bytes.Count(key, []byte(".")) != 2 {
		return Consumer{}, nil, nil
	}
	var reason *failure.Error
	for _, i := range k.issuers {
		c, err := i.check(key, now)
		if err == nil {
			return c, i.of, nil
		}
		if reason == nil || !errors.Is(err, errOtherIssuer) {
			reason = failure.New(failure.Unauthorized, "The token is not accepted: "+wordsFor(err)+".").Because(err)
		}
	}
	return Consumer{}, nil, reason
}

// admit checks what a consumer who is known may do from there.
func admit(c *config.Consumer, call *Call) *failure.Error {
	switch {
	case c.Expired(call.Now):
		return failure.New(failure.Unauthorized, "The access of this API key has ended.")
	case len(c.Paths) > 0 && !config.AnyGlob(c.Paths, call.Path):
		return forbidden("path_not_allowed", "This API key may not call this path.")
	case len(c.IPs) > 0 && !call.Early && !contains(c.IPs, call.IP):
		return forbidden("address_not_allowed", "This API key may not be used from this address.")
	}
	return nil
}

func forbidden(code, message string) *failure.Error {
	fail := failure.New(failure.Forbidden, message)
	fail.Code = code
	return fail
}

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}

// credential returns the key of an Authorization header: a Bearer's, or a Basic's password. It is nil for other schemes.
func credential(authorization []byte) []byte {
	scheme, key, found := bytes.Cut(bytes.TrimSpace(authorization), []byte(" "))
	key = bytes.TrimSpace(key)
	switch {
	case !found:
		return nil
	case bytes.EqualFold(scheme, []byte("bearer")):
		return key
	case bytes.EqualFold(scheme, []byte("basic")):
		text := make([]byte, base64.StdEncoding.DecodedLen(len(key)))
		n, err := base64.StdEncoding.Decode(text, key)
		_, password, hasColon := bytes.Cut(text[:n], []byte(":"))
		if err != nil || !hasColon {
			return nil
		}
		return password
	}
	return nil
}
