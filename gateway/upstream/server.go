// Package upstream owns the connections to engines and providers: one Server an address, one Attempt a try of a request,
// and the relay of its answer to the client.
//
// An attempt connects, sends, and waits for the first event before anything goes to the client, so that it can be repeated
// elsewhere. It can be cancelled from any goroutine at any moment, by closing its connection: the one signal on which every
// engine aborts. Bytes pass as they come; what arrived in one packet leaves in one write. A pooled connection that turns out to be
// closed is replaced by a fresh one without a word.
//
// Cost: one goroutine less than a request has anyway (everything runs in the request's own), one pooled 16 KiB buffer a stream.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/failure"
)

// Config says how one address is reached.
type Config struct {
	// URL is the base: scheme http or https, host, optional path that is put before every request's path.
	URL string
	// Connect bounds dialling and the TLS handshake. Default 1 s.
	Connect time.Duration
	// Idle is how long an unused connection is kept. Default 4 s: vLLM and llama.cpp close theirs at 5.0 s.
	Idle time.Duration
	// Header and Value are the credential set on each request; empty: none.
	Header, Value string
	// Lines are further header lines of each request, each ended by CRLF.
	Lines string
	// TLS is used for https; nil: the system's roots. Its ServerName, if any, is expected in place of the URL's host.
	TLS *TLS
	// Proxy names the proxy for a request, nil for none, as http.ProxyFromEnvironment does; a nil Proxy: none.
	Proxy func(*http.Request) (*url.URL, error)
}

// Server is one address with its connections. It is safe for concurrent use.
type Server struct {
	cfg     Config
	host    string // Host header
	base    string // path prefix without a trailing slash
	lines   string // header lines of each request: the credential, and those of Config.Lines
	address string // host:port to dial
	named   bool   // the host is a name, which may come to mean other addresses
	secure  *tls.Config
	proxy   *proxy // nil: none
	connect time.Duration
	idle    idle

	mu   sync.Mutex
	open map[*Attempt]struct{} // attempts that hold a connection
}

// NewServer prepares the address; nothing is dialled yet.
func NewServer(cfg Config) (*Server, error) {
	given := cfg
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("upstream URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("upstream URL %q: want http://host[:port][/path] or https://", u.Redacted())
	}
	if cfg.Connect <= 0 {
		cfg.Connect = time.Second
	}
	if cfg.Idle <= 0 {
		cfg.Idle = 4 * time.Second
	}
	s := &Server{
		cfg: given, host: u.Host, base: strings.TrimRight(u.EscapedPath(), "/"), lines: cfg.Lines, connect: cfg.Connect, open: map[*Attempt]struct{}{},
		idle: idle{keep: cfg.Idle},
	}
	if cfg.Header != "" {
		s.lines += cfg.Header + ": " + cfg.Value + "\r\n"
	}
	if u.Scheme == "https" {
		s.secure = &tls.Config{MinVersion: tls.VersionTLS12}
		if cfg.TLS != nil {
			if s.secure, err = cfg.TLS.Client(); err != nil {
				return nil, err
			}
		}
		if s.secure.ServerName == "" {
			s.secure.ServerName = u.Hostname()
		}
		s.secure.NextProtos = []string{"http/1.1"}
	}
	s.address = fasthttp.AddMissingPort(u.Host, s.secure != nil)
	_, err = netip.ParseAddr(u.Hostname())
	s.named = err != nil
	if err := s.useProxy(cfg.Proxy, u); err != nil {
		return nil, err
	}
	return s, nil
}

// longestLife is after which time a connection to a name is replaced: it follows changes in DNS even where it is never idle.
const longestLife = 5 * time.Minute

// release gives a connection back for later use, or closes it.
func (s *Server) release(c *conn, reuse bool) {
	now := time.Now()
	if !reuse || s.named && now.Sub(c.born) > longestLife {
		_ = c.Close()
		return
	}
	s.idle.put(c, now)
}

// Refuses dials once and tells whether the port refuses, which a live engine's never does.
func (s *Server) Refuses() bool {
	ctx, cancel := context.WithTimeout(context.Background(), min(s.connect, 250*time.Millisecond))
	defer cancel()
	return errors.Is(s.Reach(ctx), syscall.ECONNREFUSED)
}

// Reach opens a connection, until ctx ends, and closes it; the error is why it could not.
func (s *Server) Reach(ctx context.Context) error {
	c, err := dial(ctx, s.address, nil)
	if err != nil {
		return err
	}
	return c.Close()
}

// Config is what the server was made with.
func (s *Server) Config() Config { return s.cfg }

// EndAll ends every open attempt with kind: the engine behind them is known to be gone, though it keeps its connections open.
func (s *Server) EndAll(kind failure.Kind) int {
	open := s.attempts()
	for _, a := range open {
		a.Cancel(kind)
	}
	s.idle.dropAll(false)
	return len(open)
}

// Move lets requests go elsewhere that wait for an answer of this server, which is stuck; those that have nowhere to go wait on. nextDoor
// says whether another server of the pool is in service. allow is asked before each.
func (s *Server) Move(nextDoor bool, allow func() bool) (moved int) {
	for _, a := range s.attempts() {
		if a.move(nextDoor, allow) {
			moved++
		}
	}
	return moved
}

// attempts are those that hold a connection now.
func (s *Server) attempts() []*Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.open))
}

// Open returns how many attempts hold a connection now.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Close drops idle connections. Attempts that are open go on; their connections are closed when they end.
func (s *Server) Close() { s.idle.dropAll(true) }

func (s *Server) enter(a *Attempt) {
	s.mu.Lock()
	s.open[a] = struct{}{}
	s.mu.Unlock()
}

func (s *Server) leave(a *Attempt) {
	s.mu.Lock()
	delete(s.open, a)
	s.mu.Unlock()
}
