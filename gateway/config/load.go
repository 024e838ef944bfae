package config

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
)

// maxFile bounds a configuration file.
const maxFile = 4 << 20

// Load reads the file at path. Its error is Faults.
func Load(path string) (*Config, error) {
	cfg, _, err := load(path)
	return cfg, err
}

// load is Load, with the files that were read.
func load(path string) (*Config, files, error) {
	read := files{}
	text, err := read.open(path, maxFile)
	if err != nil {
		return nil, read, Faults{{
			File: path, Message: fmt.Sprintf("cannot be read: %v", err),
			Remedy: "name a readable file, or start with --pool NAME=URL,URL",
		}}
	}
	cfg, err := parse(path, text, read)
	return cfg, read, err
}

// Parse reads a configuration from text; name stands for its file in faults, and the folder of name is where relative paths
// start. Its error is Faults.
func Parse(name string, text []byte) (*Config, error) { return parse(name, text, files{}) }

func parse(name string, text []byte, read files) (*Config, error) {
	cfg := defaults()
	cfg.file, cfg.files = name, read
	d := newDecoder(name, filepath.Dir(name), read)
	d.decode(bytes.TrimPrefix(text, []byte("\ufeff")), &cfg) // the mark with which some editors begin a file
	cfg.marks = d.marks
	cfg.complete()
	c := &checker{cfg: &cfg, broken: d.broken, filled: d.filled, faults: d.faults}
	if fs := c.run(); len(fs) > 0 {
		return nil, fs
	}
	cfg.canonical()
	return &cfg, nil
}

// FromPools makes a configuration from --pool flags, each NAME=URL,URL. Its error is Faults.
func FromPools(pools []string) (*Config, error) {
	cfg := defaults()
	cfg.file = "--pool"
	c := &checker{cfg: &cfg, broken: map[string]bool{}}
	for i, flag := range pools {
		name, urls, ok := strings.Cut(flag, "=")
		if !ok {
			path := fmt.Sprintf("pools[%d]", i)
			c.broken[path] = true
			c.faults = append(c.faults, Fault{
				File: cfg.file, Path: path, Message: "no name and =",
				Remedy: "write --pool NAME=URL,URL, such as --pool llama3=http://10.0.0.1:8000,http://10.0.0.2:8000",
			})
		}
		pool := elementDefault[Pool]()
		pool.Name = strings.TrimSpace(name)
		for url := range strings.SplitSeq(urls, ",") {
			endpoint := elementDefault[Endpoint]()
			endpoint.URL = strings.TrimSpace(url)
			pool.Endpoints = append(pool.Endpoints, endpoint)
		}
		cfg.Pools = append(cfg.Pools, pool)
	}
	cfg.complete()
	if fs := c.run(); len(fs) > 0 {
		return nil, fs
	}
	return &cfg, nil
}

// Validate checks a configuration that was made or changed by a program. Its error is Faults.
func (c *Config) Validate() error {
	check := &checker{cfg: c, broken: map[string]bool{}}
	if fs := check.run(); len(fs) > 0 {
		return fs
	}
	return nil
}

// elementDefault returns the defaults of one element of a list.
func elementDefault[T any]() T {
	var t T
	setElementDefault(reflect.ValueOf(&t).Elem())
	return t
}
