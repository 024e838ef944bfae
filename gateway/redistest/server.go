// Package redistest runs real redis-servers for tests. Each keeps its data in memory, in a folder of its own, and ends with its test; where
// the machine has no redis-server, the test is skipped.
package redistest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	program = "redis-server"
	// patience is how long a server may take to start, on a machine that runs other tests beside.
	patience = 10 * time.Second
)

// Server is one redis-server. What cannot be done to it fails its test.
type Server struct {
	URL string // as in redis.url: unix:// or redis://

	t                testing.TB
	network, address string
	command          []string
	process          *exec.Cmd // nil while it is killed
}

// Start starts a server on a Unix socket, with these options beside.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	return StartProgram(t, program, options...)
}

// StartProgram is Start for another program than the redis-server of PATH.
func StartProgram(t testing.TB, program string, options ...string) *Server {
	t.Helper()
	dir := folder(t)
	socket := filepath.Join(dir, "s")
	return start(t, "unix", socket, append([]string{program, "--port", "0", "--unixsocket", socket, "--dir", dir}, options...))
}

// StartAt starts a server at an address of loopback, whose port the options name: by --port, by --tls-port, or in a configuration file,
// which has to come first.
func StartAt(t testing.TB, address string, options ...string) *Server {
	t.Helper()
	command := append([]string{program}, options...)
	return start(t, "tcp", address, append(command, "--bind", "127.0.0.1", "--dir", folder(t)))
}

// folder is one whose path is short enough for that of a socket.
func folder(t testing.TB) string {
	t.Helper()
	path, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(path); err != nil {
			t.Error(err)
		}
	})
	return path
}

func start(t testing.TB, network, address string, command []string) *Server {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("no %s on this machine", command[0])
	}
	s := &Server{t: t, network: network, address: address, command: append(command, "--save", "", "--appendonly", "no")}
	s.URL = map[string]string{"unix": "unix://", "tcp": "redis://"}[network] + address
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// Start starts the server again after a Kill, with nothing in it, and waits until it takes connections.
func (s *Server) Start() {
	s.t.Helper()
	s.process = exec.Command(s.command[0], s.command[1:]...)
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		if c, err := net.Dial(s.network, s.address); err == nil {
			_ = c.Close()
			return
		}
		if time.Since(began) > patience {
			s.t.Fatalf("%s takes no connections within %s", strings.Join(s.command, " "), patience)
		}
	}
}

// Kill ends the server at once.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	s.signal(syscall.SIGKILL)
	_ = s.process.Wait() // it was killed: that is an error
	s.process = nil
}

// Pause makes the server hang: it answers nothing, and its connections stay.
func (s *Server) Pause() { s.t.Helper(); s.signal(syscall.SIGSTOP) }

// Continue ends a Pause.
func (s *Server) Continue() { s.t.Helper(); s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Error(err)
	}
}

// Do sends one command to a server that asks for no password.
func (s *Server) Do(args ...any) {
	s.t.Helper()
	c := redis.NewClient(&redis.Options{Network: s.network, Addr: s.address})
	if err := errors.Join(c.Do(s.t.Context(), args...).Err(), c.Close()); err != nil {
		s.t.Error(err)
	}
}

// FreePort is a port that is free, and so is the one 10,000 above it, by which nodes of a cluster talk.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		a, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := a.Addr().(*net.TCPAddr).Port
		b, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10_000))
		_ = a.Close()
		if err == nil {
			_ = b.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
