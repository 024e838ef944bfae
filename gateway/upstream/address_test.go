package upstream

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// vanishing is an address whose connections come to nothing: its backlog is full, so that the kernel drops what knocks.
func vanishing(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: bound.(*unix.SockaddrInet4).Port}).String()
	for range 8 {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("this kernel takes every connection, however full the backlog is")
	return ""
}

func listening(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Of a name's addresses one that lives is found within the connect timeout, wherever the dead ones stand.
func TestDialFirst_DeadAddressesOfAName(t *testing.T) {
	live, dead, gone := listening(t), vanishing(t), refusing(t)
	for _, addresses := range [][]string{{live}, {live, dead}, {dead, live}, {gone, live}, {dead, gone, dead, live}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		c, err := dialFirst(ctx, addresses)
		cancel()
		if err != nil {
			t.Errorf("%v: %v", addresses, err)
			continue
		}
		if c.RemoteAddr().String() != live {
			t.Errorf("%v: connected to %v", addresses, c.RemoteAddr())
		}
		_ = c.Close()
	}
}

func TestDialFirst_AllDead(t *testing.T) {
	dead, gone := vanishing(t), refusing(t)
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	if _, err := dialFirst(ctx, []string{dead, gone}); !isTimeout(err) {
		t.Errorf("%v, want a timeout", err)
	}
	if _, err := dialFirst(t.Context(), []string{gone, refusing(t)}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, want a refusal", err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{"127.0.0.1:80": "127.0.0.1:80", "[::1]:8000": "[::1]:8000", "[fe80::1%lo]:1": "[fe80::1%lo]:1"} {
		got, err := addressesOf(t.Context(), address)
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, %v", address, got, err)
		}
	}
	if got, err := addressesOf(t.Context(), "localhost:80"); err != nil || len(got) == 0 {
		t.Errorf("localhost: %v, %v", got, err)
	}
}
