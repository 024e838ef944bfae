package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/warmlane/warmlane/gateway/certtest"
)

// A pool of https engines with roots of their own, which ask for a certificate: requests, streams, health probes and scrapes reach them
// with the right files, and nothing does without.
func TestTLSPool_OwnRootsAndClientCertificate(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	engines, clients := certtest.Authority(t, "engines"), certtest.Authority(t, "clients")
	enginesFile, clientsFile := path("engines.crt"), path("clients.crt")
	engines.Write(t, enginesFile, path("engines.key"))
	clients.Write(t, clientsFile, path("clients.key"))
	engine := certtest.Make(t, x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"engine.internal"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, engines)
	for name, signer := range map[string]*certtest.Pair{"gateway": clients, "stranger": engines} {
		certtest.Make(t, x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, signer).
			Write(t, path(name+".crt"), path(name+".key"))
	}
	pair, err := tls.X509KeyPair(engine.Cert, engine.Key)
	if err != nil {
		t.Fatal(err)
	}
	const yaml = `
server: {lame_duck: 0s, drain: 2s}
pools: [{name: m, engine: vllm, endpoints: [%q], probe_idle: false, health: {interval: 50ms}, metrics: {interval: 50ms}, tls: {%s}}]
`
	own := fmt.Sprintf("cert: %q, key: %q", path("gateway.crt"), path("gateway.key"))
	for name, c := range map[string]struct {
		tls string
		ok  bool
	}{
		"right":                      {fmt.Sprintf("ca: %q, %s", enginesFile, own), true},
		"right, by another name":     {fmt.Sprintf("ca: %q, %s, server_name: engine.internal", enginesFile, own), true},
		"any certificate":            {"insecure: true, " + own, true},
		"without certificate":        {fmt.Sprintf("ca: %q", enginesFile), false},
		"with another's certificate": {fmt.Sprintf("ca: %q, cert: %q, key: %q", enginesFile, path("stranger.crt"), path("stranger.key")), false},
		"other roots":                {fmt.Sprintf("ca: %q, %s", clientsFile, own), false},
		"the system's roots":         {own, false},
		"a name that it has not":     {fmt.Sprintf("ca: %q, %s, server_name: other.internal", enginesFile, own), false},
	} {
		t.Run(name, func(t *testing.T) {
			var requests, health, scrapes atomic.Int64
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != "gateway" {
					t.Errorf("%s came without the gateway's certificate", r.URL)
				}
				switch {
				case r.URL.Path == "/health":
					health.Add(1)
				case strings.HasSuffix(r.URL.Path, "/metrics"):
					scrapes.Add(1)
					w.WriteHeader(http.StatusNotFound)
				case r.Method == http.MethodPost:
					requests.Add(1)
					good(w, r)
				}
			}))
			s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients.Pool(), ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
			s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are meant to fail
			s.StartTLS()
			t.Cleanup(s.Close)
			r := newRig(t, fmt.Sprintf(yaml, s.URL, c.tls))
			plain, stream := r.post(chat, plainChat), r.post(chat, streamChat)
			if !c.ok {
				if plain.status < 500 || stream.status < 500 || requests.Load() != 0 || health.Load() != 0 || scrapes.Load() != 0 {
					t.Errorf("answered %d and %d; %d requests, %d probes, %d scrapes reached the engine", plain.status, stream.status, requests.Load(), health.Load(), scrapes.Load())
				}
				return
			}
			if plain.status != 200 || stream.body != delta+finish+done || requests.Load() != 2 {
				t.Errorf("answered %d %s and %d %s", plain.status, plain.body, stream.status, stream.body)
			}
			await(t, "a probe and a scrape", func() bool { return health.Load() > 0 && scrapes.Load() > 0 })
		})
	}
}
