package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2"

	sim "github.com/warmlane/warmlane/bench/engine"
	"github.com/warmlane/warmlane/gateway/config"
)

// fileRig is a gateway whose configuration is a file.
type fileRig struct {
	*rig
	file string
}

func newFileRig(t *testing.T, yaml string) *fileRig {
	t.Helper()
	f := &fileRig{file: filepath.Join(t.TempDir(), "warmlane.yaml")}
	f.put(t, f.file, yaml)
	source := &config.Source{Path: f.file}
	cfg, err := source.Load()
	if err != nil {
		t.Fatal(err)
	}
	f.rig = startRig(t, cfg, source)
	return f
}

// put writes a file, or one beside the configuration.
func (f *fileRig) put(t *testing.T, name, text string) {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(f.file), name)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// admin asks the admin listener.
func (r *rig) admin(method, path, body string, header ...string) reply {
	r.t.Helper()
	to := *r
	to.URL = r.Admin
	return to.do(method, path, body, header...)
}

// reload puts a configuration into force.
func (f *fileRig) reload(yaml string) {
	f.t.Helper()
	f.put(f.t, f.file, yaml)
	if got := f.admin("POST", "/admin/v1/reload", ""); got.status != 200 {
		f.t.Fatalf("reload: %d %s", got.status, got.body)
	}
}

// log returns the log's lines with that message.
func (r *rig) log(msg string) []map[string]any {
	r.lines.mu.Lock()
	defer r.lines.mu.Unlock()
	var found []map[string]any
	for text := range strings.SplitSeq(r.lines.buf.String(), "\n") {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == msg {
			found = append(found, line)
		}
	}
	return found
}

// metric is the line of /metrics that begins with name and a blank, "" if there is none.
func (r *rig) metric(name string) string {
	r.t.Helper()
	for line := range strings.SplitSeq(r.admin("GET", "/metrics", "").body, "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return value
		}
	}
	return ""
}

func reloadable(engines ...string) string {
	return fmt.Sprintf(`
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true}
pools: [{name: m, engine: generic, endpoints: [%s], policy: least_request, health: {interval: 1h}}]
`, quoted(engines))
}

// connected counts the connections that an engine has taken, once its health has been asked for.
func connected(t *testing.T, serve http.HandlerFunc) (url string, dialled func() int) {
	t.Helper()
	var n, probed atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			probed.Add(1)
		}
		if r.URL.Path == chat && !strings.HasPrefix(r.Header.Get("X-Request-Id"), "warmlane-probe-") {
			serve(w, r)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, func() int {
		await(t, "a health probe", func() bool { return probed.Load() > 0 })
		return int(n.Load())
	}
}

func answerWhole(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, answer)
}

// Endpoints come and go with the file, and so do their metrics; the idle connections of one that stays are used on.
func TestReload_Endpoints(t *testing.T) {
	a, dialled := connected(t, answerWhole)
	b, _ := connected(t, answerWhole)
	f := newFileRig(t, reloadable(a))
	kept := func() bool {
		f.reload(reloadable(a))
		f.post(chat, plainChat)
		before := dialled()
		f.reload(reloadable(a, b))
		seen := map[string]bool{}
		for range 100 { // least_request draws between two that have nothing to do
			got := f.post(chat, plainChat, "X-Warmlane-Explain", "1")
			if seen[decision(t, got).Endpoint] = true; len(seen) == 2 {
				break
			}
		}
		if !seen[a] || !seen[b] {
			t.Errorf("requests went to %v, want both", seen)
		}
		return dialled() == before
	}
	once, again := kept(), kept()
	if !once && !again { // a health probe may have had the idle one
		t.Error("a reload costs an endpoint that stayed its idle connections")
	}
	f.reload(reloadable(b))
	metrics := f.admin("GET", "/metrics", "").body
	if strings.Contains(metrics, a) || !strings.Contains(metrics, b) {
		t.Errorf("metrics still tell of %s, or not of %s", a, b)
	}
	if got := f.post(chat, plainChat, "X-Warmlane-Explain", "1"); decision(t, got).Endpoint != b {
		t.Errorf("a request went to %s", decision(t, got).Endpoint)
	}
}

