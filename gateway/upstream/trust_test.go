package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/warmlane/warmlane/gateway/certtest"
	"github.com/warmlane/warmlane/gateway/failure"
)

func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	p := certtest.Make(t, x509.Certificate{
		DNSNames:    []string{"engine.internal"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}, nil)
	return p.Cert, p.Key
}

// An engine with a private root and a name of its own, which asks for a certificate, is reached with the right settings and no others.
func TestTLS_WhomItTrustsAndWhatItShows(t *testing.T) {
	serverCert, serverKey := certificate(t)
	ownCert, ownKey := certificate(t)
	pair, err := tls.X509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(ownCert)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	for name, f := range map[string]struct {
		trust *TLS
		want  bool
	}{
		"all":              {&TLS{CA: serverCert, Cert: ownCert, Key: ownKey, ServerName: "engine.internal"}, true},
		"any certificate":  {&TLS{Cert: ownCert, Key: ownKey, Insecure: true}, true},
		"nothing":          {nil, false},
		"another root":     {&TLS{CA: ownCert, Cert: ownCert, Key: ownKey, ServerName: "engine.internal"}, false},
		"another name":     {&TLS{CA: serverCert, Cert: ownCert, Key: ownKey}, false},
		"no certificate":   {&TLS{CA: serverCert, ServerName: "engine.internal"}, false},
		"a strange client": {&TLS{CA: serverCert, Cert: serverCert, Key: serverKey, ServerName: "engine.internal"}, false},
	} {
		server, err := NewServer(Config{URL: s.URL, TLS: f.trust})
		if err != nil {
			t.Fatal(name, err)
		}
		got, fail := send(server, post("{}"))
		server.Close()
		switch {
		case f.want && (fail != nil || got != "ok"):
			t.Errorf("%s: got %q, %v", name, got, fail)
		case !f.want && fail == nil:
			t.Errorf("%s: it is answered", name)
		case !f.want && fail.Kind != failure.ConnectFailed && fail.Kind != failure.ConnectionLost && fail.Kind != failure.SendFailed:
			t.Logf("%s: %v", name, fail)
		}
	}
}
