package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sourced = `
server: {tls: {cert: tls/crt, key: tls/key}}
redis: {url: "rediss://redis:6379", ca: ca}
consumers: [{name: dify, keys: ["${file:secret}"]}]
pools: [{name: m, endpoints: ["http://a:1"]}]
`

// sourceIn makes a folder with a configuration that names a secret and a certificate, and reads it.
func sourceIn(t *testing.T) (*Source, string) {
	t.Helper()
	dir := t.TempDir()
	cert, key := certificate(t)
	write(t, filepath.Join(dir, "warmlane.yaml"), []byte(sourced))
	write(t, filepath.Join(dir, "secret"), []byte("sk-one\n"))
	write(t, filepath.Join(dir, "ca"), cert)
	write(t, filepath.Join(dir, "tls", "crt"), cert)
	write(t, filepath.Join(dir, "tls", "key"), key)
	s := &Source{Path: filepath.Join(dir, "warmlane.yaml")}
	if _, err := s.Load(); err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// settles tells whether one of the next two looks finds a change.
func settles(s *Source) bool {
	first := s.Settled()
	return s.Settled() || first
}

// Every way in which a file changes is seen, at the second look and until it is read.
func TestSource_SeesChanges(t *testing.T) {
	f := func(name string, change func(t *testing.T, dir string)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s, dir := sourceIn(t)
			if settles(s) {
				t.Fatal("changed at once")
			}
			change(t, dir)
			if s.Settled() {
				t.Error("settled at the first look")
			}
			if !settles(s) {
				t.Error("not seen")
			}
			_, _ = s.Load()
			if settles(s) {
				t.Error("still changed after it was read")
			}
		})
	}
	replace := func(path string, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { write(t, filepath.Join(dir, path), []byte(text)) }
	}
	f("file", replace("warmlane.yaml", sourced+"\n# more\n"))
	f("file of the same length", replace("warmlane.yaml", strings.ReplaceAll(sourced, "a:1", "b:1")))
	f("broken file", replace("warmlane.yaml", "pools: ["))
	f("secret", replace("secret", "sk-two"))
	f("empty secret", replace("secret", ""))
	f("certificate", replace("tls/crt", "none"))
	f("authority of Redis", replace("ca", "none"))
	f("key", replace("tls/key", "none"))
	f("removed", func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, "secret")); err != nil {
			t.Fatal(err)
		}
	})
	f("moved into place", func(t *testing.T, dir string) {
		write(t, filepath.Join(dir, "new"), []byte("sk-two"))
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "secret")); err != nil {
			t.Fatal(err)
		}
	})
}

// A renewed authority makes another Redis of it, so that a reload connects anew.
func TestSource_RenewedAuthorityOfRedis(t *testing.T) {
	s, dir := sourceIn(t)
	before, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Load(); err != nil || again.Redis != before.Redis {
		t.Errorf("the same file makes another Redis (%v)", err)
	}
	cert, _ := certificate(t)
	write(t, filepath.Join(dir, "ca"), cert)
	after, err := s.Load()
	if err != nil || after.Redis == before.Redis {
		t.Errorf("another file makes the same Redis (%v)", err)
	}
	write(t, filepath.Join(dir, "ca"), []byte("none"))
	if _, err := s.Load(); err == nil || !strings.Contains(err.Error(), "redis.ca") {
		t.Errorf("a file without a certificate is taken: %v", err)
	}
}

// A ConfigMap is exchanged by moving a symbolic link, through which the files are seen.
func TestSource_SeesConfigMaps(t *testing.T) {
	dir := t.TempDir()
	link := func(version string) {
		t.Helper()
		if err := os.Symlink(version, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "..1", "warmlane.yaml"), []byte(`pools: [{name: m, endpoints: ["http://a:1"]}]`))
	write(t, filepath.Join(dir, "..2", "warmlane.yaml"), []byte(`pools: [{name: m, endpoints: ["http://b:1"]}]`))
	link("..1")
	if err := os.Symlink("..data/warmlane.yaml", filepath.Join(dir, "warmlane.yaml")); err != nil {
		t.Fatal(err)
	}
	s := &Source{Path: filepath.Join(dir, "warmlane.yaml")}
	if _, err := s.Load(); err != nil {
		t.Fatal(err)
	}
	link("..2")
	if s.Settled() || !s.Settled() {
		t.Fatal("not seen")
	}
	cfg, err := s.Load()
	if err != nil || cfg.Pools[0].Endpoints[0].URL != "http://b:1" {
		t.Fatalf("read %v, %v", cfg, err)
	}
}

// A file that goes on changing is left to its author.
func TestSource_WaitsForTheLastOfManyChanges(t *testing.T) {
	s, dir := sourceIn(t)
	for _, text := range []string{"sk-two", "sk-three", "sk-four"} {
		write(t, filepath.Join(dir, "secret"), []byte(text))
		if s.Settled() {
			t.Errorf("settled with %s", text)
		}
	}
	if !s.Settled() {
		t.Error("not settled at last")
	}
	write(t, filepath.Join(dir, "secret"), []byte("sk-one\n"))
	if settles(s) {
		t.Error("changed though all is as it was")
	}
}

// What a file lacks is looked for until it is there: no reload is needed for a secret that comes late.
func TestSource_SeesWhatWasMissing(t *testing.T) {
	s, dir := sourceIn(t)
	write(t, filepath.Join(dir, "warmlane.yaml"), []byte(strings.ReplaceAll(sourced, "file:secret", "file:later")))
	if _, err := s.Load(); err == nil {
		t.Fatal("read without its secret")
	}
	if settles(s) {
		t.Error("changed although nothing did")
	}
	write(t, filepath.Join(dir, "later"), []byte("sk-late"))
	if s.Settled() || !s.Settled() {
		t.Error("not seen")
	}
	if _, err := s.Load(); err != nil {
		t.Error(err)
	}
}

func TestSource_AdjustsBeforeTheCheck(t *testing.T) {
	s, _ := sourceIn(t)
	s.Adjust = func(c *Config) { c.Server.Listen = "nowhere" }
	if _, err := s.Load(); err == nil || !strings.Contains(err.Error(), "server.listen") {
		t.Errorf("a wrong adjustment ends in %v", err)
	}
	s.Adjust = func(c *Config) { c.Server.Listen = "127.0.0.1:1234" }
	if cfg, err := s.Load(); err != nil || cfg.Server.Listen != "127.0.0.1:1234" {
		t.Errorf("adjusted to %v, %v", cfg, err)
	}
}
