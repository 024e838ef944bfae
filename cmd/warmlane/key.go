package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
)

// KeyCmd makes and shows API keys of consumers.
type KeyCmd struct {
	New  KeyNewCmd  `cmd:"" help:"Make a key: the key, to be given away, and its digest, to be put into consumers[].keys."`
	Hash KeyHashCmd `cmd:"" help:"Print the digest of the key on standard input."`
	List KeyListCmd `cmd:"" help:"List the consumers of a configuration with the digests of their keys and when they count."`
}

// keyBytes is the length of a key's random part: 256 bits.
const keyBytes = 32

// KeyNewCmd makes a key.
type KeyNewCmd struct{}

// Run prints a fresh key and its digest.
func (KeyNewCmd) Run() error {
	var random [keyBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	key := "sk-wl-" + base64.RawURLEncoding.EncodeToString(random[:])
	return out(os.Stdout, "key:    %s\ndigest: %s\n", key, digestOf(key))
}

// KeyHashCmd digests a key. It is read from standard input, since other users can see the arguments of a command.
type KeyHashCmd struct{}

// Run prints the digest.
func (KeyHashCmd) Run() error {
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, 64<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the key: %w", err)
	}
	key := strings.TrimRight(line, "\r\n")
	if key == "" {
		return usageError("no key on standard input: printf %s KEY | warmlane key hash")
	}
	return out(os.Stdout, "%s\n", digestOf(key))
}

func digestOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// KeyListCmd shows whose keys there are.
type KeyListCmd struct {
	Config string `short:"c" type:"existingfile" placeholder:"FILE" required:"" help:"Configuration file."`
}

// Run prints a line a key; of a key only the beginning of its digest.
func (c KeyListCmd) Run() error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "CONSUMER\tKEY\tFROM\tUNTIL\tNOW") // told by Flush
	for i := range cfg.Consumers {
		if err := listKeys(t, &cfg.Consumers[i], time.Now()); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing the keys: %w", err)
	}
	return nil
}

func listKeys(w io.Writer, c *config.Consumer, now time.Time) error {
	for i := range c.Keys {
		k := &c.Keys[i]
		digest, err := k.Key.Digest()
		if err != nil {
			return fmt.Errorf("reading key %d of consumer %q: %w", i+1, c.Name, err)
		}
		state := "good"
		if !k.Good(now) || c.Expired(now) {
			state = "does not count"
		}
		if err := out(w, "%s\tsha256:%s...\t%s\t%s\t%s\n", c.Name, hex.EncodeToString(digest[:4]), k.From, sooner(k.Until, c.Until), state); err != nil {
			return err
		}
	}
	if c.JWT.Used() {
		return out(w, "%s\ttokens of %s\t\t%s\t\n", c.Name, c.JWT.Issuer, c.Until)
	}
	return nil
}

// sooner is the earlier of two ends, of which a zero one never comes.
func sooner(a, b config.Time) config.Time {
	if a.IsZero() || !b.IsZero() && time.Time(b).Before(time.Time(a)) {
		return b
	}
	return a
}

func out(w io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(w, format, args...); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
