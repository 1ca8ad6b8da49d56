// Herald delivers a backend's events over WebSocket and SSE. This program is the server, a server to
// try it out with, and the commands that talk to either. It is the only place where settings have
// names: everything else is told by a herald.Config.
package main

import (
	"context"
	"os"
	"strings"
)

func main() {
	os.Exit(run(context.Background(), process{
		self:    self(),
		args:    os.Args[1:],
		environ: os.Environ,
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		signals: notify,
	}))
}

// self is what to type for this program again: go run leaves nothing that could be called by name.
func self() string {
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, "go-build") {
		return "go run ./cmd/herald"
	}
	return "herald"
}
