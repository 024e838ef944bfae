package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one connection to an engine. It knows whether it carried an earlier request and whether the present answer has begun,
// which together tell a stale connection from a dying engine.
type conn struct {
	net.Conn
	tcp  net.Conn        // below TLS; the same without it
	raw  syscall.RawConn // nil where the transport has none (tests over memory)
	used bool            // carried an earlier request
	got  bool            // a byte of the present answer was read

	born  time.Time // when it was dialled
	since time.Time // when it became idle last
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.got = true
	}
	return n, err
}

// Close ends the connection at once. Closing TLS would first say so to the peer, and wait up to 5 s where the peer takes nothing more;
// a request's length has told it where the request ends.
func (c *conn) Close() error { return c.tcp.Close() }

// dial opens a connection, TLS included, until ctx ends; names are looked up anew each time.
func dial(ctx context.Context, address string, config *tls.Config) (*conn, error) {
	addresses, err := addressesOf(ctx, address)
	if err != nil {
		return nil, err
	}
	tcp, err := dialFirst(ctx, addresses)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: tcp, tcp: tcp, born: time.Now()}
	if sc, ok := tcp.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
	}
	if err := c.handshake(ctx, config); err != nil {
		_ = tcp.Close()
		return nil, err
	}
	return c, nil
}

// handshake puts TLS over the connection; a nil config: none.
func (c *conn) handshake(ctx context.Context, config *tls.Config) error {
	if config == nil {
		return nil
	}
	secured := tls.Client(c.Conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.Conn = secured
	return nil
}

func userTimeout(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 30_000)
	})
}

// stale says whether an idle connection can no longer be used: closed by the engine, or holding bytes that nobody asked for.
// It looks without waiting (about 1 us).
func (c *conn) stale() bool {
	if c.raw == nil {
		return false
	}
	stale := false
	err := c.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		stale = n >= 0 && err == nil || err != nil && err != unix.EAGAIN && err != unix.EINTR
		return true
	})
	return stale || err != nil
}
