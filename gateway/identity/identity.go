// Package identity tells who calls, by API key.
//
// A key may come as Authorization: Bearer KEY, as api-key: KEY or as x-api-key: KEY; the SDKs in use send one or the other.
// Only SHA-256 digests of keys are kept. A key that is offered is hashed and its digest looked up, so that the time it takes
// tells a guesser nothing about the keys that exist, and no answer or log line repeats what was offered.
//
// Identify costs one SHA-256 for each key offered (below a microsecond) and allocates nothing unless it refuses.
package identity

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
)

// Consumer is who calls. The zero Consumer is the anonymous caller of an open gateway, who may use every model.
type Consumer struct {
	Name   string   // "" = anonymous
	Models []string // globs of the models that may be used; none = all
	// Priority is the best that its requests may have in a queue, and what those have that name none; lower is earlier.
	Priority int
}

// Allows reports whether c may use the model.
func (c *Consumer) Allows(model string) bool {
	return len(c.Models) == 0 || config.AnyGlob(c.Models, model)
}

// Keys are the API keys of all consumers. They are not changed after New and may be used by many goroutines; a reload makes
// new ones.
type Keys struct {
	consumers map[[sha256.Size]byte]Consumer
	open      bool
}

// New reads the keys of the consumers. The configuration has checked them before; a key that two consumers share, or that
// cannot be read, is an error that names the consumers and not the key.
func New(consumers []config.Consumer) (*Keys, error) {
	k := &Keys{consumers: make(map[[sha256.Size]byte]Consumer), open: len(consumers) == 0}
	for _, c := range consumers {
		for i, key := range c.Keys {
			digest, err := key.Digest()
			if err != nil {
				return nil, fmt.Errorf("reading key %d of consumer %q: %w", i+1, c.Name, err)
			}
			if other, taken := k.consumers[digest]; taken && other.Name != c.Name {
				return nil, fmt.Errorf("consumers %q and %q have a key in common", other.Name, c.Name)
			}
			k.consumers[digest] = Consumer{Name: c.Name, Models: c.Models, Priority: c.Priority}
		}
	}
	return k, nil
}

// Open reports whether everybody may call, because no consumers are configured.
func (k *Keys) Open() bool { return k.open }

// Identify returns the caller of a request with these header values (nil = absent). Where several keys are offered one good
// one suffices, asked in the order of the parameters. The failure is an Unauthorized.
func (k *Keys) Identify(authorization, apiKey, xAPIKey []byte) (Consumer, *failure.Error) {
	if k.open {
		return Consumer{}, nil
	}
	offered := false
	for _, key := range [...][]byte{bearer(authorization), bytes.TrimSpace(apiKey), bytes.TrimSpace(xAPIKey)} {
		if len(key) == 0 {
			continue
		}
		offered = true
		if c, known := k.consumers[sha256.Sum256(key)]; known {
			return c, nil
		}
	}
	if offered {
		return Consumer{}, failure.New(failure.Unauthorized, "Incorrect API key provided.")
	}
	return Consumer{}, failure.New(failure.Unauthorized,
		"You didn't provide an API key. Send it in an Authorization header: Authorization: Bearer YOUR_KEY.")
}

// bearer returns the key of an Authorization header, nil if the header has another scheme.
func bearer(authorization []byte) []byte {
	scheme, key, found := bytes.Cut(bytes.TrimSpace(authorization), []byte(" "))
	if !found || !bytes.EqualFold(scheme, []byte("bearer")) {
		return nil
	}
	return bytes.TrimSpace(key)
}
