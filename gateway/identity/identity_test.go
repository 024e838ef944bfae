package identity_test

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/identity"
)

func digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func consumers() []config.Consumer {
	return []config.Consumer{
		{Name: "dify", Keys: secrets("sk-dify-1", "sk-dify-2"), Models: []string{"llama3", "qwen*"}},
		{Name: "staff", Keys: secrets(digest("sk-staff"))},
	}
}

func secrets(keys ...string) []config.Key {
	out := make([]config.Key, len(keys))
	for i, key := range keys {
		out[i].Key = config.NewSecret(key)
	}
	return out
}

func made(t testing.TB, consumers ...config.Consumer) *identity.Keys {
	t.Helper()
	k, err := identity.New(consumers, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func keys(t testing.TB) *identity.Keys {
	t.Helper()
	return made(t, consumers()...)
}

func TestIdentify_KnownKeys(t *testing.T) {
	k := keys(t)
	f := func(authorization, apiKey, xAPIKey, want string) {
		t.Helper()
		c, fail := k.Identify(&identity.Call{Authorization: header(authorization), APIKey: header(apiKey), XAPIKey: header(xAPIKey)})
		if fail != nil {
			t.Errorf("Identify(%q, %q, %q): %v", authorization, apiKey, xAPIKey, fail)
			return
		}
		if c.Name != want {
			t.Errorf("Identify(%q, %q, %q) = %q, want %q", authorization, apiKey, xAPIKey, c.Name, want)
		}
	}
	f("Bearer sk-dify-1", "", "", "dify")
	f("Bearer sk-dify-2", "", "", "dify") // rotation: both keys are good
	f("bearer sk-staff", "", "", "staff") // the scheme in any case; a key kept as its digest
	f("BEARER   sk-staff ", "", "", "staff")
	f("", "sk-dify-1", "", "dify")
	f("", "", "sk-dify-1", "dify")
	f("Bearer none", "sk-staff", "", "staff")       // SDKs that fill Authorization with a dummy
	f("Basic c2s6c2s=", "", "sk-dify-1", "dify")    // a scheme that is not ours hides nothing
	f("Bearer sk-dify-1", "", "sk-staff", "dify")   // the first good one counts
	f("Bearer sk-dify-1", "wrong", "wrong", "dify") // wrong ones beside a good one do not matter
}

func TestIdentify_RefusesWithoutEcho(t *testing.T) {
	k := keys(t)
	f := func(authorization, apiKey, xAPIKey string) {
		t.Helper()
		c, fail := k.Identify(&identity.Call{Authorization: header(authorization), APIKey: header(apiKey), XAPIKey: header(xAPIKey)})
		if fail == nil {
			t.Errorf("Identify(%q, %q, %q) = %q, want a refusal", authorization, apiKey, xAPIKey, c.Name)
			return
		}
		if c.Name != "" || fail.HTTPStatus() != 401 || fail.Kind.Entry().Code != "invalid_api_key" {
			t.Errorf("Identify(%q, %q, %q) = %+v, %v", authorization, apiKey, xAPIKey, c, fail)
		}
		if strings.Contains(fail.Error(), "secret") {
			t.Errorf("the refusal repeats the key: %s", fail)
		}
	}
	f("", "", "")
	f("Bearer", "", "")
	f("Bearer ", "", "")
	f("Bearer secret-1", "", "")
	f("sk-dify-1", "", "") // no scheme
	f("Basic sk-dify-1", "", "")
	f("Bearer sk-dify-1x", "", "")
	f("Bearer "+digest("sk-staff"), "", "") // the digest in the file is no key
	f("", "secret-2", "secret-3")
	f("Bearer "+strings.Repeat("secret", 10_000), "", "")
}

func TestIdentify_OpenWithoutConsumers(t *testing.T) {
	k := made(t)
	c, fail := k.Identify(&identity.Call{Authorization: []byte("Bearer whatever")})
	if fail != nil || c.Name != "" || !c.Allows("any") || !k.Open() {
		t.Errorf("open gateway: %+v, %v", c, fail)
	}
	if keys(t).Open() {
		t.Error("a gateway with consumers is open")
	}
}

func TestConsumer_Models(t *testing.T) {
	k := keys(t)
	dify, _ := k.Identify(&identity.Call{Authorization: []byte("Bearer sk-dify-1")})
	staff, _ := k.Identify(&identity.Call{Authorization: []byte("Bearer sk-staff")})
	for model, want := range map[string]bool{"llama3": true, "qwen2.5/7b": true, "llama3-next": false, "": false} {
		if dify.Allows(model) != want {
			t.Errorf("dify may use %q: %v, want %v", model, !want, want)
		}
		if !staff.Allows(model) {
			t.Errorf("staff may not use %q", model)
		}
	}
}

func TestNew_Faults(t *testing.T) {
	f := func(want string, cs ...config.Consumer) {
		t.Helper()
		_, err := identity.New(cs, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want an error with %q", err, want)
			return
		}
		if strings.Contains(err.Error(), "sk-shared") {
			t.Errorf("the error repeats the key: %v", err)
		}
	}
	f(`"b" have a key in common`,
		config.Consumer{Name: "a", Keys: secrets("sk-shared")}, config.Consumer{Name: "b", Keys: secrets(digest("sk-shared"))})
	f(`key 2 of consumer "a"`, config.Consumer{Name: "a", Keys: secrets("sk-shared", "sha256:12")})
}

func TestIdentify_DoesNotAllocate(t *testing.T) {
	k := keys(t)
	value := []byte("Bearer sk-staff")
	if n := testing.AllocsPerRun(100, func() { _, _ = k.Identify(&identity.Call{Authorization: value}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkIdentify(b *testing.B) {
	k := keys(b)
	value := []byte("Bearer sk-staff")
	for b.Loop() {
		if _, fail := k.Identify(&identity.Call{Authorization: value}); fail != nil {
			b.Fatal(fail)
		}
	}
}

func header(value string) []byte {
	if value == "" {
		return nil
	}
	return []byte(value)
}
