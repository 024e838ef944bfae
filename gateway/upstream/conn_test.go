package upstream

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"testing"
	"time"
)

// Closing a TLS connection does not wait for a peer that takes nothing any more: what is closed is held by a lock.
func TestConn_ClosingTLSNeverWaits(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	pair := s.TLS.Certificates[0]
	s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake()
		taken <- c // and nothing is read
	}()
	c, err := dial(t.Context(), l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer (<-taken).Close()
	_ = c.tcp.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	for full := false; !full; {
		_, err := c.tcp.Write(bytes.Repeat([]byte("x"), 1<<20))
		full = err != nil
	}
	_ = c.tcp.SetWriteDeadline(time.Time{})
	before := time.Now()
	_ = c.Close()
	if took := time.Since(before); took > time.Second {
		t.Errorf("closing took %v", took)
	}
}
