package config

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

func (c *checker) server(s *Server) {
	c.listen("server.listen", s.Listen)
	c.listen("server.admin", s.Admin)
	if _, port, _ := net.SplitHostPort(s.Listen); s.Listen == s.Admin && port != "0" {
		c.fault("server.admin", fmt.Sprintf("%q is the application listener too", s.Admin), "give the admin listener a port of its own")
	}
	if s.AdminToken.Empty() && !loopback(s.Admin) {
		c.fault("server.admin", fmt.Sprintf("%q is reachable from other hosts, but there is no admin_token", s.Admin),
			`listen on 127.0.0.1, or set admin_token: "${env:WARMLANE_ADMIN_TOKEN}"`)
	}
	c.tls(&s.TLS)
	if s.MaxBody <= 0 {
		c.fault("server.max_body", "must be larger than 0", "write a size such as 160MiB")
	}
	if s.MaxBodyTotal < s.MaxBody {
		c.fault("server.max_body_total", fmt.Sprintf("%s is less than one body may have (max_body %s)", s.MaxBodyTotal, s.MaxBody),
			"make it at least as large as max_body")
	}
	c.positive("server.read_timeout.header", s.ReadTimeout.Header)
	c.positive("server.read_timeout.body", s.ReadTimeout.Body)
	c.positive("server.write_timeout", s.WriteTimeout)
	if s.MaxHeader < 1<<10 || s.MaxHeader > 1<<20 {
		c.fault("server.max_header", "must be 1KiB to 1MiB", "write a size such as 16KiB; every connection keeps a buffer of it")
	}
	if s.MaxConnections < 1 {
		c.fault("server.max_connections", "must be at least 1", "write how many clients may be connected, such as 20000")
	}
	if s.MaxConnectionsPerIP < 0 {
		c.fault("server.max_connections_per_ip", "must not be negative", "write how many connections one address may have, or 0 for no bound")
	}
}

func (c *checker) listen(path, address string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		if n, perr := strconv.Atoi(port); perr == nil && n >= 0 && n <= 65535 {
			return
		}
	}
	c.fault(path, fmt.Sprintf("%q is not an address to listen on", address), `write HOST:PORT, or ":8080" for all addresses`)
}

// loopback says whether only this host can reach an address. One that is no address has its own fault.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// tls checks that the certificate can be used, so that a wrong file is found before the gateway starts.
func (c *checker) tls(t *TLS) {
	const limit = 1 << 20
	switch {
	case t.Cert == "" && t.Key == "":
		return
	case t.Cert == "":
		c.fault("server.tls.cert", "the certificate is missing", "name its PEM file beside key")
		return
	case t.Key == "":
		c.fault("server.tls.key", "the private key is missing", "name its PEM file beside cert")
		return
	}
	cert, err := c.cfg.files.open(t.Cert, limit)
	if err != nil {
		c.fault("server.tls.cert", fmt.Sprintf("file %s cannot be used: %v", t.Cert, err), "correct the path or the rights of the file")
	}
	key, keyErr := c.cfg.files.open(t.Key, limit)
	if keyErr != nil {
		c.fault("server.tls.key", fmt.Sprintf("file %s cannot be used: %v", t.Key, keyErr), "correct the path or the rights of the file")
	}
	if err != nil || keyErr != nil {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		c.fault("server.tls", fmt.Sprintf("cert and key do not make a certificate: %v", err), "name PEM files that belong together")
	}
}

// redis checks the URL as its user will. The library's error may quote the password and is not shown.
func (c *checker) redis(r *Redis) {
	if !r.Enabled() {
		return
	}
	options, err := RedisOptions(r.URL.Reveal(), time.Second)
	switch {
	case err != nil:
		c.fault("redis.url", "the URL cannot be used", "write redis://:PASSWORD@HOST:PORT/DB; signs such as @ and / in a password as %40 and %2F")
	case r.Cluster && options.MasterName != "":
		c.fault("redis.cluster", "the URL names a master for Sentinel", "leave out cluster, or master_name in the URL")
	case r.Cluster && options.DB != 0:
		c.fault("redis.cluster", "a Redis Cluster has no database but 0", "leave out the number at the end of the URL")
	}
	ca := c.pem("redis.ca", r.CA)
	r.ca = string(ca)
	if _, err := r.TLSConfig(); ca != nil && err != nil {
		c.fault("redis.ca", fmt.Sprintf("file %s cannot be used: %v", r.CA, err), "name a PEM file with the certificate of the authority")
	}
}

func (c *checker) observe(o *Observe) {
	c.oneOf("observe.log.level", o.Log.Level, []string{"debug", "info", "warn", "error"})
	c.oneOf("observe.log.format", o.Log.Format, []string{"json", "text"})
	c.newFile("observe.trace_file", o.TraceFile)
}

// newFile checks that the file can be there. Whether it may be written is seen when it is opened.
func (c *checker) newFile(key, path string) {
	if path == "" {
		return
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		c.fault(key, fmt.Sprintf("there is no folder %s", dir), "make the folder, or name a file in one that exists")
	} else if info, err := os.Stat(path); err == nil && info.IsDir() {
		c.fault(key, fmt.Sprintf("%s is a folder", path), "name a file in it")
	}
}
