package config

import (
	"crypto/sha256"
	"maps"
	"os"
	"sync"
	"time"
)

// Source is a configuration file that is read again when it, or a file that it names, has changed: secrets and certificates
// included. Files are compared by content under the name that the configuration gives them, so that a file which is replaced, moved
// into place, or exchanged behind a symbolic link, as Kubernetes does with a ConfigMap, is seen like one that is written.
type Source struct {
	// Path is the file.
	Path string
	// Adjust changes what was read; nil: nothing does.
	Adjust func(*Config)

	mu      sync.Mutex // guards the fields below
	read    files      // as of the last Load
	looked  files      // as of the last Settled, where they differed from read
	glances map[string]glance
}

// Load reads the file. Its error is Faults.
func (s *Source) Load() (*Config, error) {
	cfg, read, err := load(s.Path)
	if err == nil && s.Adjust != nil {
		s.Adjust(cfg)
		err = cfg.Validate()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read, s.looked = read, nil
	if err != nil {
		return nil, err
	}
	return cfg, nil
}

// Settled tells whether the files differ from what Load has read and are as they were when Settled was asked last: a file that is
// being written, or one of several that belong together, is given the time between two calls.
func (s *Source) Settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := make(files, len(s.read))
	for path, was := range s.read {
		now[path] = s.glance(path, was.limit)
	}
	if maps.Equal(now, s.read) {
		s.looked = nil
		return false
	}
	settled := maps.Equal(now, s.looked)
	s.looked = now
	return settled
}

// glance is what a file was found to be, so that it is read again only when it may have changed.
type glance struct {
	info  os.FileInfo
	state content
}

// racy is how long after its last change a file may change again without a change of its time.
const racy = 2 * time.Second

func (s *Source) glance(path string, limit int64) content {
	info, err := os.Stat(path)
	if err != nil {
		return content{limit: limit}
	}
	was, known := s.glances[path]
	if known && os.SameFile(info, was.info) && info.Size() == was.info.Size() && info.ModTime().Equal(was.info.ModTime()) &&
		time.Since(info.ModTime()) > racy {
		return was.state
	}
	seen := files{}
	_, _ = seen.open(path, limit)
	if s.glances == nil {
		s.glances = map[string]glance{}
	}
	s.glances[path] = glance{info, seen[path]}
	return seen[path]
}

// SameFile tells whether a file that both configurations were made from held the same when they were read.
func (c *Config) SameFile(other *Config, path string) bool { return c.files[path] == other.files[path] }

// files are the files that a configuration was made from, by path.
type files map[string]content

// content is what a file held: its digest, all zero where it could not be read, within the limit of its use.
type content struct {
	limit int64
	sum   [sha256.Size]byte
}

// open reads a file as readSmall does and notes it. A nil files notes nothing.
func (fs files) open(path string, limit int64) ([]byte, error) {
	text, err := readSmall(path, limit)
	if fs == nil {
		return text, err
	}
	c := content{limit: limit}
	if err == nil {
		c.sum = sha256.Sum256(text)
	}
	fs[path] = c
	return text, err
}
