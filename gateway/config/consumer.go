package config

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Consumer is somebody who may call. With no consumers the API is open.
type Consumer struct {
	Name   string         `yaml:"name"`
	Keys   []Key          `yaml:"keys"`   // API keys; any of them, or a token by JWT
	JWT    JWT            `yaml:"jwt"`    // tokens of an identity provider that are this consumer's
	Models []string       `yaml:"models"` // globs of models that may be used; none = all
	Paths  []string       `yaml:"paths"`  // globs of paths that may be called; none = all
	IPs    []netip.Prefix `yaml:"ips"`    // addresses to call from; none = all
	Until  Time           `yaml:"until"`  // when the consumer may not call any more; zero = never

	// Priority is the best that its requests may have in a pool's queue, and what those have that name none; lower is earlier.
	Priority int `yaml:"priority"`
}

// Key is an API key and when it counts. In the file the key alone will do.
type Key struct {
	Key   Secret `yaml:"key,scalar"` // plain, or sha256:HEX of the key (see Secret.Digest)
	From  Time   `yaml:"from"`       // zero = always was good
	Until Time   `yaml:"until"`      // zero = for ever
}

// JWT tells which tokens are good: signed, not expired, of this issuer, for this audience, with these claims.
type JWT struct {
	Issuer     string            `yaml:"issuer"`
	Audience   string            `yaml:"audience"`
	JWKS       string            `yaml:"jwks"`         // URL or file of the issuer's keys
	Key        Secret            `yaml:"key"`          // one key in place of jwks: a PEM public key, or the secret of HS256 and its kin
	Algorithms []string          `yaml:"algorithms"`   // that a token may be signed by
	Leeway     Duration          `yaml:"leeway"`       // by which the clocks may differ
	UserClaim  string            `yaml:"user_claim"`   // names the user, for limits by user
	ModelClaim string            `yaml:"models_claim"` // a list of globs of models that the token may use; "" = none asked
	Claims     map[string]string `yaml:"claims"`       // further claims -> globs of their values
}

// Used reports whether tokens are accepted at all.
func (j *JWT) Used() bool { return j.JWKS != "" || !j.Key.Empty() }

// SymmetricAlgorithms and AsymmetricAlgorithms are those that tokens may be signed by, with a shared secret and with a key pair.
func SymmetricAlgorithms() []string { return []string{"HS256", "HS384", "HS512"} }

// AsymmetricAlgorithms are those of key pairs.
func AsymmetricAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// Time is a moment, written as a date (its beginning in UTC) or by RFC 3339.
type Time time.Time

func (t *Time) parse(text string) *complaint {
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if parsed, err := time.Parse(form, text); err == nil {
			*t = Time(parsed)
			return nil
		}
	}
	return &complaint{"is not a time", "write a date such as 2027-01-31, or 2027-01-31T12:00:00Z"}
}

// IsZero reports whether no time is given.
func (t Time) IsZero() bool { return time.Time(t).IsZero() }

// String writes the time as the file has it, "" for none.
func (t Time) String() string {
	if t.IsZero() {
		return ""
	}
	return time.Time(t).Format(time.RFC3339)
}

// MarshalText is String.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// passed reports whether now is not before a time that is given.
func (t Time) passed(now time.Time) bool { return !t.IsZero() && !now.Before(time.Time(t)) }

// Good reports whether the key counts now.
func (k *Key) Good(now time.Time) bool {
	return (k.From.IsZero() || k.From.passed(now)) && !k.Until.passed(now)
}

// Expired reports whether the consumer may not call any more.
func (c *Consumer) Expired(now time.Time) bool { return c.Until.passed(now) }

func (c *checker) jwt(at string, j *JWT) {
	if !j.Used() {
		if j.Issuer != "" || j.Audience != "" {
			c.fault(at, "tokens cannot be checked without a key", "write jwks: URL of the issuer's keys, or key")
		}
		return
	}
	if j.JWKS != "" && !j.Key.Empty() {
		c.fault(at+".key", "there is jwks already", "keep one of the two")
	}
	if j.Issuer == "" && j.JWKS != "" {
		c.fault(at+".issuer", "the issuer is missing: any issuer with a key there would do", "write what its tokens have as iss")
	}
	if j.JWKS != "" && !strings.Contains(j.JWKS, "://") {
		text, err := c.cfg.files.open(j.JWKS, maxFile)
		switch {
		case err != nil:
			c.fault(at+".jwks", fmt.Sprintf("file %s cannot be used: %v", j.JWKS, err), "correct the path or the rights of the file, or write the URL of the issuer's keys")
		case !isKeySet(text):
			c.fault(at+".jwks", fmt.Sprintf("file %s holds no JSON web keys", j.JWKS), `save what the issuer's jwks_uri answers: {"keys": [{"kty": ...}]}`)
		}
	}
	isPEM := strings.Contains(j.Key.Reveal(), "-----BEGIN")
	if block, _ := pem.Decode([]byte(j.Key.Reveal())); isPEM && block == nil {
		c.fault(at+".key", "the PEM text is cut or changed", `name its file as "${file:PATH}", or keep its lines below key: |`)
	}
	known := AsymmetricAlgorithms()
	if !j.Key.Empty() && !isPEM {
		known = SymmetricAlgorithms()
		if len(j.Key.Reveal()) < 32 {
			c.fault(at+".key", "a shared secret of less than 32 bytes can be guessed", "make a longer one: openssl rand -base64 32")
		}
	}
	for i, a := range j.Algorithms {
		if !slices.Contains(known, a) {
			c.fault(fmt.Sprintf("%s.algorithms[%d]", at, i), a+" does not fit the key", "write some of "+strings.Join(known, ", "))
		}
	}
}

// isKeySet says whether text has the form of JSON web keys, one at least.
func isKeySet(text []byte) bool {
	var set struct {
		Keys []struct {
			Type string `json:"kty"`
		} `json:"keys"`
	}
	return json.Unmarshal(text, &set) == nil && len(set.Keys) > 0 && set.Keys[0].Type != ""
}
