package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstFD is the first descriptor that is handed over; see sd_listen_fds(3).
const firstFD = 3

// mostSockets are the application's and the admin listener's.
const mostSockets = 2

// Listeners takes over the sockets that systemd has opened for this process, in the order of ListenStream= in its socket unit: the
// application listener, then the admin listener. There are none if the process was not started for a socket. Closing them leaves the
// sockets with systemd, where connections wait for the next process.
func Listeners() ([]net.Listener, error) {
	n, err := handed(os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getpid())
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	if err != nil {
		return nil, err
	}
	var all []net.Listener
	for fd := firstFD; fd < firstFD+n; fd++ {
		unix.CloseOnExec(fd)
		l, err := listener(fd)
		if err != nil {
			for _, open := range all {
				_ = open.Close()
			}
			return nil, fmt.Errorf("socket %d of systemd: %w; write ListenStream=ADDRESS:PORT in the socket unit", fd-firstFD+1, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// handed is how many sockets were handed to the process with that id.
func handed(pid, fds string, self int) (int, error) {
	if pid == "" || fds == "" || pid != strconv.Itoa(self) {
		return 0, nil
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("LISTEN_FDS is %q, not a number of sockets", fds)
	}
	if n > mostSockets {
		return 0, fmt.Errorf("systemd hands over %d sockets; name at most two ListenStream=, the application listener's and the admin listener's", n)
	}
	return n, nil
}

func listener(fd int) (net.Listener, error) {
	file := os.NewFile(uintptr(fd), "systemd socket")
	if file == nil {
		return nil, errors.New("the descriptor is closed")
	}
	defer file.Close() // the listener has its own copy
	return net.FileListener(file)
}
