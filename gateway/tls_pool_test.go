package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority is a root of its own that signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // of its certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(dir, name+".crt"), pool: x509.NewCertPool()}
	a.cert, a.key = a.make(name, a.file, filepath.Join(dir, name+".key"), &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.pool.AddCert(a.cert)
	return a
}

// make writes a certificate that the authority signs, or its own.
func (a *authority) make(name, certFile, keyFile string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.Subject, template.NotAfter = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}, time.Now().Add(time.Hour)
	signer, signing := a.cert, a.key
	if signer == nil {
		signer, signing = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signing)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// A pool of https engines with roots of their own, which ask for a certificate: requests, streams, health probes and scrapes reach them
// with the right files, and nothing does without.
func TestTLSPool_OwnRootsAndClientCertificate(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	engines, clients := newAuthority(t, dir, "engines"), newAuthority(t, dir, "clients")
	engines.make("engine", path("engine.crt"), path("engine.key"), &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"engine.internal"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	for signer, name := range map[*authority]string{clients: "gateway", engines: "stranger"} {
		signer.make(name, path(name+".crt"), path(name+".key"), &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	pair, err := tls.LoadX509KeyPair(path("engine.crt"), path("engine.key"))
	if err != nil {
		t.Fatal(err)
	}
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
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients.pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are meant to fail
	s.StartTLS()
	t.Cleanup(s.Close)
	const yaml = `
server: {lame_duck: 0s, drain: 2s}
pools: [{name: m, engine: vllm, endpoints: [%q], probe_idle: false, health: {interval: 50ms}, metrics: {interval: 50ms}, tls: {%s}}]
`
	own := fmt.Sprintf("cert: %q, key: %q", path("gateway.crt"), path("gateway.key"))
	for name, c := range map[string]struct {
		tls string
		ok  bool
	}{
		"right":                      {fmt.Sprintf("ca: %q, %s", engines.file, own), true},
		"right, by another name":     {fmt.Sprintf("ca: %q, %s, server_name: engine.internal", engines.file, own), true},
		"any certificate":            {"insecure: true, " + own, true},
		"without certificate":        {fmt.Sprintf("ca: %q", engines.file), false},
		"with another's certificate": {fmt.Sprintf("ca: %q, cert: %q, key: %q", engines.file, path("stranger.crt"), path("stranger.key")), false},
		"other roots":                {fmt.Sprintf("ca: %q, %s", clients.file, own), false},
		"the system's roots":         {own, false},
		"a name that it has not":     {fmt.Sprintf("ca: %q, %s, server_name: other.internal", engines.file, own), false},
	} {
		t.Run(name, func(t *testing.T) {
			requests.Store(0)
			health.Store(0)
			scrapes.Store(0)
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
