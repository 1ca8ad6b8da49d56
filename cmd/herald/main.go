// Herald delivers a backend's events over WebSocket and SSE. This program is the server, a server to
// try it out with, and the commands that talk to either. It is the only place where settings have
// names: everything else is told by a herald.Config.
package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	os.Exit(run(context.Background(), process{
		self:    self(os.Executable()),
		args:    os.Args[1:],
		environ: os.Environ,
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		signals: notify,
	}))
}

// cachedByGo is where go run keeps what it has built, below GOCACHE: a directory named by a hash.
var cachedByGo = regexp.MustCompile(`^[0-9a-f]{64}-d$`)

// self is what to type for the program at exe again: go run leaves nothing that could be called by name.
func self(exe string, err error) string {
	if err == nil && (strings.Contains(exe, "go-build") || cachedByGo.MatchString(filepath.Base(filepath.Dir(exe)))) {
		return "go run ./cmd/herald"
	}
	return "herald"
}
