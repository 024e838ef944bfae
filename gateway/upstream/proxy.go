package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"
)

// proxy is an HTTP proxy before a server.
type proxy struct {
	address string      // host and port
	secure  *tls.Config // for a proxy that is https itself
	tunnels bool        // it is asked for a tunnel; requests over plain http it gets itself
	login   string      // value of Proxy-Authorization, "" = none
}

// useProxy makes s go through the proxy that find names for u, if it names one. Through a proxy https is tunnelled; requests over plain
// http go to the proxy under their whole URL.
func (s *Server) useProxy(find func(*http.Request) (*url.URL, error), u *url.URL) error {
	if find == nil {
		return nil
	}
	at, err := find(&http.Request{URL: u})
	switch {
	case err != nil:
		return fmt.Errorf("proxy of %s: the URL in the environment cannot be read", u.Host) // err quotes it, password and all
	case at == nil:
		return nil
	case at.Scheme != "http" && at.Scheme != "https":
		return fmt.Errorf("proxy of %s: scheme %q is not supported, only http and https are", u.Host, at.Scheme)
	}
	p := &proxy{address: fasthttp.AddMissingPort(at.Host, at.Scheme == "https"), tunnels: u.Scheme == "https"}
	if at.Scheme == "https" {
		p.secure = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: at.Hostname(), NextProtos: []string{"http/1.1"}}
	}
	if at.User != nil {
		password, _ := at.User.Password()
		p.login = "Basic " + base64.StdEncoding.EncodeToString([]byte(at.User.Username()+":"+password))
	}
	if !p.tunnels {
		s.base = "http://" + s.host + s.base
		if p.login != "" {
			s.lines += "Proxy-Authorization: " + p.login + "\r\n"
		}
	}
	s.proxy = p
	return nil
}

// dial opens a connection to the server, through its proxy if it has one, until ctx ends.
func (s *Server) dial(ctx context.Context) (*conn, error) {
	if s.proxy == nil {
		return dial(ctx, s.address, s.secure)
	}
	c, err := dial(ctx, s.proxy.address, s.proxy.secure)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if !s.proxy.tunnels {
		return c, nil
	}
	leave := context.AfterFunc(ctx, func() { _ = c.Close() })
	err = s.proxy.tunnel(c, s.address)
	if !leave() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = c.handshake(ctx, s.secure)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// tunnel asks the proxy at the other end of c for a tunnel to the address.
func (p *proxy) tunnel(c net.Conn, address string) error {
	text := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if p.login != "" {
		text += "Proxy-Authorization: " + p.login + "\r\n"
	}
	if _, err := c.Write([]byte(text + "\r\n")); err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	br := bufio.NewReader(c)
	var head fasthttp.ResponseHeader
	if err := head.Read(br); err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	if head.StatusCode() != http.StatusOK || br.Buffered() > 0 {
		return fmt.Errorf("proxy: it answered %d to CONNECT", head.StatusCode())
	}
	return c.SetDeadline(time.Time{})
}
