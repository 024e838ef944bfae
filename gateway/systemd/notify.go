// Package systemd speaks with the service manager: it takes over the sockets that systemd holds (sd_listen_fds) and tells it how the
// service lives (sd_notify). Both are a few lines of a stable protocol, and without systemd both do nothing.
package systemd

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier tells systemd the phases of the gateway. It is safe for concurrent use. A message that cannot be sent is lost: systemd's own
// time-outs see what that means.
type Notifier struct {
	socket   *net.UnixAddr
	watchdog bool
}

// NewNotifier returns nil where nobody listens. What it read leaves the environment, so that no child of this process speaks for it.
func NewNotifier() *Notifier {
	path, watchdog, watched := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		_ = os.Unsetenv(name)
	}
	if path == "" {
		return nil
	}
	return &Notifier{
		socket:   &net.UnixAddr{Name: path, Net: "unixgram"}, // a leading @ is an abstract socket for Go too
		watchdog: watchdog != "" && (watched == "" || watched == fmt.Sprint(os.Getpid())),
	}
}

// Serving tells that requests are served, also after a reload.
func (n *Notifier) Serving() { n.send("READY=1") }

// Reloading tells that a reload begins. The time lets systemd (Type=notify-reload) tell it from an earlier one.
func (n *Notifier) Reloading() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

// Stopping tells that the gateway drains, and how long that may take, so that the unit's time-out need not know.
func (n *Notifier) Stopping(within time.Duration) {
	n.send(fmt.Sprintf("STOPPING=1\nEXTEND_TIMEOUT_USEC=%d", (within + grace).Microseconds()))
}

// grace is what the end of the process takes beyond the gateway's own time.
const grace = 5 * time.Second

// Alive feeds the watchdog, if there is one. It is told every second: WatchdogSec should be several.
func (n *Notifier) Alive() {
	if n.watchdog {
		n.send("WATCHDOG=1")
	}
}

func (n *Notifier) send(state string) {
	c, err := net.DialUnix("unixgram", nil, n.socket)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.Write([]byte(state))
}
