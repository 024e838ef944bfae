package identity_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/identity"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// idp is an identity provider with a page of its keys.
type idp struct {
	*httptest.Server
	keys  atomic.Pointer[jwkset.JWKSMarshal]
	asked atomic.Int64
}

func startIDP(t testing.TB, keys map[string]any) *idp {
	t.Helper()
	p := &idp{}
	p.publish(t, keys)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		_ = json.NewEncoder(w).Encode(p.keys.Load())
	}))
	t.Cleanup(p.Close)
	return p
}

// publish replaces the keys, given by their ids as private keys.
func (p *idp) publish(t testing.TB, keys map[string]any) {
	t.Helper()
	set := &jwkset.JWKSMarshal{}
	for id, key := range keys {
		jwk, err := jwkset.NewJWKFromKey(public(key), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: id}})
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	p.keys.Store(set)
}

func public(key any) any {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k.Public()
	case *ecdsa.PrivateKey:
		return k.Public()
	case ed25519.PrivateKey:
		return k.Public()
	}
	return key
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign makes a token of good claims, changed by some; a claim of nil is left out.
func sign(t testing.TB, method jwt.SigningMethod, kid string, key any, changed jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": "https://idp.example.com", "aud": []string{"other", "warmlane"}, "sub": "alice", "exp": now.Add(time.Hour).Unix(),
	}
	for name, value := range changed {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func staff(jwks string) config.Consumer {
	return config.Consumer{
		Name: "staff", Models: []string{"llama*"}, Priority: -1,
		JWT: config.JWT{
			Issuer: "https://idp.example.com", Audience: "warmlane", JWKS: jwks, UserClaim: "sub",
			Leeway: config.Duration(30 * time.Second), Claims: map[string]string{},
		},
	}
}

func call(k *identity.Keys, token string) (identity.Consumer, string) {
	c, fail := k.Identify(&identity.Call{Authorization: []byte("Bearer " + token), Now: now, IP: netip.MustParseAddr("192.0.2.1")})
	if fail != nil {
		return c, fail.Message
	}
	return c, ""
}

func TestToken_GoodOnesNameTheirUser(t *testing.T) {
	r, e := rsaKey(t), ecKey(t)
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := startIDP(t, map[string]any{"r": r, "e": e, "d": d})
	k := made(t, staff(p.URL), config.Consumer{Name: "dify", Keys: secrets("sk-dify-1")})
	for name, token := range map[string]string{
		"RS256": sign(t, jwt.SigningMethodRS256, "r", r, nil), "PS512": sign(t, jwt.SigningMethodPS512, "r", r, nil),
		"ES256": sign(t, jwt.SigningMethodES256, "e", e, nil), "EdDSA": sign(t, jwt.SigningMethodEdDSA, "d", d, nil),
	} {
		for range 2 { // the second time from memory
			if c, why := call(k, token); c.Name != "staff" || c.User != "alice" || c.Priority != -1 || !c.Allows("llama3") || c.Allows("qwen") {
				t.Errorf("%s: %+v, %s", name, c, why)
			}
		}
	}
	if c, why := call(k, "sk-dify-1"); c.Name != "dify" {
		t.Errorf("an API key beside: %+v, %s", c, why)
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

func TestToken_BadOnesAreRefusedWithTheReason(t *testing.T) {
	e, other := ecKey(t), ecKey(t)
	p := startIDP(t, map[string]any{"e": e})
	c := staff(p.URL)
	c.JWT.Claims["groups"] = "ai-*"
	k := made(t, c)
	good := jwt.MapClaims{"groups": "ai-team"}
	with := func(name string, value any) string {
		return sign(t, jwt.SigningMethodES256, "e", e, jwt.MapClaims{"groups": "ai-team", name: value})
	}
	parts := strings.Split(sign(t, jwt.SigningMethodES256, "e", e, good), ".")
	forged := strings.Split(sign(t, jwt.SigningMethodES256, "e", e, jwt.MapClaims{"groups": "ai-team", "sub": "root"}), ".")
	der, err := x509.MarshalPKIXPublicKey(e.Public())
	if err != nil {
		t.Fatal(err)
	}
	confused := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for name, want := range map[string]struct{ token, why string }{
		"good":              {with("x", 1), ""},
		"expired":           {with("exp", now.Add(-31*time.Second).Unix()), "expired"},
		"within the leeway": {with("exp", now.Add(-29*time.Second).Unix()), ""},
		"no expiry":         {with("exp", nil), "lacks a claim that is asked for: exp"},
		"no audience":       {with("aud", nil), "lacks a claim that is asked for: aud"},
		"expiry in words":   {with("exp", "never"), "malformed"},
		"too early":         {with("nbf", now.Add(time.Minute).Unix()), "not valid yet"},
		"other audience":    {with("aud", "other"), "another audience"},
		"other issuer":      {with("iss", "https://evil.example.com"), "another issuer"},
		"no user":           {with("sub", nil), "lacks a claim that is asked for: sub"},
		"wrong group":       {with("groups", "sales"), "lacks a claim that is asked for: groups"},
		"one of the groups": {with("groups", []string{"sales", "ai-ops"}), ""},
		"none of them":      {with("groups", []string{"sales", "hr"}), "lacks a claim that is asked for: groups"},
		"a list of none":    {with("groups", []string{}), "lacks a claim that is asked for: groups"},
		"no group":          {with("groups", nil), "lacks a claim that is asked for: groups"},
		"other key":         {sign(t, jwt.SigningMethodES256, "e", other, good), "signature"},
		"other payload":     {parts[0] + "." + forged[1] + "." + parts[2], "signature"},
		"no signature":      {sign(t, jwt.SigningMethodNone, "e", jwt.UnsafeAllowNoneSignatureType, good), "signature"},
		"public as secret":  {sign(t, jwt.SigningMethodHS256, "e", confused, good), "signature"},
		"not a token":       {"a.b.c", "malformed"},
		"endless":           {strings.Repeat("a", 1<<20) + ".b.c", "malformed"},
	} {
		got, why := call(k, want.token)
		if (want.why == "") != (why == "") || !strings.Contains(why, want.why) || (got.Name != "") != (want.why == "") {
			t.Errorf("%s: %q as %+v, want %q", name, why, got, want.why)
		}
		if strings.Contains(why, "alice") || len(why) > 200 {
			t.Errorf("%s: the refusal tells too much: %s", name, why)
		}
	}
}

func TestToken_KeysThatComeLaterAreFetched(t *testing.T) {
	first, second := ecKey(t), ecKey(t)
	p := startIDP(t, map[string]any{"1": first})
	k := made(t, staff(p.URL))
	if _, why := call(k, sign(t, jwt.SigningMethodES256, "1", first, nil)); why != "" {
		t.Fatal(why)
	}
	p.publish(t, map[string]any{"2": second})
	if _, why := call(k, sign(t, jwt.SigningMethodES256, "2", second, nil)); why != "" {
		t.Errorf("a token by a rotated key: %s", why)
	}
	for range 50 {
		_, _ = call(k, sign(t, jwt.SigningMethodES256, "nobody's", first, nil))
	}
	if n := p.asked.Load(); n > 3 {
		t.Errorf("50 tokens by unknown keys made %d fetches", n)
	}
}

func TestToken_SharedSecretAndPEM(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	e := ecKey(t)
	der, err := x509.MarshalPKIXPublicKey(e.Public())
	if err != nil {
		t.Fatal(err)
	}
	a, b := staff(""), staff("")
	a.Name, a.JWT.Key = "hmac", config.NewSecret(secret)
	b.Name, b.JWT.Key = "pem", config.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	k := made(t, a, b)
	if c, why := call(k, sign(t, jwt.SigningMethodHS512, "", []byte(secret), nil)); c.Name != "hmac" {
		t.Errorf("%+v, %s", c, why)
	}
	if c, why := call(k, sign(t, jwt.SigningMethodES256, "", e, nil)); c.Name != "pem" {
		t.Errorf("%+v, %s", c, why)
	}
	if c, why := call(k, sign(t, jwt.SigningMethodHS256, "", []byte(secret+"x"), nil)); why == "" {
		t.Errorf("a wrong secret made %+v", c)
	}
}

func TestToken_NamesItsModels(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	c := staff("")
	c.JWT.Key, c.JWT.ModelClaim = config.NewSecret(secret), "models"
	k := made(t, c)
	for _, f := range []struct {
		claim any
		want  bool
	}{{[]string{"llama3"}, true}, {"qwen llama3", true}, {[]string{"qwen"}, false}, {nil, false}, {7, false}} {
		got, why := call(k, sign(t, jwt.SigningMethodHS256, "", []byte(secret), jwt.MapClaims{"models": f.claim}))
		if why != "" || got.Allows("llama3") != f.want || got.Allows("qwen") {
			t.Errorf("models %v: %+v may use llama3: %v, want %v; %s", f.claim, got, got.Allows("llama3"), f.want, why)
		}
	}
}

func TestToken_WithoutTheIssuer(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	k := made(t, staff(gone.URL), config.Consumer{Name: "dify", Keys: secrets("sk-dify-1")})
	if _, why := call(k, sign(t, jwt.SigningMethodES256, "e", ecKey(t), nil)); !strings.Contains(why, "signature") {
		t.Errorf("refused with %q", why)
	}
	if c, _ := call(k, "sk-dify-1"); c.Name != "dify" {
		t.Error("keys do not count while an issuer is away")
	}
}

func TestKey_CountsInItsTime(t *testing.T) {
	day := func(text string) config.Time {
		at, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return config.Time(at)
	}
	old := config.Key{Key: config.NewSecret("old"), Until: day("2026-12-15")}
	young := config.Key{Key: config.NewSecret("young"), From: day("2026-12-01")}
	k := made(t, config.Consumer{Name: "shop", Keys: []config.Key{old, young}, Until: day("2027-06-01")})
	for at, want := range map[string][2]bool{
		"2026-11-30": {true, false}, "2026-12-01": {true, true}, "2026-12-14": {true, true}, "2026-12-15": {false, true}, "2027-06-01": {false, false},
	} {
		for i, key := range []string{"old", "young"} {
			_, fail := k.Identify(&identity.Call{XAPIKey: []byte(key), Now: time.Time(day(at))})
			if (fail == nil) != want[i] {
				t.Errorf("%s on %s: %v, want %v", key, at, fail, want[i])
			}
		}
	}
}

func TestIdentify_PathsAndAddresses(t *testing.T) {
	k := made(t, config.Consumer{
		Name: "shop", Keys: secrets("sk"), Paths: []string{"/v1/chat/*"},
		IPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	})
	for _, f := range []struct {
		path, ip string
		early    bool
		want     int
	}{
		{"/v1/chat/completions", "10.1.2.3", false, 0},
		{"/v1/chat/completions", "::ffff:10.1.2.3", false, 0},
		{"/v1/chat/completions", "fd00::1", false, 0},
		{"/v1/chat/completions", "192.0.2.1", false, 403},
		{"/v1/chat/completions", "192.0.2.1", true, 0}, // the address is not looked at yet
		{"/v1/embeddings", "10.1.2.3", false, 403},
	} {
		_, fail := k.Identify(&identity.Call{APIKey: []byte("sk"), Path: f.path, IP: netip.MustParseAddr(f.ip), Now: now, Early: f.early})
		if got := 0; fail != nil {
			if got = fail.HTTPStatus(); got != f.want || !strings.HasSuffix(fail.Code, "_not_allowed") {
				t.Errorf("%s from %s: %d %s, want %d", f.path, f.ip, got, fail.Code, f.want)
			}
		} else if f.want != 0 {
			t.Errorf("%s from %s passed", f.path, f.ip)
		}
	}
}

func TestIdentify_GuessingIsSlowedAndGoodKeysPass(t *testing.T) {
	k := made(t, config.Consumer{Name: "shop", Keys: secrets("sk")})
	ask := func(key, ip string, at time.Time) int {
		_, fail := k.Identify(&identity.Call{APIKey: []byte(key), IP: netip.MustParseAddr(ip), Now: at})
		if fail == nil {
			return 200
		}
		return fail.HTTPStatus()
	}
	refused := 0
	for range 100 {
		if ask("guess", "192.0.2.7", now) == 429 {
			refused++
		}
	}
	if refused != 40 {
		t.Errorf("%d of 100 guesses were slowed, want 40", refused)
	}
	if got := ask("sk", "192.0.2.7", now); got != 200 {
		t.Errorf("a good key from the guesser's address: %d", got)
	}
	if got := ask("guess", "192.0.2.8", now); got != 401 {
		t.Errorf("a wrong key from elsewhere: %d", got)
	}
	if got := ask("guess", "192.0.2.7", now.Add(time.Minute)); got != 401 {
		t.Errorf("a wrong key a minute later: %d", got)
	}
}

func TestIdentify_BasicPassword(t *testing.T) {
	k := made(t, config.Consumer{Name: "shop", Keys: secrets("sk:with:colons")})
	for header, want := range map[string]string{
		"Basic YW55OnNrOndpdGg6Y29sb25z": "shop", "basic OnNrOndpdGg6Y29sb25z": "shop", "Basic c2s=": "", "Basic %%%": "", "Basic": "",
	} {
		c, _ := k.Identify(&identity.Call{Authorization: []byte(header), Now: now})
		if c.Name != want {
			t.Errorf("%s: %q, want %q", header, c.Name, want)
		}
	}
}

// FuzzToken: whatever is offered, nobody is let in and nothing breaks.
func FuzzToken(f *testing.F) {
	k := made(f, staff(""), config.Consumer{Name: "shop", Keys: secrets("sk-a-long-key-that-nobody-guesses")}, func() config.Consumer {
		c := staff("")
		c.JWT.Key = config.NewSecret("0123456789abcdef0123456789abcdef")
		return c
	}())
	f.Add("Bearer a.b.c")
	f.Add("Basic OnNr")
	f.Add("Bearer " + sign(f, jwt.SigningMethodHS256, "", []byte("another secret of thirty-two bytes"), nil))
	f.Fuzz(func(t *testing.T, authorization string) {
		c, fail := k.Identify(&identity.Call{Authorization: []byte(authorization), Now: now})
		if fail == nil {
			t.Errorf("%q was let in as %+v", authorization, c)
		}
	})
}
