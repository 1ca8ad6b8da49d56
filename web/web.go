// Package web holds the pages that Herald serves, embedded in the binary. They
// are plain HTML, CSS and ES modules: no build step, no dependency, nothing
// loaded from elsewhere, and no inline script or style, so that they work under
// a strict Content-Security-Policy.
package web

import (
	"embed"
	"io/fs"
)

//go:embed demo
var pages embed.FS

// Demo returns the demo page, with index.html at its root. It expects Herald's
// own endpoints, and GET /demo/session, on the origin that serves it.
func Demo() fs.FS {
	demo, err := fs.Sub(pages, "demo")
	if err != nil {
		panic(err) // "demo" is a valid path: it is embedded above
	}
	return demo
}