// A file with a fault changes nothing, and everybody who asks is told where the fault is.
func TestReload_RefusesWhatIsWrong(t *testing.T) {
	a, _ := connected(t, answerWhole)
	f := newFileRig(t, reloadable(a))
	began := f.metric("warmlane_config_last_success_timestamp_seconds")
	f.put(t, f.file, reloadable(a)+"server_: 1\n")
	got := f.admin("POST", "/admin/v1/reload", "")
	if got.status != 400 || !strings.Contains(got.body, `unknown key \"server_\"`) || got.code() != "configuration_not_reloaded" {
		t.Errorf("reload says %d %s", got.status, got.body)
	}
	lines := f.log("configuration is wrong, the one in force stays")
	if len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0]["fault"]), f.file+":5:1: server_: unknown key") {
		t.Errorf("log %v", lines)
	}
	if v := f.metric("warmlane_config_reload_success"); v != "0" {
		t.Errorf("reload_success is %q", v)
	}
	if v := f.metric("warmlane_config_last_success_timestamp_seconds"); v != began {
		t.Errorf("the last success moved from %s to %s", began, v)
	}
	if shown := f.admin("GET", "/admin/v1/config", "").body; !strings.Contains(shown, `"success": false`) || !strings.Contains(shown, ":5:1: server_") {
		t.Errorf("the admin API shows %s", shown)
	}
	if got := f.post(chat, plainChat); got.status != 200 {
		t.Errorf("after it %d %s", got.status, got.body)
	}
	f.reload(reloadable(a))
	if v := f.metric("warmlane_config_reload_success"); v != "1" {
		t.Errorf("reload_success is %q after a good one", v)
	}
	if v := f.metric("warmlane_config_last_success_timestamp_seconds"); v == began {
		t.Error("the last success did not move")
	}
}

// Files are followed: the configuration itself, and the secrets that it names.
func TestReload_FollowsFiles(t *testing.T) {
	a, _ := connected(t, answerWhole)
	f := &fileRig{file: filepath.Join(t.TempDir(), "warmlane.yaml")}
	f.put(t, "key", "sk-one")
	f.put(t, f.file, reloadable(a)+`consumers: [{name: c, keys: ["${file:key}"]}]`)
	source := &config.Source{Path: f.file}
	cfg, err := source.Load()
	if err != nil {
		t.Fatal(err)
	}
	f.rig = startRig(t, cfg, source)
	asked := func(key string) int { return f.post(chat, plainChat, "X-Api-Key", key).status }
	if one, two := asked("sk-one"), asked("sk-two"); one != 200 || two != 401 {
		t.Fatalf("statuses %d and %d before", one, two)
	}
	f.put(t, "key", "sk-two")
	await(t, "the new key to be good", func() bool { return asked("sk-two") == 200 })
	if asked("sk-one") != 401 {
		t.Error("the old key is still good")
	}
	if lines := f.log("configuration reloaded"); len(lines) != 1 || lines[0]["trigger"] != "file change" {
		t.Errorf("log %v", lines)
	}
}

// What only a restart can change stays as it is, and the log says so.
func TestReload_KeepsWhatNeedsARestart(t *testing.T) {
	a, _ := connected(t, answerWhole)
	f := newFileRig(t, reloadable(a))
	f.reload(strings.ReplaceAll(reloadable(a), "server: {", "server: {listen: ':1', admin: '127.0.0.1:2', read_timeout: {header: 3s}, "))
	var keys []string
	for _, line := range f.log("a change of this key waits for a restart") {
		keys = append(keys, fmt.Sprint(line["key"]))
	}
	if want := []string{"server.listen", "server.admin", "server.read_timeout.header"}; !slices.Equal(keys, want) {
		t.Errorf("told of %v, want %v", keys, want)
	}
	if got := f.post(chat, plainChat); got.status != 200 {
		t.Errorf("after it %d %s", got.status, got.body)
	}
	if shown := f.admin("GET", "/admin/v1/config", "").body; !strings.Contains(shown, "server.read_timeout.header") {
		t.Errorf("the admin API shows %s", shown)
	}
}

