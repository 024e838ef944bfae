package config

import (
	"fmt"
	"net/textproto"
	"path/filepath"
	"strings"

	"github.com/warmlane/warmlane/gateway/provider"
)

// complete brings what was read into the one form that the gateway sees: paths from the file's folder, URLs without a trailing
// slash, a name for every route. Faults still quote the file.
func (c *Config) complete() {
	dir := filepath.Dir(c.file)
	c.Server.TLS.Cert = inDir(dir, c.Server.TLS.Cert)
	c.Server.TLS.Key = inDir(dir, c.Server.TLS.Key)
	c.Redis.CA = inDir(dir, c.Redis.CA)
	c.Observe.TraceFile = inDir(dir, c.Observe.TraceFile)
	c.Usage.File = inDir(dir, c.Usage.File)
	for i := range c.Pools {
		for _, file := range []*string{&c.Pools[i].TLS.CA, &c.Pools[i].TLS.Cert, &c.Pools[i].TLS.Key} {
			*file = inDir(dir, *file)
		}
		for j := range c.Pools[i].Endpoints {
			e := &c.Pools[i].Endpoints[j]
			e.URL = withoutSlash(e.URL)
		}
	}
	for i := range c.Consumers {
		if j := &c.Consumers[i].JWT; j.JWKS != "" && !strings.Contains(j.JWKS, "://") {
			j.JWKS = inDir(dir, j.JWKS)
		}
	}
	for i := range c.Providers {
		c.Providers[i].complete()
	}
	for i := range c.Guard {
		for j, path := range c.Guard[i].Words {
			c.Guard[i].Words[j] = inDir(dir, path)
		}
	}
	for i := range c.Routes {
		if c.Routes[i].Name == "" {
			c.Routes[i].Name = fmt.Sprintf("route-%d", i+1)
		}
	}
}

// complete fills in what the kind of a provider knows by itself.
func (p *Provider) complete() {
	p.BaseURL = withoutSlash(p.BaseURL)
	kind := provider.KindOf(p.Kind)
	if kind == nil {
		return
	}
	if p.BaseURL == "" {
		p.BaseURL, _ = kind.Base(p.Region)
	}
	if p.APIVersion == "" {
		p.APIVersion = kind.Version
	}
}

// withoutSlash returns url ready for a path to be appended.
func withoutSlash(url string) string {
	if strings.HasSuffix(url, "://") {
		return url
	}
	return strings.TrimRight(url, "/")
}

// canonical writes header names as HTTP libraries do. It comes after the check, which speaks of the names in the file.
func (c *Config) canonical() {
	for i := range c.Routes {
		c.Routes[i].Match.Headers = canonical(c.Routes[i].Match.Headers)
	}
	for i := range c.Pools {
		for j, name := range c.Pools[i].Session.Headers {
			c.Pools[i].Session.Headers[j] = textproto.CanonicalMIMEHeaderKey(name)
		}
	}
	for i := range c.Limits {
		c.Limits[i].Match.Headers = canonical(c.Limits[i].Match.Headers)
	}
	for i := range c.Guard {
		c.Guard[i].Match.Headers = canonical(c.Guard[i].Match.Headers)
	}
	for i := range c.Cache {
		c.Cache[i].Match.Headers = canonical(c.Cache[i].Match.Headers)
	}
}

func canonical(headers map[string]string) map[string]string {
	out := make(map[string]string, len(headers))
	for name, glob := range headers {
		out[textproto.CanonicalMIMEHeaderKey(name)] = glob
	}
	return out
}
