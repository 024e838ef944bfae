package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxFill bounds a file that ${file:} names.
const maxFill = 64 << 10

// fill replaces ${env:NAME} and ${file:PATH} in text; $${ stands for a plain ${. filled tells whether anything was replaced; by notes
// what stood for which value.
func fill(text, dir string, read files, by map[string]string) (out string, filled bool, c *complaint) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String(), filled, nil
		}
		if strings.HasSuffix(before, "$") {
			b.WriteString(before + "{")
			text = rest
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", false, &complaint{"${ without a closing }", "write ${env:NAME} or ${file:PATH}, or $${ for a plain ${"}
		}
		value, c := lookUp(name, dir, read)
		if c != nil {
			return "", false, c
		}
		b.WriteString(before + value)
		by[value] = "${" + name + "}"
		text, filled = after, true
	}
}

// lookUp returns what ${name} stands for.
func lookUp(name, dir string, read files) (string, *complaint) {
	kind, arg, _ := strings.Cut(name, ":")
	switch {
	case kind == "env" && arg != "":
		value, ok := os.LookupEnv(arg)
		if !ok {
			return "", &complaint{fmt.Sprintf("environment variable %s is not set", arg), "set it before warmlane starts"}
		}
		if value == "" {
			return "", &complaint{fmt.Sprintf("environment variable %s is empty", arg), "give it a value"}
		}
		return value, nil
	case kind == "file" && arg != "":
		text, err := read.open(inDir(dir, arg), maxFill)
		if err != nil {
			return "", &complaint{fmt.Sprintf("file %s cannot be used: %v", arg, err), "create it, readable for this user, or correct the path"}
		}
		value := strings.TrimRight(string(text), "\r\n")
		if value == "" {
			return "", &complaint{fmt.Sprintf("file %s is empty", arg), "write the value into it"}
		}
		return value, nil
	}
	return "", &complaint{fmt.Sprintf("unknown reference ${%s}", name), "write ${env:NAME} or ${file:PATH}, or $${ for a plain ${"}
}

// unfill puts the references back into a text that may quote what they stood for. Values too short to be secrets, such as ports, stay.
func unfill(text string, by map[string]string) string {
	const shortest = 6
	for value, reference := range by {
		if len(value) >= shortest {
			quoted := strconv.Quote(value)
			text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], reference)
			text = strings.ReplaceAll(text, value, reference)
		}
	}
	return text
}

// readSmall reads a regular file of at most limit bytes: never a device or a pipe, which could hang the start.
func readSmall(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path) //nolint:gosec // the operator's own file names what to read
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, reason(err)
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("it is larger than %s", Size(limit))
	}
	return text, nil
}

// reason leaves the path out of a file error: the fault has named it as the file's author wrote it.
func reason(err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// inDir returns path as seen from dir.
func inDir(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