func TestReload_WithoutAFile(t *testing.T) {
	a, _ := connected(t, answerWhole)
	r := newRig(t, onePool, a)
	if got := r.admin("POST", "/admin/v1/reload", ""); got.status != 400 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// Streams go on over a reload that takes their endpoint away, their load counts where it stays, and nothing is left of the old state
// when they have ended.
func TestReload_StreamsGoOn(t *testing.T) {
	var begun atomic.Int64
	finishing := make(chan struct{})
	serve := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"stream":true`) {
			_, _ = io.WriteString(w, answer)
			return
		}
		events(w, delta)
		begun.Add(1)
		select {
		case <-finishing:
			events(w, finish, done)
		case <-r.Context().Done():
		}
	}
	a, _ := connected(t, serve)
	b, _ := connected(t, serve)
	f := newFileRig(t, reloadable(a, b))
	set := func(state string) {
		t.Helper()
		if got := f.admin("POST", "/admin/v1/endpoints/state", fmt.Sprintf(`{"pool":"m","url":%q,"state":%q}`, b, state)); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	set("disabled")
	var all sync.WaitGroup
	stream := func() {
		all.Go(func() {
			if got := f.post(chat, streamChat); got.status != 200 || got.err != nil || !strings.Contains(got.body, done) {
				t.Errorf("a stream ended with %d %v %s", got.status, got.err, got.body)
			}
		})
	}
	for range 3 {
		stream()
	}
	await(t, "three streams", func() bool { return begun.Load() == 3 })
	set("enabled")
	f.reload(strings.ReplaceAll(reloadable(a, b), "interval: 1h", "interval: 2h"))
	name := fmt.Sprintf(`warmlane_endpoint_requests{endpoint=%q,pool="m"}`, a)
	if v := f.metric(name); v != "3" {
		t.Errorf("metrics show %q requests at the endpoint that stayed, want 3", v)
	}
	await(t, "the old pool to tell the new one", func() bool { // which sees two idle endpoints until then, and takes turns
		for range 20 {
			if decision(t, f.post(chat, plainChat, "X-Warmlane-Explain", "1")).Endpoint != b {
				return false
			}
		}
		return true
	})
	for i := range 3 {
		stream()
		await(t, "another stream", func() bool { return begun.Load() == int64(4+i) })
	}
	if v := f.metric(fmt.Sprintf(`warmlane_endpoint_requests{endpoint=%q,pool="m"}`, b)); v != "3" {
		t.Errorf("%q of 3 requests went to the endpoint without load", v)
	}
	f.reload(reloadable(b))
	close(finishing)
	all.Wait()
	await(t, "the load to be forgotten", func() bool {
		return f.metric(fmt.Sprintf(`warmlane_endpoint_requests{endpoint=%q,pool="m"}`, b)) == "0"
	})
}

// Requests that wait in the queue of a pool that a reload has replaced are served, and told when their time is over.
func TestReload_WhoWaitsIsServed(t *testing.T) {
	s := newSlow(t)
	yaml := func(more string) string {
		return fmt.Sprintf(`
server: {lame_duck: 0s, drain: 2s}
pools: [{name: m, endpoints: [{url: %q, max_concurrency: 1}], queue: {max: 10, wait: 1s%s}}]
`, s.url, more)
	}
	f := newFileRig(t, yaml(""))
	c := &crowd{rig: f.rig, replies: map[string]reply{}}
	c.send("first", "", streamChat)
	<-s.came
	c.send("served", "", streamChat)
	await(t, "one to wait", func() bool { return f.queue().Length == 1 })
	c.send("late", "", streamChat)
	await(t, "two to wait", func() bool { return f.queue().Length == 2 })
	f.reload(yaml(", late: 1s"))
	s.release <- struct{}{}
	if id := <-s.came; id != "served" {
		t.Errorf("%s was served", id)
	}
	await(t, "the last one to be told", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.replies["late"].status == 429
	})
	s.release <- struct{}{}
	c.all.Wait()
	for _, id := range []string{"first", "served"} {
		if got := c.replies[id]; got.status != 200 || got.err != nil {
			t.Errorf("%s: %d %v %s", id, got.status, got.err, got.body)
		}
	}
}

// An operator's word that comes in the middle of a reload holds.
func TestReload_OperatorsWordMeanwhile(t *testing.T) {
	url := engine(t, func(http.ResponseWriter, *http.Request) {}).URL
	yaml := func(i int) string {
		text := "server: {lame_duck: 0s}\npools:\n"
		for pool := range 64 { // which are changed one after the other
			text += fmt.Sprintf("  - {name: m%d, engine: generic, endpoints: [%q], queue: {max: %d}, health: {interval: 1h}}\n", pool, url, i+1)
		}
		return text
	}
	f := newFileRig(t, yaml(0))
	for i := range 40 {
		reloaded := make(chan struct{})
		go func() {
			defer close(reloaded)
			f.reload(yaml(i + 1))
		}()
		for done, n := false, 0; !done; n++ {
			select {
			case <-reloaded:
				done = true
			default:
			}
			want := []string{"draining", "enabled"}[n%2]
			for _, call := range []reply{
				f.admin("POST", "/admin/v1/endpoints/state", fmt.Sprintf(`{"pool":"m0","url":%q,"state":%q}`, url, want)),
				f.admin("GET", "/admin/v1/endpoints", ""),
			} {
				if call.status != 200 || strings.Contains(call.body, "draining") != (want == "draining") {
					t.Fatalf("the endpoint should be %s: %d %s", want, call.status, call.body)
				}
			}
		}
	}
}

// A cap holds over a reload: what is under way counts.
func TestReload_KeepsTheCap(t *testing.T) {
	s := newSlow(t)
	yaml := func(more string) string {
		return fmt.Sprintf(`
server: {lame_duck: 0s, drain: 2s}
pools: [{name: m, endpoints: [{url: %q, max_concurrency: 1}], probe_idle: false, queue: {max: 10%s}}]
`, s.url, more)
	}
	f := newFileRig(t, yaml(""))
	c := &crowd{rig: f.rig, replies: map[string]reply{}}
	c.send("before", "", streamChat)
	<-s.came
	f.reload(yaml(", late: 1s"))
	c.send("after", "", streamChat)
	await(t, "the second to wait", func() bool { return f.queue().Length == 1 })
	f.reload(yaml(", late: 2s"))
	c.send("after two", "", streamChat)
	await(t, "the third to wait", func() bool { return f.queue().Length == 1 })
	for range 2 {
		select {
		case id := <-s.came:
			t.Fatalf("%s came beyond the cap", id)
		case s.release <- struct{}{}:
		}
		<-s.came
	}
	s.release <- struct{}{}
	c.all.Wait()
	for id, got := range c.replies {
		if got.status != 200 || got.err != nil {
			t.Errorf("%s: %d %v %s", id, got.status, got.err, got.body)
		}
	}
}

// What was learned of an endpoint that stays outlives reloads that change the pool around it, answers that end later included.
func TestReload_KeepsAffinity(t *testing.T) {
	urls := replicas(t, sim.Config{Model: "m"}, sim.Config{Model: "m"}, sim.Config{Model: "m"})
	yaml := func(n int) string { return strings.ReplaceAll(reloadable(urls[:n]...), "least_request", "warm") }
	f := newFileRig(t, yaml(2))
	prompt := strings.Repeat("The same long beginning of a conversation. ", 100)
	first := decision(t, f.post(chat, ask("m", prompt), "X-Warmlane-Explain", "1"))
	for _, n := range []int{3, 2} {
		f.reload(yaml(n))
		again := decision(t, f.post(chat, ask("m", prompt+strings.Repeat("And more. ", n)), "X-Warmlane-Explain", "1"))
		if again.Endpoint != first.Endpoint || again.Matched < 500 {
			t.Errorf("with %d endpoints %d tokens match on %s, the first request went to %s", n, again.Matched, again.Endpoint, first.Endpoint)
		}
	}
}

// A limit that stays goes on from its level.
func TestReload_KeepsLimits(t *testing.T) {
	a, b := connectedURL(t), connectedURL(t)
	limited := "limits: [{name: all, requests: 2/h}]\n"
	f := newFileRig(t, reloadable(a)+limited)
	f.post(chat, plainChat)
	f.reload(reloadable(a, b) + limited)
	if one, two := f.post(chat, plainChat).status, f.post(chat, plainChat).status; one != 200 || two != 429 {
		t.Errorf("the second and third of two: %d, %d", one, two)
	}
}

func connectedURL(t *testing.T) string {
	url, _ := connected(t, answerWhole)
	return url
}

// A Redis that the file names anew is used from then on.
func TestReload_ChangesRedis(t *testing.T) {
	var f *fileRig
	a, one, two := connectedURL(t), miniredis.RunT(t), miniredis.RunT(t)
	yaml := func(r *miniredis.Miniredis) string {
		return reloadable(a) + "limits: [{name: all, requests: 1000/h}]\nredis: redis://" + r.Addr() + "\n"
	}
	counts := func(r *miniredis.Miniredis) func() bool {
		return func() bool { // again while a slow machine makes the gateway count alone
			f.post(chat, plainChat)
			return slices.ContainsFunc(r.Keys(), func(k string) bool { return strings.Contains(k, ":all") })
		}
	}
	f = newFileRig(t, yaml(one))
	await(t, "the first Redis to count", counts(one))
	f.reload(yaml(two))
	await(t, "the second one to count", counts(two))
	f.reload(reloadable(a))
	if v := f.metric("warmlane_redis_up"); v != "" {
		t.Errorf("redis_up is %q without a Redis", v)
	}
}

// However often the pools change while requests come and go, nothing fails and nothing is left running.
func TestReload_ManyUnderLoad(t *testing.T) {
	urls := []string{connectedURL(t), connectedURL(t), connectedURL(t)}
	f := newFileRig(t, reloadable(urls...))
	for range 5 {
		f.post(chat, plainChat)
	}
	before := runtime.NumGoroutine()
	stop := make(chan struct{})
	var load sync.WaitGroup
	var tried atomic.Int64
	for range 8 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				tried.Add(1)
				if got := f.post(chat, plainChat); got.status != 200 {
					t.Errorf("a request ended with %d %v %s", got.status, got.err, got.body)
				}
			}
		})
	}
	for i := range 100 {
		f.reload(reloadable(urls[i%2:]...))
	}
	close(stop)
	load.Wait()
	http.DefaultClient.CloseIdleConnections()
	await(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+10 })
	t.Logf("%d requests, goroutines %d before and %d after 100 reloads", tried.Load(), before, runtime.NumGoroutine())
}
