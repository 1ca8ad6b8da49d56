// Herald delivers a backend's events over WebSocket and SSE. This program is the server, a server to
// try it out with, and the commands that talk to either. It is the only place where settings have
// names: everything else is told by a herald.Config.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), process{
		args:    os.Args[1:],
		environ: os.Environ,
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		signals: notify,
	}))
}
