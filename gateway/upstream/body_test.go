package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http/httputil"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBody_Chunks(t *testing.T) {
	for name, c := range map[string]struct {
		wire, want string
		err        error
	}{
		"one":                {"5\r\nhello\r\n0\r\n\r\n", "hello", io.EOF},
		"several":            {"5\r\nhello\r\n1;ext=1\r\n \r\n5\r\nworld\r\n0\r\n\r\n", "hello world", io.EOF},
		"trailers":           {"1\r\na\r\n0\r\nX-T: 1\r\n\r\n", "a", io.EOF},
		"empty":              {"0\r\n\r\n", "", io.EOF},
		"cut in content":     {"5\r\nhel", "hel", io.ErrUnexpectedEOF},
		"cut between chunks": {"5\r\nhello\r\n", "hello", io.ErrUnexpectedEOF},
		"cut before the end": {"5\r\nhello\r\n0\r\n", "hello", io.ErrUnexpectedEOF},
		"bad size":           {"zz\r\nhello\r\n", "", errChunk},
		"no CRLF":            {"5\r\nhelloXX1\r\na\r\n", "hello", errChunk},
		"huge size":          {"fffffffffffffff\r\n", "", errChunk},
	} {
		for _, way := range []struct {
			name string
			wrap func(io.Reader) io.Reader
		}{{"whole", func(r io.Reader) io.Reader { return r }}, {"by byte", iotest.OneByteReader}} {
			t.Run(name+" "+way.name, func(t *testing.T) {
				got, err := readAllOf(way.wrap(strings.NewReader(c.wire)), -1, 4)
				if string(got) != c.want || !errors.Is(err, c.err) {
					t.Errorf("read %q, %v; want %q, %v", got, err, c.want, c.err)
				}
			})
		}
	}
}

func TestBody_LengthAndClose(t *testing.T) {
	for name, c := range map[string]struct {
		wire   string
		length int
		want   string
		err    error
	}{
		"whole":       {"hello", 5, "hello", io.EOF},
		"longer wire": {"hello world", 5, "hello", io.EOF},
		"cut":         {"hel", 5, "hel", io.ErrUnexpectedEOF},
		"none":        {"", 0, "", io.EOF},
		"until close": {"hello", -2, "hello", io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAllOf(strings.NewReader(c.wire), c.length, 3)
			if string(got) != c.want || !errors.Is(err, c.err) {
				t.Errorf("read %q, %v; want %q, %v", got, err, c.want, c.err)
			}
		})
	}
}

func readAllOf(r io.Reader, length, room int) ([]byte, error) {
	var b body
	b.start(bufio.NewReader(r), length, false)
	var got []byte
	for {
		p, err := b.read(make([]byte, 0, room))
		got = append(got, p...)
		if err != nil {
			return got, err
		}
	}
}

// An event that has come whole is handed on, though the next chunk has only begun.
func TestBody_NeverWaitsWhileItHasSomething(t *testing.T) {
	client, engine := net.Pipe()
	defer client.Close()
	defer engine.Close()
	var b body
	b.start(bufio.NewReader(client), -1, false)
	for _, tail := range []string{"", "\r", "\r\n", "\r\n1", "\r\n1\r\n", "\r\n0\r\n"} {
		go func() { _, _ = io.WriteString(engine, "5\r\nhello"+tail) }()
		got, err := b.read(make([]byte, 0, 100))
		if string(got) != "hello" || err != nil {
			t.Fatalf("after %q: read %q, %v", tail, got, err)
		}
		b.start(bufio.NewReader(client), -1, false)
	}
}

// What is in one packet is returned together.
func TestBody_OnePacketIsOneRead(t *testing.T) {
	wire := strings.Repeat("4\r\nabcd\r\n", 50) + "0\r\n\r\n"
	var b body
	b.start(bufio.NewReaderSize(strings.NewReader(wire), 4096), -1, false)
	got, err := b.read(make([]byte, 0, 4096))
	if len(got) != 200 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v; want 200 and the end", len(got), err)
	}
}

func FuzzBody(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), 3)
	f.Add([]byte("1\r\na\r\n0\r\nX: y\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, wire []byte, room int) {
		room = 1 + (room&0xff+256)%256
		got, err := readAllOf(bytes.NewReader(wire), -1, room)
		want, wantErr := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(wire)))
		if wantErr == nil && errors.Is(err, io.EOF) && !bytes.Equal(got, want) {
			t.Errorf("read %q, the standard library %q", got, want)
		}
		if again, errAgain := readAllOf(iotest.OneByteReader(bytes.NewReader(wire)), -1, 7); !bytes.Equal(again, got) || errors.Is(err, io.EOF) != errors.Is(errAgain, io.EOF) {
			t.Errorf("read %q, %v in one piece, %q, %v by byte", got, err, again, errAgain)
		}
	})
}
