package config

import "net/netip"

// Server says where the gateway listens and what it takes in. See defaults.go for the defaults.
type Server struct {
	Listen              string         `yaml:"listen"`                 // address of the application listener
	Admin               string         `yaml:"admin"`                  // address of the admin listener: /metrics, /healthz, /readyz, /admin/v1/
	AdminToken          Secret         `yaml:"admin_token"`            // bearer token for /admin/v1/ from other hosts; without it only loopback may
	TLS                 TLS            `yaml:"tls"`                    // for the application listener
	MaxBody             Size           `yaml:"max_body"`               // largest request body; beyond it 413
	CacheMemory         Size           `yaml:"cache_memory"`           // answers kept for `cache`, when there is no Redis
	CacheVectors        Size           `yaml:"cache_vectors"`          // vectors kept for `cache[].semantic`, when there is no Redis 8
	MaxBodyTotal        Size           `yaml:"max_body_total"`         // request bodies held in memory together; beyond it 503
	MaxHeader           Size           `yaml:"max_header"`             // request line and headers; beyond it 431
	MaxConnections      int            `yaml:"max_connections"`        // clients' connections in all; beyond it 503
	MaxConnectionsPerIP int            `yaml:"max_connections_per_ip"` // the same from one address; 0 = no bound
	ReadTimeout         ReadTimeout    `yaml:"read_timeout"`           // how slowly a client may send
	WriteTimeout        Duration       `yaml:"write_timeout"`          // how long a client may leave what is sent to it unread
	HalfClose           bool           `yaml:"half_close"`             // a client that shuts its sending side still waits for the answer; otherwise it counts as gone
	Drain               Duration       `yaml:"drain"`                  // how long streams may finish after SIGTERM
	LameDuck            Duration       `yaml:"lame_duck"`              // how long new work is still taken after SIGTERM while /readyz answers 503
	TrustedProxies      []netip.Prefix `yaml:"trusted_proxies"`        // peers whose X-Forwarded-For tells the client's address
}

// TLS names a certificate; both files or neither.
type TLS struct {
	Cert string `yaml:"cert"` // PEM file with the certificate chain
	Key  string `yaml:"key"`  // PEM file with the private key
}

// Enabled reports whether a certificate is configured.
func (t TLS) Enabled() bool { return t.Cert != "" }

// ReadTimeout bounds the two halves of reading a request.
type ReadTimeout struct {
	Header Duration `yaml:"header"` // from the first byte of a request to the end of its headers
	Body   Duration `yaml:"body"`   // from the end of the headers to the end of the body
}

// Observe says what the gateway tells about its work.
type Observe struct {
	Log       Log    `yaml:"log"`
	Explain   bool   `yaml:"explain"`    // a request with x-warmlane-explain: 1 gets the routing decision in its answer
	TraceFile string `yaml:"trace_file"` // takes a line a request, for replays; "" = none
}

// Log configures the log of the process and the access lines.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // json or text
}
