package promises_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// manager starts warmlane as systemd does for a socket unit: it holds the sockets, and is told how the service lives.
type manager struct {
	t         *testing.T
	binary    string
	file      string
	sockets   []*os.File
	notified  *net.UnixConn
	addresses []string
}

func newManager(t *testing.T, binary, yaml string) *manager {
	t.Helper()
	dir := t.TempDir()
	m := &manager{t: t, binary: binary, file: filepath.Join(dir, "warmlane.yaml")}
	m.put(yaml)
	for range 2 {
		l := listen(t)
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		m.addresses = append(m.addresses, l.Addr().String())
		_ = l.Close() // f stays
		t.Cleanup(func() { _ = f.Close() })
		m.sockets = append(m.sockets, f)
	}
	var err error
	m.notified, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.notified.Close() })
	return m
}

func (m *manager) put(yaml string) {
	m.t.Helper()
	if err := os.WriteFile(m.file, []byte(yaml), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// start starts a process on the sockets and waits until it says that it serves.
func (m *manager) start() *exec.Cmd {
	m.t.Helper()
	c := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, m.binary, m.file)
	c.Env = append(os.Environ(), "LISTEN_FDS=2", "NOTIFY_SOCKET="+m.notified.LocalAddr().String())
	c.ExtraFiles = m.sockets
	c.Stderr = &strings.Builder{}
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		if m.t.Failed() {
			m.t.Logf("log of process %d:\n%s", c.Process.Pid, c.Stderr)
		}
	})
	m.awaits("READY=1")
	return c
}

// awaits reads notifications until one begins with text.
func (m *manager) awaits(text string) {
	m.t.Helper()
	_ = m.notified.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 512)
	for {
		n, err := m.notified.Read(buf)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v", text, err)
		}
		if strings.HasPrefix(string(buf[:n]), text) {
			return
		}
	}
}

// stop stops a process as systemd does and waits for its end.
func (m *manager) stop(c *exec.Cmd) {
	m.t.Helper()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	m.awaits("STOPPING=1")
	if err := c.Wait(); err != nil {
		m.t.Errorf("the process ended with %v", err)
	}
}

// Promise: a restart of the process behind systemd's sockets refuses no connection and fails no request: streams end in the old process,
// connections wait for the new one. SIGHUP reloads, and the service manager is told.
func TestPromise_GatewayRestart(t *testing.T) {
	binary := build(t)
	t.Run("KeepsItsSockets", func(t *testing.T) { keepsItsSockets(t, binary) })
	t.Run("ReloadsOnHangup", func(t *testing.T) { reloadsOnHangup(t, binary) })
}

// build makes the program and says where it is.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "warmlane")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/warmlane/warmlane/cmd/warmlane").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return binary
}

func keepsItsSockets(t *testing.T, binary string) {
	finishing := make(chan struct{}, 1000)
	var begun atomic.Int64
	e := startEngine(t, func(c *call) bool {
		if c.id != "held" {
			return c.serve()
		}
		c.write(streamHead + chunk(delta))
		begun.Add(1)
		<-finishing
		return c.write(chunk(finish) + chunk(done) + lastChunk)
	})
	m := newManager(t, binary, fmt.Sprintf(`
server: {lame_duck: 300ms, drain: 5s}
observe: {log: {level: warn}}
pools: [{name: m, engine: generic, endpoints: [%q], policy: round_robin, health: {interval: 1h}}]
`, e.url))
	rounds, streams, clients := count(2, 10), 20, 16
	running := m.start()
	var load, held sync.WaitGroup
	var tried, failed, refused, cut atomic.Int64
	var mu sync.Mutex
	var took times
	stop := make(chan struct{})
	for i := range clients {
		load.Go(func() {
			w := &worker{address: m.addresses[0]}
			defer w.drop()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if i%2 == 0 {
					w.drop() // half of the clients connect anew for each request
				}
				began := time.Now()
				r, err := w.do(chat, plainChat)
				tried.Add(1)
				if errors.Is(err, syscall.ECONNREFUSED) {
					refused.Add(1)
				}
				if err != nil || !r.served(false) {
					failed.Add(1)
					t.Logf("a request ended with %v %v, %d %s", err, r.cut, r.status, r.body)
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	for round := range rounds {
		for range streams {
			held.Go(func() {
				if r, err := once(m.addresses[0], chat, streamChat, "X-Request-Id: held"); err != nil || !r.served(true) {
					cut.Add(1)
					t.Logf("a stream ended with %v %v, %d %s", err, r.cut, r.status, r.body)
				}
			})
		}
		await(t, "streams to begin", patience, func() bool { return begun.Load() == int64((round+1)*streams) })
		time.AfterFunc(time.Second, func() {
			for range streams {
				finishing <- struct{}{}
			}
		})
		m.stop(running)
		running = m.start()
		held.Wait()
	}
	close(stop)
	load.Wait()
	m.stop(running)
	none(t, "connections refused by restarts", int(refused.Load()), int(tried.Load()))
	none(t, "requests failed by restarts", int(failed.Load()), int(tried.Load()))
	none(t, "streams cut by restarts", int(cut.Load()), rounds*streams)
	t.Logf("FIGURE requests took %v: the longest waited for the end of the old process", took)
}

func reloadsOnHangup(t *testing.T, binary string) {
	e := startEngine(t, (*call).serve)
	yaml := "server: {lame_duck: 0s, drain: 1s}\npools: [{name: NAME, served_model: m, engine: generic, endpoints: [" + fmt.Sprintf("%q", e.url) + "]}]\n"
	m := newManager(t, binary, strings.ReplaceAll(yaml, "NAME", "old"))
	running := m.start()
	m.put(strings.ReplaceAll(yaml, "NAME", "new"))
	if err := running.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	m.awaits("RELOADING=1\nMONOTONIC_USEC=")
	m.awaits("READY=1")
	if r, err := once(m.addresses[0], chat, strings.ReplaceAll(plainChat, `"m"`, `"new"`)); err != nil || r.status != 200 {
		t.Errorf("after the reload: %v, %d %s", err, r.status, r.body)
	}
	m.stop(running)
}
