package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"github.com/warmlane/warmlane/gateway/config"
)

const (
	jwksTimeout   = 2 * time.Second  // of fetching an issuer's keys, which a token by an unknown key waits for
	jwksRefresh   = 10 * time.Minute // between fetches
	jwksUnknown   = 30 * time.Second // between fetches for keys that nobody knows yet
	tokenRemember = time.Minute      // a good token is not checked again for
	mostTokens    = 1 << 13          // that are remembered
	longestToken  = 16 << 10         // bytes
)

var (
	errOtherIssuer = errors.New("it comes from another issuer")
	errClaims      = errors.New("it lacks a claim that is asked for")
)

// issuer checks the tokens of one consumer.
type issuer struct {
	of     *config.Consumer
	keys   jwt.Keyfunc
	parser *jwt.Parser

	mu    sync.Mutex // guards known
	known map[[sha256.Size]byte]remembered
}

// remembered is a token that was good.
type remembered struct {
	consumer Consumer
	until    time.Time
}

func newIssuer(ctx context.Context, c *config.Consumer, log *slog.Logger) (*issuer, error) {
	keys, symmetric, err := keysOf(ctx, &c.JWT, log)
	if err != nil {
		return nil, err
	}
	algorithms := c.JWT.Algorithms
	if len(algorithms) == 0 {
		if algorithms = config.AsymmetricAlgorithms(); symmetric {
			algorithms = config.SymmetricAlgorithms()
		}
	}
	return &issuer{
		of: c, keys: keys, known: map[[sha256.Size]byte]remembered{},
		parser: jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithoutClaimsValidation()),
	}, nil
}

// keysOf returns where the keys of tokens come from, and whether they are shared secrets.
func keysOf(ctx context.Context, j *config.JWT, log *slog.Logger) (keys jwt.Keyfunc, symmetric bool, err error) {
	switch {
	case j.JWKS == "":
		return oneKey(j.Key.Reveal())
	case strings.HasPrefix(j.JWKS, "http://") || strings.HasPrefix(j.JWKS, "https://"):
		keys, err = fetched(ctx, j.JWKS, log)
		return keys, false, err
	}
	text, err := os.ReadFile(j.JWKS)
	if err != nil {
		return nil, false, fmt.Errorf("reading the issuer's keys: %w", err)
	}
	set, err := keyfunc.NewJWKSetJSON(text)
	if err != nil {
		return nil, false, fmt.Errorf("reading the issuer's keys in %s: %w", j.JWKS, err)
	}
	return set.Keyfunc, false, nil
}

// fetched keeps the keys of a URL fresh. A first fetch that fails is repeated; until then no token is good.
func fetched(ctx context.Context, url string, log *slog.Logger) (jwt.Keyfunc, error) {
	storage, err := jwkset.NewStorageFromHTTP(url, jwkset.HTTPClientStorageOptions{
		Client: &http.Client{Timeout: jwksTimeout}, Ctx: ctx, HTTPTimeout: jwksTimeout, NoErrorReturnFirstHTTPReq: true,
		RefreshInterval: jwksRefresh,
		RefreshErrorHandler: func(_ context.Context, err error) {
			log.Warn("the keys of an issuer of tokens cannot be fetched; the last ones stay", "url", url, "err", err)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("fetching the issuer's keys: %w", err)
	}
	client, err := jwkset.NewHTTPClient(jwkset.HTTPClientOptions{
		HTTPURLs: map[string]jwkset.Storage{url: storage}, RateLimitWaitMax: jwksTimeout,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(jwksUnknown), 2),
	})
	if err != nil {
		return nil, fmt.Errorf("fetching the issuer's keys: %w", err)
	}
	set, err := keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: client})
	if err != nil {
		return nil, fmt.Errorf("fetching the issuer's keys: %w", err)
	}
	return set.Keyfunc, nil
}

// oneKey reads a PEM public key; any other text is a shared secret.
func oneKey(text string) (keys jwt.Keyfunc, symmetric bool, err error) {
	if !strings.Contains(text, "-----BEGIN") {
		secret := []byte(text)
		return func(*jwt.Token) (any, error) { return secret, nil }, true, nil
	}
	var key any
	for _, read := range []func([]byte) (any, error){
		func(b []byte) (any, error) { return jwt.ParseRSAPublicKeyFromPEM(b) },
		func(b []byte) (any, error) { return jwt.ParseECPublicKeyFromPEM(b) },
		func(b []byte) (any, error) { return jwt.ParseEdPublicKeyFromPEM(b) },
	} {
		if key, err = read([]byte(text)); err == nil {
			return func(*jwt.Token) (any, error) { return key, nil }, false, nil
		}
	}
	return nil, false, errors.New("the key is no PEM public key of RSA, ECDSA or Ed25519")
}

