package usage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// openPatience bounds the wait for another gateway to leave the file: one that is replaced by a reload saves its last counts first.
const openPatience = 3 * time.Second

// savedBucket has the number of the last batch as its sequence. It sorts behind all days.
const savedBucket = "saved"

// file keeps counts in a bbolt file: a bucket a day, a combination's measures one behind the other as variable-length integers. Each batch
// is one transaction and one fsync, and a crash leaves the file as it was before or after one.
type file struct {
	db       *bbolt.DB
	earliest func() string
}

func openFile(o *Options, earliest func() string) (*file, error) {
	db, err := bbolt.Open(o.File, 0o600, &bbolt.Options{Timeout: openPatience})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s is in use by another process; give each gateway a file of its own, or all of them a Redis", o.File)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("%s holds no usage; name a file that does not exist yet", o.File)
	case err != nil:
		return nil, fmt.Errorf("opening the file of usage: %w; name a file in a folder that warmlane may write to", err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		saved, err := tx.CreateBucketIfNotExists([]byte(savedBucket))
		if err != nil {
			return err
		}
		return saved.SetSequence(0) // the numbers of batches begin anew
	})
	if err != nil {
		return nil, fmt.Errorf("opening the file of usage: %w", errors.Join(err, db.Close()))
	}
	return &file{db: db, earliest: earliest}, nil
}

func (f *file) add(_ context.Context, b *batch) error {
	err := f.db.Update(func(tx *bbolt.Tx) error {
		if err := forgetDays(tx, []byte(f.earliest())); err != nil {
			return err
		}
		saved := tx.Bucket([]byte(savedBucket))
		if saved.Sequence() >= uint64(b.number) { // of a transaction that had failed at its very end
			return nil
		}
		if err := saved.SetSequence(uint64(b.number)); err != nil {
			return err
		}
		day, err := tx.CreateBucketIfNotExists([]byte(b.day))
		if err != nil {
			return err
		}
		for i := range b.rows {
			key := pack(b.rows[i].key[Consumer:])
			c := readCount(day.Get(key))
			c.add(&b.rows[i].count)
			if err := day.Put(key, appendCount(nil, &c)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("file of usage: %w", err)
	}
	return nil
}

// forgetDays drops the days before earliest.
func forgetDays(tx *bbolt.Tx, earliest []byte) error {
	for c := tx.Cursor(); ; {
		day, _ := c.First()
		if day == nil || bytes.Compare(day, earliest) >= 0 {
			return nil
		}
		if err := tx.DeleteBucket(bytes.Clone(day)); err != nil {
			return err
		}
	}
}

func (f *file) read(_ context.Context, day string, each func(Key, *Count)) error {
	err := f.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(day))
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(key, value []byte) error {
			k := Key{day}
			if parts, ok := unpack(key, len(k)-1); ok {
				copy(k[Consumer:], parts)
				c := readCount(value)
				each(k, &c)
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("file of usage: %w", err)
	}
	return nil
}

func (f *file) close() error { return f.db.Close() }

func appendCount(b []byte, c *Count) []byte {
	for _, n := range c {
		b = binary.AppendVarint(b, n)
	}
	return b
}

// readCount reads as many measures as there are.
func readCount(b []byte) (c Count) {
	for i := range c {
		n, size := binary.Varint(b)
		if size <= 0 {
			return c
		}
		c[i], b = n, b[size:]
	}
	return c
}
