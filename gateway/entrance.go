package gateway

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/warmlane/warmlane/gateway/config"
)

const (
	// keepAlivePeriod finds a client that vanished without a word.
	keepAlivePeriod = 15 * time.Second
	// unsent bounds what waits in the kernel for a client that reads too slowly: several hundred events. What is on its way to a client
	// that reads is not bounded by it.
	unsent = 128 << 10
)

// entrance takes clients' connections in, up to configured numbers, all and from one address. One too many is told so and closed.
type entrance struct {
	net.Listener
	server  func() *config.Server
	refused func(why string)
	secured bool // TLS follows, so that nothing can be said to a client that is refused

	mu   sync.Mutex // guards the fields below
	open int
	from map[netip.Addr]int
}

func (g *Gateway) newEntrance(l net.Listener, secured bool) *entrance {
	return &entrance{
		Listener: l, server: func() *config.Server { return &g.state.Load().cfg.Server },
		refused: g.metrics.ConnectionRefused, secured: secured, from: map[netip.Addr]int{},
	}
}

// Accept waits for the next connection that may stay.
func (e *entrance) Accept() (net.Conn, error) {
	for {
		c, err := e.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			return c, nil
		}
		server := e.server()
		origin := originOf(tcp)
		if why := e.enter(origin, server); why != "" {
			e.refused(why)
			e.turnAway(tcp)
			continue
		}
		tune(tcp, server.WriteTimeout.Std())
		return &visitor{TCPConn: tcp, leave: sync.OnceFunc(func() { e.leave(origin) })}, nil
	}
}

// enter counts a connection, or says which bound forbids it. Trusted proxies speak for many and have no bound of their own.
func (e *entrance) enter(origin netip.Addr, server *config.Server) (why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch most := server.MaxConnectionsPerIP; {
	case e.open >= server.MaxConnections:
		return "all"
	case most > 0 && e.from[origin] >= most && !within(origin, server.TrustedProxies):
		return "address"
	}
	e.open++
	e.from[origin]++
	return ""
}

func (e *entrance) leave(origin netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open--
	if e.from[origin]--; e.from[origin] <= 0 {
		delete(e.from, origin)
	}
}

const fullHouse = `{"error":{"message":"The gateway has too many connections. Please try again.","type":"server_error","param":null,"code":"too_many_connections"}}`

func (e *entrance) turnAway(c net.Conn) {
	if !e.secured { // fits the empty buffer of a new connection, so it never waits
		_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/json\r\n\r\n"+fullHouse)
	}
	_ = c.Close()
}

// originOf is the address that a connection counts for: an IPv6 one by its network of 64 bits, which is what one client has.
func originOf(c net.Conn) netip.Addr {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// tune sets what the kernel does for a client: it looks for one that vanished, bounds what waits for one that does not read, and ends its
// connection where nothing reaches it for twice the time that a write may take.
func tune(c *net.TCPConn, patience time.Duration) {
	_ = c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAlivePeriod, Interval: keepAlivePeriod, Count: 3})
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(2*patience.Milliseconds()))
	})
}

// visitor is a connection that counts until it is closed.
type visitor struct {
	*net.TCPConn
	leave func()
}

// Write passes bytes to the client. Once it did not take them in time, closing drops what waits for it rather than keep that in the kernel.
func (v *visitor) Write(p []byte) (int, error) {
	n, err := v.TCPConn.Write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		_ = v.SetLinger(0)
	}
	return n, err
}

// Close closes the connection and makes room for another.
func (v *visitor) Close() error {
	v.leave()
	return v.TCPConn.Close()
}