// check returns the caller that a token names.
func (i *issuer) check(token []byte, now time.Time) (Consumer, error) {
	if len(token) > longestToken {
		return Consumer{}, jwt.ErrTokenMalformed
	}
	digest := sha256.Sum256(token)
	i.mu.Lock()
	r, known := i.known[digest]
	i.mu.Unlock()
	if known && now.Before(r.until) {
		return r.consumer, nil
	}
	claims := jwt.MapClaims{}
	if _, err := i.parser.ParseWithClaims(string(token), claims, i.keys); err != nil {
		if issuer, _ := claims.GetIssuer(); !errors.Is(err, jwt.ErrTokenMalformed) && i.of.JWT.Issuer != "" && issuer != i.of.JWT.Issuer {
			return Consumer{}, errOtherIssuer
		}
		return Consumer{}, err
	}
	if err := i.validate(claims, now); err != nil {
		return Consumer{}, err
	}
	c, err := i.consumer(claims)
	if err == nil {
		i.remember(digest, c, claims, now)
	}
	return c, err
}

// validate checks times, issuer, audience and the claims that are asked for.
func (i *issuer) validate(claims jwt.MapClaims, now time.Time) error {
	j := &i.of.JWT
	options := []jwt.ParserOption{
		jwt.WithTimeFunc(func() time.Time { return now }), jwt.WithLeeway(time.Duration(j.Leeway)), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
	}
	if issuer, _ := claims.GetIssuer(); j.Issuer != "" && issuer != j.Issuer {
		return errOtherIssuer
	}
	if j.Audience != "" {
		options = append(options, jwt.WithAudience(j.Audience))
	}
	switch err := jwt.NewValidator(options...).Validate(claims); {
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing) && claims["exp"] == nil:
		return fmt.Errorf("%w: exp", errClaims)
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return fmt.Errorf("%w: aud", errClaims)
	case err != nil:
		return err
	}
	for name, glob := range j.Claims {
		if !slices.ContainsFunc(textClaims(claims[name]), func(text string) bool { return config.AnyGlob([]string{glob}, text) }) {
			return fmt.Errorf("%w: %s", errClaims, name)
		}
	}
	return nil
}

// consumer is who the claims name.
func (i *issuer) consumer(claims jwt.MapClaims) (Consumer, error) {
	j := &i.of.JWT
	c := Consumer{Name: i.of.Name, Models: i.of.Models, Priority: i.of.Priority, User: textClaim(claims[j.UserClaim])}
	if j.UserClaim != "" && c.User == "" {
		return Consumer{}, fmt.Errorf("%w: %s", errClaims, j.UserClaim)
	}
	if j.ModelClaim != "" {
		c.byToken, c.TokenModels = true, listClaim(claims[j.ModelClaim])
	}
	return c, nil
}

// textClaims are the texts of a claim that is a list, or the one that it is.
func textClaims(v any) []string {
	list, ok := v.([]any)
	if !ok && v != nil {
		list = []any{v}
	}
	texts := make([]string, len(list))
	for i, one := range list {
		texts[i] = textClaim(one)
	}
	return texts
}

func textClaim(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64, bool:
		return fmt.Sprint(v)
	}
	return ""
}

// listClaim reads a list of texts, or one text with blanks between.
func listClaim(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var list []string
		for _, one := range v {
			if text, ok := one.(string); ok {
				list = append(list, text)
			}
		}
		return list
	}
	return nil
}

func (i *issuer) remember(digest [sha256.Size]byte, c Consumer, claims jwt.MapClaims, now time.Time) {
	until := now.Add(tokenRemember)
	if expires, err := claims.GetExpirationTime(); err == nil && expires != nil {
		if end := expires.Add(time.Duration(i.of.JWT.Leeway)); end.Before(until) {
			until = end
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.known) >= mostTokens {
		clear(i.known)
	}
	i.known[digest] = remembered{c, until}
}

// wordsFor says why a token is refused, in words that tell its owner what to do and a forger nothing.
func wordsFor(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return "it has expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return "it is not valid yet"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "it is for another audience"
	case errors.Is(err, errOtherIssuer), errors.Is(err, errClaims):
		return err.Error()
	case errors.Is(err, jwt.ErrTokenMalformed), errors.Is(err, jwt.ErrInvalidType):
		return "it is malformed"
	default:
		return "its signature cannot be verified"
	}
}
