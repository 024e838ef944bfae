package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warmlane/warmlane/gateway/provider"
)

func (c *checker) providers(providers []Provider) {
	c.names("providers", len(providers), func(i int) string { return providers[i].Name })
	for i := range providers {
		p, at := &providers[i], fmt.Sprintf("providers[%d]", i)
		if j := slices.IndexFunc(c.cfg.Pools, func(pool Pool) bool { return pool.Name == p.Name }); j >= 0 && p.Name != "" {
			c.fault(at+".name", fmt.Sprintf("the name %q is taken by pools[%d]", p.Name, j), "give it a name of its own: answers, logs and metrics tell targets by their names")
		}
		c.providerModels(at+".models", p.Models)
		c.timeouts(at+".timeouts", &p.Timeouts)
		c.ejection(at+".health", p.Health.EjectAfter, p.Health.EjectFor, p.Health.EjectMax)
		kind := provider.KindOf(p.Kind)
		if kind == nil {
			c.oneOf(at+".kind", p.Kind, provider.Names())
			c.providerKeys(at+".keys", p.Keys, false)
			continue
		}
		c.providerKeys(at+".keys", p.Keys, kind.Keyless)
		c.providerAddress(at, p, kind)
		c.providerAccount(at, p, kind)
	}
}

// providerAddress checks where the service is.
func (c *checker) providerAddress(at string, p *Provider, kind *provider.Kind) {
	regions := kind.Regions()
	switch {
	case p.Region == "":
		if kind.RegionNeeded && p.BaseURL == "" {
			c.fault(at+".region", fmt.Sprintf("kind %s needs a region", p.Kind), "write the region of the account, such as us-east-1")
		}
	case kind.RegionNeeded:
		if strings.ContainsFunc(p.Region, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }) {
			c.fault(at+".region", fmt.Sprintf("%q is not a region", p.Region), "write the region of the account, such as us-east-1")
		}
	case len(regions) == 0:
		c.fault(at+".region", fmt.Sprintf("kind %s has no regions", p.Kind), "remove it")
	case !slices.Contains(regions, p.Region):
		c.oneOf(at+".region", p.Region, regions)
		return
	}
	if own, _ := kind.Base(p.Region); p.Region != "" && !kind.RegionNeeded && own != "" && p.BaseURL != own {
		c.fault(at+".base_url", "a base URL beside a region", "keep one of the two: the region stands for "+own)
		return
	}
	if _, own := kind.Base(""); !own && p.BaseURL == "" && !kind.RegionNeeded {
		c.fault(at+".base_url", fmt.Sprintf("kind %s has no address of its own", p.Kind), "write the URL of your account, such as https://NAME.openai.azure.com")
		return
	}
	if p.BaseURL != "" {
		c.url(at+".base_url", p.BaseURL)
	}
}

// providerAccount checks what only some kinds know.
func (c *checker) providerAccount(at string, p *Provider, kind *provider.Kind) {
	for _, field := range []struct {
		key, text string
		known     bool
	}{
		{"api_version", p.APIVersion, kind.Versioned},
		{"organization", p.Organization, kind.Organized},
		{"project", p.Project, kind.Organized},
	} {
		switch {
		case field.text != "" && !field.known:
			c.fault(at+"."+field.key, fmt.Sprintf("kind %s knows no %s", p.Kind, field.key), "remove it")
		case strings.ContainsFunc(field.text, notInHeader) || strings.ContainsAny(field.text, "?&#/ "):
			c.fault(at+"."+field.key, fmt.Sprintf("%q cannot be sent", field.text), "write it as the service's console shows it")
		}
	}
}

// notInHeader reports what ends a header line, or is no text at all.
func notInHeader(r rune) bool { return r < ' ' || r > '~' }

// providerKeys checks a list of credentials without showing one.
func (c *checker) providerKeys(at string, keys []ProviderKey, keyless bool) {
	if len(keys) == 0 && !keyless {
		c.fault(at, "at least one key is needed", `list it as "${env:NAME}" or "${file:PATH}"`)
	}
	for i, k := range keys {
		path := fmt.Sprintf("%s[%d]", at, i)
		switch {
		case k.Key.Empty():
			c.fault(path+".key", "an empty key", "give it a value or remove it")
		case slices.IndexFunc(keys, func(other ProviderKey) bool { return other.Key == k.Key }) < i:
			c.fault(path+".key", "the same key is here a second time", "remove it, or give the first one a weight")
		case strings.ContainsFunc(k.Key.Reveal(), notInHeader):
			c.fault(path+".key", "the key has signs that cannot be sent", "write the bare key, in one line")
		}
		if k.Weight <= 0 {
			c.fault(path+".weight", "must be greater than 0", "write a share such as 1 or 0.5, or remove the key")
		}
	}
}

func (c *checker) providerModels(at string, models []ProviderModel) {
	for i, m := range models {
		path := fmt.Sprintf("%s[%d].name", at, i)
		if m.Name == "" {
			c.fault(path, "an empty entry", "give it a value or remove it")
		} else if slices.IndexFunc(models, func(other ProviderModel) bool { return other.Name == m.Name }) < i {
			c.fault(path, fmt.Sprintf("%q is here a second time", m.Name), "remove it")
		}
	}
}
