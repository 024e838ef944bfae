package config

// Provider is an outside service for overflow and fallback.
type Provider struct {
	Name         string          `yaml:"name"`
	Kind         string          `yaml:"kind"`         // one of provider.Names
	BaseURL      string          `yaml:"base_url"`     // up to and including the version, such as https://api.openai.com/v1; "" = the kind's own
	Region       string          `yaml:"region"`       // which of the kind's own base URLs; "" = the first
	APIVersion   string          `yaml:"api_version"`  // for kinds that have versions; "" = the kind's default
	Organization string          `yaml:"organization"` // whose account is charged, for kinds that have organizations; "" = the key's default
	Project      string          `yaml:"project"`      // likewise
	Keys         []ProviderKey   `yaml:"keys"`         // at least one, unless the kind needs none
	Models       []ProviderModel `yaml:"models"`       // public names that need no route
	Health       ProviderHealth  `yaml:"health"`
	Timeouts     Timeouts        `yaml:"timeouts"`
}

// ProviderHealth says when a provider is left alone as a whole.
type ProviderHealth struct {
	EjectAfter int      `yaml:"eject_after"` // failures of distinct requests, without an answer in between
	EjectFor   Duration `yaml:"eject_for"`   // the first time out, doubled each time until it answers again
	EjectMax   Duration `yaml:"eject_max"`   // the longest
}

// ProviderKey is one of a provider's credentials.
type ProviderKey struct {
	Key    Secret  `yaml:"key,scalar"`
	Weight float64 `yaml:"weight"` // share of the requests that it gets
}

// ProviderModel is a model that a provider serves.
type ProviderModel struct {
	Name  string `yaml:"name,scalar"` // public
	Model string `yaml:"model"`       // name sent there; "" = the public one
}

// ModelFor returns the name to send for the one that the caller asked for.
func (p *Provider) ModelFor(asked string) string {
	for _, m := range p.Models {
		if m.Name == asked && m.Model != "" {
			return m.Model
		}
	}
	return asked
}
