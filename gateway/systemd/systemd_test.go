package systemd

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager plays systemd's end of the notification socket.
func manager(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

func told(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 256)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestNotifier_TellsThePhases(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "notify"), "@warmlane-test-" + strconv.Itoa(os.Getpid())} {
		c := manager(t, path)
		t.Setenv("WATCHDOG_USEC", "30000000")
		t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
		n := NewNotifier()
		if os.Getenv("NOTIFY_SOCKET") != "" || os.Getenv("WATCHDOG_USEC") != "" {
			t.Error("the environment still names systemd")
		}
		n.Serving()
		if got := told(t, c); got != "READY=1" {
			t.Errorf("serving: %q", got)
		}
		n.Reloading()
		since, ok := strings.CutPrefix(told(t, c), "RELOADING=1\nMONOTONIC_USEC=")
		if us, err := strconv.ParseInt(since, 10, 64); !ok || err != nil || us <= 0 {
			t.Errorf("reloading since %q", since)
		}
		n.Stopping(125 * time.Second)
		if got := told(t, c); got != "STOPPING=1\nEXTEND_TIMEOUT_USEC=130000000" {
			t.Errorf("stopping: %q", got)
		}
		n.Alive()
		if got := told(t, c); got != "WATCHDOG=1" {
			t.Errorf("alive: %q", got)
		}
	}
}

// Without a watchdog, or with that of another process, nothing is fed.
func TestNotifier_FeedsItsOwnWatchdogOnly(t *testing.T) {
	c := manager(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "30000000")
	t.Setenv("WATCHDOG_PID", "1")
	n := NewNotifier()
	n.Alive()
	n.Serving()
	if got := told(t, c); got != "READY=1" {
		t.Errorf("told %q", got)
	}
}

func TestNotifier_WithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if NewNotifier() != nil {
		t.Error("somebody is told")
	}
}

func TestHanded(t *testing.T) {
	f := func(pid, fds string, want int, ok bool) {
		t.Helper()
		if n, err := handed(pid, fds, 7); n != want || (err == nil) != ok {
			t.Errorf("LISTEN_PID=%q LISTEN_FDS=%q: %d, %v", pid, fds, n, err)
		}
	}
	f("", "", 0, true)
	f("7", "", 0, true)
	f("8", "2", 0, true) // meant for the parent
	f("7", "0", 0, true)
	f("7", "1", 1, true)
	f("7", "2", 2, true)
	f("7", "3", 0, false)
	f("7", "-1", 0, false)
	f("7", "x", 0, false)
}
