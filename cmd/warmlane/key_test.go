package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKey_NewAndHashAgree(t *testing.T) {
	code, made, errs := warmlane(t, "key", "new")
	key, digest, found := strings.Cut(strings.TrimPrefix(made, "key:    "), "\ndigest: ")
	if code != 0 || !found || len(key) != len("sk-wl-")+43 {
		t.Fatalf("exit %d, %q, %s", code, made, errs)
	}
	if _, again, _ := warmlane(t, "key", "new"); again == made {
		t.Error("two keys are equal")
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	before := os.Stdin
	os.Stdin = f
	code, hashed, errs := warmlane(t, "key", "hash")
	os.Stdin = before
	if code != 0 || hashed != digest {
		t.Errorf("exit %d: hash prints %q, new printed %q; %s", code, hashed, digest, errs)
	}
}

func TestKey_ListShowsNoKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "warmlane.yaml")
	text := `
consumers:
  - name: shop
    keys: [sk-secret-one, {key: sk-secret-two, until: 2020-01-01}]
  - {name: gone, keys: [sk-three, {key: sk-four, until: 2031-01-01}], until: 2021-02-03}
  - {name: staff, jwt: {issuer: "https://idp.example.com", key: "0123456789abcdef0123456789abcdef"}}
pools:
  - {name: llama3, endpoints: ["http://10.0.0.1:8000"]}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, list, errs := warmlane(t, "key", "list", "--config", path)
	for _, want := range []string{digestOf("sk-secret-one")[:15], "good", "does not count", "2020-01-01", "tokens of https://idp.example.com"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %q", want)
		}
	}
	if n := strings.Count(list, "2021-02-03"); n != 2 || strings.Contains(list, "2031") {
		t.Errorf("%d keys end with their consumer, want 2", n)
	}
	if code != 0 || strings.Contains(list, "secret") || strings.Contains(list, "abcdef") {
		t.Errorf("exit %d, %s\n%s", code, errs, list)
	}
}
