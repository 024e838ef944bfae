package config

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/certtest"
)

// loadSample loads the annotated sample from a folder that has the secrets and the certificate which it names.
func loadSample(t *testing.T) *Config {
	t.Helper()
	for _, name := range []string{
		"WARMLANE_ADMIN_TOKEN", "REDIS_PASSWORD", "VLLM_KEY", "EAS_TOKEN", "DASHSCOPE_KEY_1", "DASHSCOPE_KEY_2",
		"OPENAI_KEY", "AZURE_OPENAI_KEY", "BEDROCK_KEY",
	} {
		t.Setenv(name, "value-of-"+name)
	}
	dir := t.TempDir()
	text, err := os.ReadFile("../../deploy/warmlane.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "warmlane.yaml"), text)
	write(t, filepath.Join(dir, "words.txt"), []byte("forbidden\n"))
	write(t, filepath.Join(dir, "secrets", "dify_key"), []byte("sk-dify\n"))
	cert, key := certificate(t)
	write(t, filepath.Join(dir, "tls", "server.crt"), cert)
	write(t, filepath.Join(dir, "tls", "server.key"), key)
	cfg, err := Load(filepath.Join(dir, "warmlane.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificate returns a self-signed certificate and its key as PEM.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	p := certtest.Make(t, x509.Certificate{DNSNames: []string{"localhost"}}, nil)
	return p.Cert, p.Key
}

func TestSample_FillsInSecrets(t *testing.T) {
	cfg := loadSample(t)
	if got := cfg.Consumers[0].Keys[0].Key.Reveal(); got != "sk-dify" {
		t.Errorf("key from file: %q", got)
	}
	if got := cfg.Redis.URL.Reveal(); got != "redis://:value-of-REDIS_PASSWORD@redis:6379/6" {
		t.Errorf("redis URL: %q", got)
	}
	if got := fmt.Sprintf("%+v %#v %s", *cfg, cfg.Redis, cfg.Pools[0].APIKey); strings.Contains(got, "value-of-") || strings.Contains(got, "sk-dify") {
		t.Errorf("a secret is printed: %s", got)
	}
}

// What the sample says is a default is one: it may differ from an empty configuration only where it names things.
func TestSample_ShowsTheDefaults(t *testing.T) {
	cfg, want := loadSample(t), defaults()
	s := cfg.Server
	s.AdminToken, s.TLS, s.TrustedProxies = Secret{}, TLS{}, want.Server.TrustedProxies
	if !reflect.DeepEqual(s, want.Server) {
		t.Errorf("server:\n got %+v\nwant %+v", s, want.Server)
	}
	if cfg.Usage != want.Usage {
		t.Errorf("usage:\n got %+v\nwant %+v", cfg.Usage, want.Usage)
	}
	if cfg.Observe != want.Observe {
		t.Errorf("observe:\n got %+v\nwant %+v", cfg.Observe, want.Observe)
	}

	pool, wantPool := cfg.Pools[0], elementDefault[Pool]()
	wantEndpoint := elementDefault[Endpoint]()
	for _, e := range pool.Endpoints {
		wantEndpoint.URL = e.URL
		if e != wantEndpoint {
			t.Errorf("endpoint: got %+v, want %+v", e, wantEndpoint)
		}
	}
	pool.Name, pool.Endpoints, pool.ServedModel, pool.Models, pool.APIKey = "", nil, "", nil, Secret{}
	if !reflect.DeepEqual(pool, wantPool) {
		t.Errorf("pool:\n got %+v\nwant %+v", pool, wantPool)
	}

	provider, wantProvider := cfg.Providers[0], elementDefault[Provider]()
	provider.Name, provider.BaseURL, provider.Keys, provider.Models, provider.Organization, provider.Project = "", "", nil, nil, "", ""
	if !reflect.DeepEqual(provider, wantProvider) {
		t.Errorf("provider:\n got %+v\nwant %+v", provider, wantProvider)
	}
	similar, wantSimilar := cfg.Cache[0].Semantic, elementDefault[CacheRule]().Semantic
	if similar.Pool, similar.Model = "", ""; similar != wantSimilar {
		t.Errorf("semantic: got %+v, want %+v", similar, wantSimilar)
	}
	if got, want := cfg.Routes[0].FallbackOn, elementDefault[Route]().FallbackOn; !reflect.DeepEqual(got, want) {
		t.Errorf("fallback_on: got %v, want %v", got, want)
	}
}

// Whoever adds a key has to explain it in the sample.
func TestSample_HasEveryKey(t *testing.T) {
	cfg := loadSample(t)
	seen := map[string]bool{}
	for path := range cfg.marks {
		seen[withoutIndexes(path)] = true
	}
	for _, key := range keys(reflect.TypeFor[Config](), "") {
		if !seen[key] {
			t.Errorf("deploy/warmlane.yaml does not show the key %s", key)
		}
	}
}

// keys returns the paths of all keys of a struct type, lists without their indexes.
func keys(t reflect.Type, path string) []string {
	for t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || scalarParser(reflect.New(t).Elem()) != nil {
		return nil
	}
	var all []string
	for _, f := range fields(t) {
		if f.params {
			continue
		}
		p := join(path, f.name)
		all = append(append(all, p), keys(t.Field(f.index).Type, p)...)
	}
	return all
}

// withoutIndexes returns path without what stands in brackets.
func withoutIndexes(path string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(path, "[") {
		if _, rest, ok := strings.Cut(part, "]"); ok {
			part = rest
		}
		b.WriteString(part)
	}
	return b.String()
}
