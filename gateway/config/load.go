package config

import "errors"

// Load reads the file at path. Its error is Faults.
func Load(path string) (*Config, error) { return nil, errors.New("not yet") }

// Parse reads a configuration from text; name stands for its file in faults, and its folder is where ${file:} paths start. Its error is Faults.
func Parse(name string, text []byte) (*Config, error) { return nil, errors.New("not yet") }

// FromPools makes a configuration from --pool flags, each NAME=URL,URL. Its error is Faults.
func FromPools(pools []string) (*Config, error) { return nil, errors.New("not yet") }

// Validate checks a configuration that was made or changed by a program. Its error is Faults.
func (c *Config) Validate() error { return errors.New("not yet") }
