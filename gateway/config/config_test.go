package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// environment sets what the samples in testdata refer to.
func environment(t testing.TB) {
	t.Helper()
	for name, value := range map[string]string{"WL_KEY": "sk-from-env", "WL_PORT": "8000", "WL_CAP": "64", "WL_EMPTY": ""} {
		if tt, ok := t.(*testing.T); ok {
			tt.Setenv(name, value)
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			t.Fatal(err)
		}
	}
}

func samples(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples %s (%v)", pattern, err)
	}
	return files
}

func TestLoad_GoodFiles(t *testing.T) {
	environment(t)
	for _, file := range samples(t, "good/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			cfg, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := cfg.Validate(); err != nil {
				t.Errorf("accepted, but not a second time: %v", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".json", indented(t, cfg))
		})
	}
}

func TestLoad_BadFilesTellEveryFault(t *testing.T) {
	environment(t)
	for _, file := range samples(t, "bad/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(file)
			fs, ok := AsFaults(err)
			if !ok {
				t.Fatalf("got %v, want faults", err)
			}
			for _, f := range fs {
				if f.Line < 1 || f.Column < 1 || f.Message == "" {
					t.Errorf("no place or message: %+v", f)
				}
			}
			if strings.Contains(err.Error(), "sk-") {
				t.Errorf("a secret is told:\n%v", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", []byte(filepath.ToSlash(err.Error())+"\n"))
		})
	}
}

// golden compares got with a file, or writes the file with -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s (rewrite it with -update)\n got:\n%s\nwant:\n%s", file, got, want)
	}
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// Some editors begin a file with a byte order mark, which YAML takes.
func TestParse_ByteOrderMark(t *testing.T) {
	cfg, err := Parse("f.yaml", []byte("\ufeffpools: [{name: m, endpoints: [\"http://10.0.0.1:8000\"]}]\n"))
	if err != nil || len(cfg.Pools) != 1 {
		t.Errorf("%v", err)
	}
}

func TestLoad_UnreadableFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "nowhere.yaml"))
	if fs, ok := AsFaults(err); !ok || len(fs) != 1 || !strings.Contains(fs[0].Message, "no such file") {
		t.Errorf("got %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: got %v", err)
	}
}

func TestFromPools(t *testing.T) {
	cfg, err := FromPools([]string{"llama3=http://127.0.0.1:8001,http://127.0.0.1:8002/", "qwen=https://host/api/predict/qwen"})
	if err != nil {
		t.Fatal(err)
	}
	want, err := Parse("warmlane.yaml", []byte(`pools:
  - {name: llama3, endpoints: ["http://127.0.0.1:8001", "http://127.0.0.1:8002"]}
  - {name: qwen, endpoints: ["https://host/api/predict/qwen"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(cfg.Pools, want.Pools) || !reflect.DeepEqual(cfg.Server, want.Server) {
		t.Errorf("got %+v, want what the file gives", cfg.Pools)
	}
}

func TestFromPools_Faults(t *testing.T) {
	_, err := FromPools([]string{"http://127.0.0.1:8001", "a=http://x,", "a=ftp://y"})
	want := []string{
		`--pool: pools[0]: no name and =; write --pool NAME=URL,URL, such as --pool llama3=http://10.0.0.1:8000,http://10.0.0.2:8000`,
		`--pool: pools[2].name: the name "a" is taken by pools[1]; give it a name of its own`,
		`--pool: pools[1].endpoints[1].url: the URL is missing; write a URL such as http://10.0.0.1:8000`,
		`--pool: pools[2].endpoints[0].url: "ftp://y" does not begin with http:// or https://; write a URL such as http://10.0.0.1:8000`,
	}
	if got := fmt.Sprint(err); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if _, err := FromPools(nil); err == nil {
		t.Error("no pool is accepted")
	}
}

func TestSecret_NeverShows(t *testing.T) {
	s := NewSecret("sk-very-secret")
	marshalled, err := json.Marshal(map[string]any{"a": s, "b": &s, "c": []Secret{s}})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "secret", s, "pointer", &s, "group", slog.AnyValue(struct{ S Secret }{s}))
	for _, text := range []string{
		fmt.Sprint(s), fmt.Sprint(&s), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s),
		fmt.Sprintf("%+v", Pool{APIKey: s}), fmt.Errorf("x: %v", s).Error(), string(marshalled), log.String(),
	} {
		if strings.Contains(text, "very") || strings.Contains(text, "76657279") || !strings.Contains(text, hidden) {
			t.Errorf("shows or has no stars: %s", text)
		}
	}
	if s.Reveal() != "sk-very-secret" || s.Empty() || NewSecret("").String() != "" {
		t.Error("the secret itself is lost")
	}
}

