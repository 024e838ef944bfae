// Package certtest makes certificates for tests.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"testing"
	"time"
)

// Pair is a certificate and its key.
type Pair struct {
	Cert, Key []byte // as PEM
	leaf      *x509.Certificate
	private   *ecdsa.PrivateKey
}

// Make makes a certificate like template, good for an hour, which by signs, or its own key where by is nil. What template says of times
// does not count, and it gets a serial number if it has none.
func Make(t testing.TB, template x509.Certificate, by *Pair) *Pair {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotAfter = time.Now().Add(time.Hour)
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(time.Now().UnixNano())
	}
	if by == nil {
		by = &Pair{leaf: &template, private: private}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, by.leaf, &private.PublicKey, by.private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return &Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		leaf: leaf, private: private,
	}
}

// Authority makes a root that signs others.
func Authority(t testing.TB, name string) *Pair {
	t.Helper()
	return Make(t, x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
}

// Pool holds the certificate as the one root.
func (p *Pair) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.leaf)
	return pool
}

// Write writes both files.
func (p *Pair) Write(t testing.TB, cert, key string) {
	t.Helper()
	for file, text := range map[string][]byte{cert: p.Cert, key: p.Key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
