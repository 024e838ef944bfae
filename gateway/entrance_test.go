package gateway_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/certtest"
)

// Connections are bounded: one too many is told so, and there is room again when one ends.
func TestEntrance_ConnectionsAreBounded(t *testing.T) {
	for name, c := range map[string]struct{ keys, bound string }{
		"in all":           {"max_connections: 3", "all"},
		"from one address": {"max_connections_per_ip: 3", "address"},
	} {
		t.Run(name, func(t *testing.T) {
			u, _ := counting(t, good)
			r := newRig(t, "server: {lame_duck: 0s, drain: 2s, "+c.keys+"}\npools: [{name: m, endpoints: ENGINES}]\n", u)
			ask := func(conn net.Conn) int {
				fmt.Fprintf(conn, "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
				a, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					return 0
				}
				body, _ := io.ReadAll(a.Body)
				if a.StatusCode == 503 && (a.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "too_many_connections")) {
					t.Errorf("refused with %v %s", a.Header, body)
				}
				return a.StatusCode
			}
			var in []net.Conn
			for range 3 {
				in = append(in, r.dial())
				if got := ask(in[len(in)-1]); got != 200 {
					t.Fatalf("connection %d was answered %d", len(in), got)
				}
			}
			for range 5 {
				conn := r.dial()
				a, err := http.ReadResponse(bufio.NewReader(conn), nil) // told without asking
				if err != nil || a.StatusCode != 503 {
					t.Fatalf("one connection too many: %v, %v", a, err)
				}
			}
			admin := *r
			admin.URL = r.Admin
			if m := admin.do("GET", "/metrics", "").body; !strings.Contains(m, `warmlane_connections_refused_total{bound="`+c.bound+`"} 5`) {
				t.Error("the metrics do not count 5 refused connections")
			}
			_ = in[0].Close()
			await(t, "room after a connection ended", func() bool {
				conn := r.dial()
				defer conn.Close()
				return ask(conn) == 200
			})
			if got := ask(in[1]); got != 200 {
				t.Errorf("a connection that was there before is answered %d", got)
			}
		})
	}
}

// Behind a trusted proxy all clients come from one address.
func TestEntrance_TrustedProxiesHaveNoBoundOfTheirOwn(t *testing.T) {
	u, _ := counting(t, good)
	r := newRig(t, "server: {lame_duck: 0s, drain: 2s, max_connections_per_ip: 1, trusted_proxies: [127.0.0.1]}\npools: [{name: m, endpoints: ENGINES}]\n", u)
	for range 5 {
		conn := r.dial()
		fmt.Fprintf(conn, "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
		if a, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || a.StatusCode != 200 {
			t.Errorf("answered %v, %v", a, err)
		}
	}
}

// pemPair writes a certificate with this serial number and its key.
// A renewed certificate is shown without a restart, and open connections stay; files that do not fit together change nothing.
func TestCertificate_IsReadAgainWhenItsFilesChange(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	renew := func(serial int64) {
		certtest.Make(t, x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"localhost"}}, nil).Write(t, cert, key)
	}
	renew(1)
	u, _ := counting(t, good)
	r := newRig(t, fmt.Sprintf("server: {lame_duck: 0s, drain: 2s, tls: {cert: %q, key: %q}}\npools: [{name: m, endpoints: ENGINES}]\n", cert, key), u)
	visit := func() *tls.Conn {
		c, err := tls.Dial("tcp", strings.TrimPrefix(r.URL, "http://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	serial := func() int64 { return visit().ConnectionState().PeerCertificates[0].SerialNumber.Int64() }
	early := visit()
	if got := serial(); got != 1 {
		t.Fatalf("the certificate is number %d", got)
	}
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the log's word about the bad files", func() bool {
		got := serial()
		if got != 1 {
			t.Errorf("with bad files the certificate is number %d", got)
		}
		return strings.Contains(r.lines.text(), "the new certificate cannot be used")
	})
	renew(2)
	await(t, "the new certificate", func() bool { return serial() == 2 })
	fmt.Fprintf(early, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, len(plainChat), plainChat)
	if a, err := http.ReadResponse(bufio.NewReader(early), nil); err != nil || a.StatusCode != 200 {
		t.Errorf("the connection from before was answered %v, %v", a, err)
	}
	if strings.Contains(r.lines.text(), "PRIVATE") {
		t.Error("the log holds a key")
	}
}
