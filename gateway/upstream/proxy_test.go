package upstream

import (
	"bufio"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/failure"
)

// via is a proxy finder for one proxy.
func via(address string) func(*http.Request) (*url.URL, error) {
	return func(*http.Request) (*url.URL, error) { return url.Parse(address) }
}

// proxying starts an HTTP proxy that notes the heads of what it is asked, and answers CONNECT with the given line.
func proxying(t *testing.T, line string) (address string, heads chan string) {
	heads = make(chan string, 10)
	address = script(t, func(_ int, c net.Conn, br *bufio.Reader) {
		defer c.Close()
		head, err := readRequest(br)
		if err != nil {
			return
		}
		heads <- head
		if !strings.HasPrefix(head, "CONNECT ") {
			_, _ = io.WriteString(c, ok)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 "+line+"\r\n\r\n")
		if !strings.HasPrefix(line, "200") {
			return
		}
		to, err := net.Dial("tcp", strings.Fields(head)[1])
		if err != nil {
			return
		}
		defer to.Close()
		go func() { _, _ = io.Copy(to, br); _ = to.Close() }()
		_, _ = io.Copy(c, to)
	})
	return address, heads
}

func TestProxy_TunnelsTLS(t *testing.T) {
	service := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the service got the proxy's password")
		}
		_, _ = io.WriteString(w, "hello")
	}))
	defer service.Close()
	address, heads := proxying(t, "200 Connection established")
	s, err := NewServer(Config{
		URL: service.URL, Proxy: via("http://user:secret@" + strings.TrimPrefix(address, "http://")),
		TLS: &TLS{CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: service.Certificate().Raw})},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 { // the second goes through the tunnel of the first
		a := NewAttempt(s)
		if fail := a.Send(post("{}")); fail != nil {
			t.Fatal(fail)
		}
		body, _, fail := (&Relay{Attempt: a}).Whole(100)
		if fail != nil || string(body) != "hello" {
			t.Errorf("%q %v", body, fail)
		}
		a.Finish(true)
	}
	host := strings.TrimPrefix(service.URL, "https://")
	if head := <-heads; head != "CONNECT "+host+" HTTP/1.1\r\nHost: "+host+"\r\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n" {
		t.Errorf("the proxy was asked %q", head)
	}
	if len(heads) != 0 {
		t.Errorf("%d further tunnels", len(heads))
	}
}

func TestProxy_GetsPlainRequestsItself(t *testing.T) {
	address, heads := proxying(t, "")
	s, err := NewServer(Config{URL: "http://nowhere.example/base", Proxy: via(address)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, fail := send(s, post("{}")); fail != nil {
		t.Fatal(fail)
	}
	if head := <-heads; !strings.HasPrefix(head, "POST http://nowhere.example/base/") || !strings.Contains(head, "Host: nowhere.example\r\n") {
		t.Errorf("the proxy was asked %q", head)
	}
}

func TestProxy_RefusalIsAFailedConnect(t *testing.T) {
	address, _ := proxying(t, "407 Proxy Authentication Required")
	s, err := NewServer(Config{URL: "https://nowhere.example", Proxy: via(address)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, fail := send(s, post("{}")); fail == nil || fail.Kind != failure.ConnectFailed || !strings.Contains(fail.Error(), "407") {
		t.Errorf("%v", fail)
	}
}

func TestProxy_FaultsTellNoPassword(t *testing.T) {
	for _, find := range []func(*http.Request) (*url.URL, error){
		via("socks5://user:secret@127.0.0.1:1"),
		via("http://user:secret@127.0.0.1:port"),
	} {
		if _, err := NewServer(Config{URL: "https://nowhere.example", Proxy: find}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}
