package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker; a build without it tells its commit.
var version string

// VersionCmd prints what this binary is.
type VersionCmd struct{}

// Run prints one line.
func (VersionCmd) Run() error {
	_, err := fmt.Printf("warmlane %s %s %s/%s\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return "devel-" + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return "devel"
}
