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
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
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
	// TLS is used for https; nil: the system's roots.
	TLS *tls.Config
}

// Server is one address with its connections. It is safe for concurrent use.
type Server struct {
	host    string // Host header
	base    string // path prefix without a trailing slash
	lines   string // header lines of each request: the credential, and those of Config.Lines
	clients *fasthttp.HostClient

	mu   sync.Mutex
	open map[*Attempt]struct{} // attempts that hold a connection
}

// NewServer prepares the address; nothing is dialled yet.
func NewServer(cfg Config) (*Server, error) {
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
	s := &Server{host: u.Host, base: strings.TrimRight(u.EscapedPath(), "/"), lines: cfg.Lines, open: map[*Attempt]struct{}{}}
	if cfg.Header != "" {
		s.lines += cfg.Header + ": " + cfg.Value + "\r\n"
	}
	var secure *tls.Config
	if u.Scheme == "https" {
		secure = &tls.Config{MinVersion: tls.VersionTLS12}
		if cfg.TLS != nil {
			secure = cfg.TLS.Clone()
		}
		secure.ServerName = u.Hostname()
		secure.NextProtos = []string{"http/1.1"}
	}
	address := fasthttp.AddMissingPort(u.Host, secure != nil)
	s.clients = &fasthttp.HostClient{
		Addr:                address,
		Dial:                func(string) (net.Conn, error) { return dial(address, cfg.Connect, secure) },
		MaxConns:            1 << 20, // admission happens before this point
		MaxIdleConnDuration: cfg.Idle,
		ConnPoolStrategy:    fasthttp.LIFO,
		ReadBufferSize:      16 << 10,
	}
	return s, nil
}

// EndAll ends every open attempt with kind: the engine behind them is known to be gone, though it keeps its connections open.
func (s *Server) EndAll(kind failure.Kind) int {
	s.mu.Lock()
	open := make([]*Attempt, 0, len(s.open))
	for a := range s.open {
		open = append(open, a)
	}
	s.mu.Unlock()
	for _, a := range open {
		a.Cancel(kind)
	}
	s.clients.CloseIdleConnections()
	return len(open)
}

// Open returns how many attempts hold a connection now.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Close drops idle connections. Attempts that are open go on.
func (s *Server) Close() { s.clients.CloseIdleConnections() }

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
