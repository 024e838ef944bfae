package gateway

import (
	"crypto/tls"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
)

// lookAgain is how often handshakes look whether the certificate's files have changed.
const lookAgain = time.Second

// certificate is what the application listener shows, read again when its files change. Files that do not make a certificate, such as a
// new one beside the old key, leave the last good one in force.
type certificate struct {
	files func() config.TLS
	log   *slog.Logger

	pair   atomic.Pointer[tls.Certificate]
	mu     sync.Mutex // guards the fields below; held while files are read, which no handshake waits for that another one reads
	read   config.TLS // the files' names when they were read
	stamps [2]fs.FileInfo
	looked time.Time
}

// openCertificate reads the certificate for the first time.
func openCertificate(files func() config.TLS, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log, looked: time.Now()}
	return c, c.load()
}

// config is the TLS of the listener. It offers HTTP/1.1 alone, which is what the server speaks.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.get}
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.mu.TryLock() {
		c.look()
		c.mu.Unlock()
	}
	return c.pair.Load(), nil
}

// look reads the files again when it is time and they have changed.
func (c *certificate) look() {
	now := time.Now()
	if now.Sub(c.looked) < lookAgain {
		return
	}
	c.looked = now
	if !c.changed() {
		return
	}
	if err := c.load(); err != nil {
		c.log.Error("the new certificate cannot be used, the last one stays", "err", err)
		return
	}
	c.log.Info("certificate read again", "not_after", c.pair.Load().Leaf.NotAfter)
}

func (c *certificate) changed() bool {
	now := c.files()
	return now != c.read || !same(c.stamps[0], stat(now.Cert)) || !same(c.stamps[1], stat(now.Key))
}

// load reads the files. What it has seen of them counts also when they cannot be used: they are tried again once they change.
func (c *certificate) load() error {
	c.read = c.files()
	c.stamps = [2]fs.FileInfo{stat(c.read.Cert), stat(c.read.Key)}
	pair, err := tls.LoadX509KeyPair(c.read.Cert, c.read.Key)
	if err == nil {
		c.pair.Store(&pair)
	}
	return err
}

func stat(path string) fs.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
