// Package config reads the one YAML file that describes a gateway.
//
// Decoding is strict. An unknown key, a value of the wrong kind or unit, a name that nothing defines, a secret that cannot be
// read: each is a Fault with file, line, column, path, message and remedy, and all faults of a file are told at once.
// What Load returns is complete (every default is filled in), consistent (every name that is used exists) and not changed
// afterwards, so it may be read by many goroutines.
//
// Scalars may name secrets as ${env:NAME} or ${file:PATH} (relative to the configuration file); $${ stands for a plain ${.
// Secrets are kept in the type Secret, which prints as stars everywhere; fault texts quote the file, never a resolved value.
//
// Reading a file costs milliseconds and happens at start and reload only.
package config

// Config is a whole configuration file.
type Config struct {
	Server    Server      `yaml:"server"`
	Redis     Redis       `yaml:"redis"`
	Consumers []Consumer  `yaml:"consumers"`
	Pools     []Pool      `yaml:"pools"`
	Providers []Provider  `yaml:"providers"`
	Routes    []Route     `yaml:"routes"`
	Limits    []Limit     `yaml:"limits"`
	Prices    Prices      `yaml:"prices"`
	Usage     Usage       `yaml:"usage"`
	Guard     []GuardRule `yaml:"guard"`
	Cache     []CacheRule `yaml:"cache"`
	Observe   Observe     `yaml:"observe"`

	file  string
	marks map[string]mark
	files files // that it was made from, secrets and certificates included
}

// File returns the name under which the configuration was read, "" if it was made by FromPools.
func (c *Config) File() string { return c.file }
