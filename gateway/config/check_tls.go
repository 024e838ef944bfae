package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// clientTLS reads the files that a pool's TLS names and checks that they can be used.
func (c *checker) clientTLS(at string, p *Pool) {
	t := &p.TLS
	if t.Empty() {
		return
	}
	if !slices.ContainsFunc(p.Endpoints, func(e Endpoint) bool { return strings.HasPrefix(e.URL, "https:") }) {
		c.fault(at, "no endpoint of the pool has a URL with https://", "write https:// in the URLs, or remove tls")
	}
	if t.Insecure && t.CA != "" {
		c.fault(at+".insecure", "any certificate is taken, so ca says nothing", "remove one of the two")
	}
	if (t.Cert == "") != (t.Key == "") {
		c.fault(at, "a certificate needs its private key", "name the PEM files of both, as cert and key")
	}
	if t.ca = c.pem(at+".ca", t.CA); t.ca != nil && !x509.NewCertPool().AppendCertsFromPEM(t.ca) {
		c.fault(at+".ca", "the file holds no certificate", "name a PEM file of certificates")
	}
	t.cert, t.key = c.pem(at+".cert", t.Cert), c.pem(at+".key", t.Key)
	if t.cert == nil || t.key == nil {
		return
	}
	if _, err := tls.X509KeyPair(t.cert, t.key); err != nil {
		c.fault(at, fmt.Sprintf("cert and key do not make a certificate: %v", err), "name PEM files that belong together")
	}
}

// pem reads a file that a key names, nil if it names none or cannot be read.
func (c *checker) pem(at, file string) []byte {
	if file == "" {
		return nil
	}
	const limit = 1 << 20
	text, err := c.cfg.files.open(file, limit)
	if err != nil {
		c.fault(at, fmt.Sprintf("file %s cannot be used: %v", file, err), "correct the path or the rights of the file")
		return nil
	}
	return text
}
