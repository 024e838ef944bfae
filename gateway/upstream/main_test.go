package upstream

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// script serves each connection by a function of its number, counted from 1, and returns the URL.
func script(t *testing.T, serve func(n int, c net.Conn, br *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(n, c, bufio.NewReader(c))
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// patient is an engine that answers one request after the other on each of its connections, whose numbers it tells.
func patient(t *testing.T, answer func(c net.Conn)) (*Server, chan int) {
	t.Helper()
	conns := make(chan int, 100)
	return newServer(t, script(t, func(n int, c net.Conn, br *bufio.Reader) {
		defer c.Close()
		conns <- n
		for {
			if _, err := readRequest(br); err != nil {
				return
			}
			answer(c)
		}
	})), conns
}

// readRequest reads one request away and returns its head.
func readRequest(br *bufio.Reader) (head string, err error) {
	length := 0
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return head, err
		}
		head += line
		_, _ = fmt.Sscanf(line, "Content-Length: %d", &length)
		if line == "\r\n" {
			break
		}
	}
	_, err = br.Discard(length)
	return head, err
}

func newServer(t *testing.T, url string) *Server {
	t.Helper()
	s, err := NewServer(Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// linger plays a peer that takes its time.
func linger(d time.Duration) { <-time.After(d) }
