package config

import (
	"errors"
	"fmt"
	"strings"
)

// Fault is one thing wrong with a configuration.
type Fault struct {
	File    string // name of the file, or "--pool"
	Line    int    // from 1; 0 = no place in a file
	Column  int    // from 1
	Path    string // such as pools[0].endpoints[1].url; "" = the file itself
	Message string // what is wrong
	Remedy  string // what to do about it
}

// Faults are all the things wrong with a configuration, in the order of the file. It is the error of Load, Parse and Validate.
type Faults []Fault

// mark is a place in the file.
type mark struct{ line, column int }

// String returns the fault as one line: file:line:column: path: message; remedy.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	b.WriteString(": ")
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Message)
	if f.Remedy != "" {
		b.WriteString("; " + f.Remedy)
	}
	return b.String()
}

// Error returns the faults, one a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// AsFaults returns the faults that err carries.
func AsFaults(err error) (Faults, bool) {
	var fs Faults
	ok := errors.As(err, &fs)
	return fs, ok
}
