package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// TLS says whom a client trusts, and what it shows of itself.
type TLS struct {
	CA         []byte // PEM of the roots; nil: the system's
	Cert, Key  []byte // PEM of the client's own certificate; nil: none
	ServerName string // "": the host of the URL
	Insecure   bool   // any certificate is taken
}

// Client makes the client's configuration.
func (t *TLS) Client() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.Insecure} //nolint:gosec // the operator's word
	if t.CA != nil {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, errors.New("the CA file holds no certificate")
		}
	}
	if t.Cert != nil {
		pair, err := tls.X509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