func TestSecret_DigestOfPlainAndHashedAgree(t *testing.T) {
	plain, err := NewSecret("key").Digest()
	if err != nil {
		t.Fatal(err)
	}
	hashed, err := NewSecret("sha256:" + fmt.Sprintf("%x", plain)).Digest()
	if err != nil || plain != hashed {
		t.Errorf("%x and %x (%v)", plain, hashed, err)
	}
	for _, bad := range []string{"sha256:", "sha256:12", "sha256:" + strings.Repeat("g", 64)} {
		if _, err := NewSecret(bad).Digest(); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestValues_PrintWhatTheyRead(t *testing.T) {
	for _, text := range []string{"0s", "500ms", "5s", "2m", "1h", "1h30m", "1m30s", "10m"} {
		var d Duration
		if c := d.parse(text); c != nil || d.String() != text {
			t.Errorf("duration %s reads as %s (%v)", text, d, c)
		}
	}
	for text, bytes := range map[string]int64{"1B": 1, "1500B": 1500, "64KiB": 64 << 10, "160MiB": 160 << 20, "1GiB": 1 << 30} {
		var s Size
		if c := s.parse(text); c != nil || int64(s) != bytes || s.String() != text {
			t.Errorf("size %s reads as %s, %d bytes (%v)", text, s, s, c)
		}
	}
	for text, per := range map[string]time.Duration{"10/s": time.Second, "100/min": time.Minute, "2000/h": time.Hour, "5/day": Day, "6/month": Month, "7/total": Total} {
		var r Rate
		if c := r.parse(text); c != nil || r.Per != per || r.String() != text {
			t.Errorf("rate %s reads as %+v (%v)", text, r, c)
		}
	}
	for text, micros := range map[string]int64{"0.50/h": 500_000, "20/day": 20_000_000, "0.000001/total": 1, "12.34/month": 12_340_000} {
		var s Spend
		if c := s.parse(text); c != nil || s.N != micros || s.String() != text {
			t.Errorf("spend %s reads as %+v, %s (%v)", text, s, s, c)
		}
	}
	for _, text := range []string{"consumer", "user", "model", "route", "ip", "app", "header:X-App", "query:app", "cookie:sid"} {
		var b By
		if c := b.parse(text); c != nil || b.String() != text {
			t.Errorf("by %s reads as %s (%v)", text, b, c)
		}
	}
	for _, text := range []string{"bearer", "bare", "header:X-Api-Key"} {
		var a Auth
		if c := a.parse(text); c != nil || a.String() != text {
			t.Errorf("auth %s reads as %s (%v)", text, a, c)
		}
	}
}

func TestValues_Refused(t *testing.T) {
	f := func(parse func(string) *complaint, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if parse(text) == nil {
				t.Errorf("%q is taken", text)
			}
		}
	}
	f(new(Duration).parse, "", "5", "-1s", "1 s", "1d", "s")
	f(new(Size).parse, "", "160", "MiB", "1.5GiB", "-1B", "1 MiB", "9223372036854775807GiB", "1mib")
	f(new(Rate).parse, "", "10", "10/", "/s", "0/s", "-1/s", "1/week", "1.5/s", "10 / s", "9999999999999/s")
	f(new(Spend).parse, "", "10", "/day", "0/day", "-1/h", "1/week", "1e10/day", "nan/day", "ten/day")
	f(new(By).parse, "", "header:", "header:a b", "Consumer", "dify_app")
	f(new(Auth).parse, "", "Bearer", "header:", "basic")
}

// A policy judges its own parameters; the fault has its words and the place in the file.
func TestParse_PolicyParameters(t *testing.T) {
	_, err := Parse("w.yaml", []byte("pools:\n  - name: a\n    endpoints: [\"http://a\"]\n    policy: {name: warm, bogus: 3}\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "w.yaml:4:5: pools[0].policy: ") || !strings.Contains(err.Error(), "bogus") {
		t.Errorf("got %v", err)
	}
}

func TestFits(t *testing.T) {
	f := func(pattern, text string, want bool) {
		t.Helper()
		if got := Fits(pattern, text); got != want {
			t.Errorf("Fits(%q, %q) = %v", pattern, text, got)
		}
	}
	f("shop-*", "shop-1", true)
	f("regex:^shop-[0-9]+$", "shop-17", true)
	f("regex:^shop-[0-9]+$", "shop-x", false)
	f("regex:[", "[", false)
}

func TestCovers_Cookies(t *testing.T) {
	m := Match{Cookies: map[string]string{"plan": "regex:^(free|trial)$"}}
	for cookie, want := range map[string]bool{"a=1; plan=free": true, "plan=paid": false, "a=plan=free": false, "": false} {
		if got := m.Covers(&Subject{Headers: oneHeader{"Cookie", cookie}}); got != want {
			t.Errorf("cookies %q are covered: %v", cookie, got)
		}
	}
	if m.Covers(&Subject{}) || m.Empty() || m.String() != "cookie plan=regex:^(free|trial)$" {
		t.Errorf("%v", m.String())
	}
}

// Every condition knows exact values, prefixes and expressions.
func TestCovers_EveryCondition(t *testing.T) {
	list := func(set func(*Match, []string)) func(string) Match {
		return func(pattern string) (m Match) {
			set(&m, []string{"other", pattern})
			return m
		}
	}
	for name, c := range map[string]struct {
		match   func(pattern string) Match
		subject func(value string) Subject
	}{
		"models":    {list(func(m *Match, p []string) { m.Models = p }), func(v string) Subject { return Subject{Model: v} }},
		"consumers": {list(func(m *Match, p []string) { m.Consumers = p }), func(v string) Subject { return Subject{Consumer: v} }},
		"users":     {list(func(m *Match, p []string) { m.Users = p }), func(v string) Subject { return Subject{User: v} }},
		"apps":      {list(func(m *Match, p []string) { m.Apps = p }), func(v string) Subject { return Subject{App: v} }},
		"routes":    {list(func(m *Match, p []string) { m.Routes = p }), func(v string) Subject { return Subject{Route: v} }},
		"path":      {func(p string) Match { return Match{Path: p} }, func(v string) Subject { return Subject{Path: v} }},
		"header": {
			func(p string) Match { return Match{Headers: map[string]string{"X-App": p}} },
			func(v string) Subject { return Subject{Headers: oneHeader{"X-App", v}} },
		},
		"query": {
			func(p string) Match { return Match{Query: map[string]string{"app": p}} },
			func(v string) Subject { return Subject{Args: oneHeader{"app", v}} },
		},
		"cookie": {
			func(p string) Match { return Match{Cookies: map[string]string{"app": p}} },
			func(v string) Subject { return Subject{Headers: oneHeader{"Cookie", "a=b; app=" + v}} },
		},
	} {
		for pattern, fits := range map[string][2]string{
			"shop-1": {"shop-1", "shop-12"}, "shop-*": {"shop-12", "a-shop-1"}, "regex:^shop-[0-9]+$": {"shop-12", "shop-x"},
		} {
			m, good, bad := c.match(pattern), c.subject(fits[0]), c.subject(fits[1])
			if !m.Covers(&good) || m.Covers(&bad) || m.Covers(&Subject{}) || m.Empty() || !strings.Contains(m.String(), name) {
				t.Errorf("%s %s: covers %v, not %v; %q", name, pattern, m.Covers(&good), m.Covers(&bad), m.String())
			}
			if n := testing.AllocsPerRun(10, func() { m.Covers(&good) }); n > 1 {
				t.Errorf("%s %s: %v allocations", name, pattern, n)
			}
		}
	}
}

func TestCovers_Addresses(t *testing.T) {
	m := Match{IPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::1/128")}}
	for ip, want := range map[string]bool{"10.9.8.7": true, "::ffff:10.9.8.7": true, "11.0.0.1": false, "fd00::1": true, "fd00::2": false} {
		if got := m.Covers(&Subject{IP: netip.MustParseAddr(ip)}); got != want {
			t.Errorf("%s is covered: %v", ip, got)
		}
	}
	if m.Covers(&Subject{}) || m.Empty() || m.String() != "ips 10.0.0.0/8,fd00::1/128" {
		t.Errorf("%q", m.String())
	}
}

// oneHeader is a request with one header.
type oneHeader struct{ name, value string }

func (h oneHeader) Peek(name string) []byte {
	if name == h.name {
		return []byte(h.value)
	}
	return nil
}

func TestGlob(t *testing.T) {
	f := func(pattern, text string, want bool) {
		t.Helper()
		if got := Glob(pattern, text); got != want {
			t.Errorf("Glob(%q, %q) = %v", pattern, text, got)
		}
	}
	f("llama3", "llama3", true)
	f("llama3", "llama3.1", false)
	f("qwen*", "qwen", true)
	f("qwen*", "qwen2.5-7b", true)
	f("*", "", true)
	f("", "", true)
	f("", "a", false)
	f("?", "", false)
	f("?", "a", true)
	f("*-chat", "a-chat-b-chat", true)
	f("a*b*c", "aXbXbXc", true)
	f("a*b*c", "aXbXbX", false)
	f("/v1/*/completions", "/v1/chat/completions", true)
	// A pattern full of stars must not take exponential time.
	f(strings.Repeat("a*", 50)+"b", strings.Repeat("a", 5000), false)
}

func TestNearest(t *testing.T) {
	known := []string{"llama3", "llama3-sql", "qwen2.5", "mistral"}
	f := func(name string, want ...string) {
		t.Helper()
		if got := Nearest(name, known); !reflect.DeepEqual(got, want) {
			t.Errorf("Nearest(%q) = %v, want %v", name, got, want)
		}
	}
	f("lama3", "llama3")
	f("LLAMA3", "llama3", "llama3-sql")
	f("mistarl", "mistral")
	f("qwen", "qwen2.5")
	f("gpt-4")
	f("")
}

func TestParse_TrustedProxies(t *testing.T) {
	cfg, err := Parse("w.yaml", []byte(`
server: {trusted_proxies: [10.1.2.3/8, 192.0.2.1, "2001:db8::/32"]}
pools: [{name: a, endpoints: ["http://a"]}]`))
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
	}
	if !reflect.DeepEqual(cfg.Server.TrustedProxies, want) {
		t.Errorf("got %v, want %v", cfg.Server.TrustedProxies, want)
	}
}

// FuzzConfig: no text makes Parse panic, and what it takes it takes again.
func FuzzConfig(f *testing.F) {
	environment(f)
	for _, pattern := range []string{"good/*.yaml", "bad/*.yaml"} {
		for _, file := range samples(f, pattern) {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg, err := Parse("fuzz.yaml", text)
		if err != nil {
			fs, ok := AsFaults(err)
			if !ok || len(fs) == 0 {
				t.Fatalf("refused without a fault: %v", err)
			}
			return
		}
		if err := cfg.Validate(); err != nil {
			t.Fatalf("taken, but not a second time: %v", err)
		}
		again, err := Parse("fuzz.yaml", text)
		if err != nil || !reflect.DeepEqual(cfg, again) {
			t.Fatalf("read twice, not the same (%v)", err)
		}
	})
}
