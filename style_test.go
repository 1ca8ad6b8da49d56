package herald_test

import (
	"go/build"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The brackets keep these patterns from finding themselves.
var (
	sleeping = regexp.MustCompile(`\btime\.[S]leep\(`)
	leftToDo = regexp.MustCompile(`\b(T[O]DO|F[I]XME)\b`)
)

// LINT_SYSTEMS of the Makefile.
var lintedSystems = []string{"linux", "darwin", "windows"}

// TestStyle holds what no linter does: a test waits for what it waits for, nothing is left to do, every
// package says what it is for, and no file hides from the linter behind a build constraint.
func TestStyle(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range goFiles(t, os.DirFS(".")) {
		if f.isTest() {
			reportMatches(t, f, sleeping, "a test waits for an event or moves a clock, it does not sleep")
		} else {
			dir := path.Dir(f.name)
			documented[dir] = documented[dir] || f.ast.Doc != nil
		}
		reportMatches(t, f, leftToDo, "do it, or file an issue")
		if !isLinted(t, f) {
			t.Errorf("%s: make lint never sees it: it is built on none of %q", f.name, lintedSystems)
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: the package has no comment", dir)
		}
	}
}

func reportMatches(t *testing.T, f goFile, pattern *regexp.Regexp, advice string) {
	t.Helper()
	for i, line := range strings.Split(string(f.src), "\n") {
		if pattern.MatchString(line) {
			t.Errorf("%s:%d: %s: %s", f.name, i+1, strings.TrimSpace(line), advice)
		}
	}
}

// isLinted reports whether a system that make lint looks at builds the file.
func isLinted(t *testing.T, f goFile) bool {
	t.Helper()
	for _, system := range lintedSystems {
		target := build.Default
		target.GOOS = system
		target.CgoEnabled = false
		matches, err := target.MatchFile(filepath.Split(f.name))
		if err != nil {
			t.Fatalf("read the constraints of %s: %v", f.name, err)
		}
		if matches {
			return true
		}
	}
	return false
}
