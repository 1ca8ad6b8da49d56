package web

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

// reference finds what a page, a style sheet or a module loads.
var reference = regexp.MustCompile(`(?:src="|href="|from "|import ")([^"#)]+)`)

// TestDemoIsSelfContained holds the package's promise: whatever the demo page
// loads is embedded beside it.
func TestDemoIsSelfContained(t *testing.T) {
	demo := Demo()
	loaded := map[string]bool{"index.html": true}
	for _, name := range files(t, demo) {
		for _, m := range reference.FindAllStringSubmatch(read(t, demo, name), -1) {
			target := path.Join(path.Dir(name), m[1])
			if m[1] == "./" || target == name {
				continue
			}
			if _, err := fs.Stat(demo, target); err != nil {
				t.Errorf("%s loads %q: got %v, want a file of the page", name, m[1], err)
			}
			loaded[target] = true
		}
	}
	for _, name := range files(t, demo) {
		if !loaded[name] {
			t.Errorf("%s is embedded, but nothing loads it", name)
		}
	}
}

// TestDemoNeedsNoInlineCode keeps the page usable under script-src 'self' and
// style-src 'self', and keeps what others wrote out of the HTML parser.
func TestDemoNeedsNoInlineCode(t *testing.T) {
	inline := regexp.MustCompile(`<style|<script>|\sstyle="|\son[a-z]+="|javascript:`)
	unsafe := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`)
	demo := Demo()
	for _, name := range files(t, demo) {
		text, forbidden := read(t, demo, name), unsafe
		if strings.HasSuffix(name, ".html") {
			forbidden = inline
		}
		if got := forbidden.FindString(text); got != "" {
			t.Errorf("%s: got %q, want none", name, got)
		}
	}
}

func files(t *testing.T, fsys fs.FS) []string {
	t.Helper()
	names, err := fs.Glob(fsys, "*")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatal("got no files, want the demo page")
	}
	return names
}

func read(t *testing.T, fsys fs.FS, name string) string {
	t.Helper()
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
