package herald_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const modulePath = "github.com/herald-events/herald"

// A part is "herald" (the root package), a top directory, or one engine such as "internal/hub". A part may
// always import its own packages, and of the others what its row here says; "internal" stands for every
// engine. A directory without a row fails: a new part says where it stands before anything is built on it.
var mayImport = map[string][]string{
	"herald":      {"internal", "web"},
	"cmd":         {"herald", "internal", "redisbroker", "sqlstore", "heraldtest", "web"},
	"redisbroker": {"herald", "internal"},
	"sqlstore":    {"herald", "internal"},
	"heraldtest":  {"herald", "internal"},
	"examples":    {"herald", "redisbroker", "sqlstore", "heraldtest"},
	"web":         {},
}

// Tests of the root stand outside it (package herald_test) and hold whole promises: they may start what an
// embedder would put together.
var rootTestsMayImport = []string{"herald", "internal", "web", "heraldtest", "redisbroker", "sqlstore"}

// Tests of an adapter may start the real thing that it speaks to.
var (
	adapters              = []string{"redisbroker", "sqlstore"}
	adapterTestsMayImport = []string{"heraldtest"}
)

// Leaves are vocabularies: the time that a test can move, and the way names match (which is how bus and hub
// come to agree). They know nothing of the module, so any engine may speak them.
var leaves = []string{"internal/clock", "internal/pattern"}

// Beyond the leaves engines do not know each other, nor do their tests. These are the exceptions, each with
// its reason.
var internalEdges = map[string][]string{
	"internal/hub":        {"internal/socket"}, // the hub implements what a socket calls, and writes to sockets
	"internal/brokertest": {"herald"},          // the conformance suite of one of the root's interfaces
}

// These are what tests are made of: no program may carry them.
var testsOnly = []string{"internal/browsertest", "internal/brokertest"}

// A file that needs more lines than this is two files.
const maxLines = 600

// These names say nothing about what is inside, so everything ends up there.
var vagueNames = []string{"common", "helpers", "manager", "models", "service", "types", "utils"}

func TestArchitecture(t *testing.T) {
	for _, v := range architectureViolations(t, os.DirFS(".")) {
		t.Error(v)
	}
}

func TestArchitectureCheckerCanFail(t *testing.T) {
	importing := func(pkg string, parts ...string) string {
		src := "package " + pkg + "\n"
		for _, part := range parts {
			src += "import _ " + strconv.Quote(path.Join(modulePath, part)) + "\n"
		}
		return src
	}
	tests := []struct {
		name string
		file string
		src  string
		want string // part of the one violation; empty for none
	}{
		{"root imports an engine", "herald.go", importing("herald", "internal/hub"), ""},
		{"root imports an adapter", "herald.go", importing("herald", "redisbroker"), "herald.go imports " + modulePath + "/redisbroker: of this module herald may import only"},
		{"root imports below an adapter", "herald.go", importing("herald", "sqlstore/migrations"), "herald may import only"},
		{"root imports cmd", "herald.go", importing("herald", "cmd/herald"), "herald may import only"},
		{"root imports heraldtest", "herald.go", importing("herald", "heraldtest"), "herald may import only"},
		{"root's inner test imports heraldtest", "herald_test.go", importing("herald", "heraldtest"), "herald may import only"},
		{"root's outer test imports heraldtest", "herald_test.go", importing("herald_test", "", "heraldtest", "redisbroker"), ""},
		{"root's outer test imports cmd", "herald_test.go", importing("herald_test", "cmd/herald"), "herald may import only"},
		{"cmd imports everything", "cmd/herald/main.go", importing("main", "", "internal/bus", "sqlstore", "heraldtest", "web"), ""},
		{"an engine imports the root", "internal/bus/bus.go", importing("bus", ""), "internal/bus/bus.go imports " + modulePath + ":"},
		{"an engine's test imports the root", "internal/bus/bus_test.go", importing("bus_test", ""), "internal/bus may import"},
		{"an engine imports an engine", "internal/bus/bus.go", importing("bus", "internal/hub"), "internal/bus may import"},
		{"an engine's test imports an engine", "internal/bus/bus_test.go", importing("bus_test", "internal/wire"), "internal/bus may import"},
		{"an engine imports its own parts", "internal/bus/bus.go", importing("bus", "internal/bus/bustest"), ""},
		{"an engine imports leaves", "internal/bus/bus.go", importing("bus", "internal/pattern", "internal/clock"), ""},
		{"a leaf imports a leaf", "internal/pattern/pattern.go", importing("pattern", "internal/clock"), "internal/pattern may import"},
		{"hub imports socket", "internal/hub/hub.go", importing("hub", "internal/socket"), ""},
		{"socket imports hub", "internal/socket/socket.go", importing("socket", "internal/hub"), "internal/socket may import"},
		{"heraldtest imports an adapter", "heraldtest/heraldtest.go", importing("heraldtest", "", "internal/clock", "redisbroker"), "heraldtest may import"},
		{"an adapter imports heraldtest", "redisbroker/broker.go", importing("redisbroker", "", "heraldtest"), "redisbroker may import only"},
		{"an adapter's test imports heraldtest", "redisbroker/broker_test.go", importing("redisbroker", "", "heraldtest"), ""},
		{"cmd's test imports what is for tests", "cmd/herald/main_test.go", importing("main", "internal/browsertest"), ""},
		{"cmd imports what is for tests", "cmd/herald/main.go", importing("main", "internal/browsertest"), "which is for tests"},
		{"an engine's test imports what is for tests", "internal/bus/bus_test.go", importing("bus_test", "internal/browsertest"), "internal/bus may import"},
		{"a constraint hides nothing", "internal/bus/bus_plan9.go", "//go:build never\n\n" + importing("bus", "internal/hub"), "internal/bus may import"},
		{"a part without a row", "newpart/newpart.go", importing("newpart"), "newpart/newpart.go: newpart has no row"},
		{"an import of a part without a row", "cmd/herald/main.go", importing("main", "newpart"), "cmd may import"},
		{"a module of its own", "bench/peers/main.go", importing("main", "internal/hub"), ""},
		{"another module", "herald.go", "package herald\nimport _ \"github.com/herald-events/herald-go/cmd\"\n", ""},
		{"a vague name", "internal/utils/utils.go", importing("utils"), `package utils`},
		{"the vague name of a test", "internal/bus/bus_test.go", importing("helpers_test"), "package helpers"},
		{"as long as may be", "doc.go", importing("herald") + strings.Repeat("\n", maxLines-1), ""},
		{"too long", "doc.go", importing("herald") + strings.Repeat("\n", maxLines), "doc.go has 601 lines"},
		{"a long test", "doc_test.go", importing("herald_test") + strings.Repeat("\n", maxLines), ""},
		{"long and generated", "gen.go", "// Code generated by gen. DO NOT EDIT.\n\n" + importing("herald") + strings.Repeat("\n", maxLines), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := architectureViolations(t, fstest.MapFS{
				"go.mod":       {Data: []byte("module " + modulePath + "\n")},
				"bench/go.mod": {Data: []byte("module " + modulePath + "/bench\n")},
				tt.file:        {Data: []byte(tt.src)},
			})
			if tt.want == "" && len(got) > 0 {
				t.Errorf("got %q, want no violation", got)
			}
			if tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
				t.Errorf("got %q, want one violation with %q", got, tt.want)
			}
		})
	}
}

// architectureViolations says, a line each, where the module in fsys breaks the rules above.
func architectureViolations(t testing.TB, fsys fs.FS) []string {
	t.Helper()
	var violations []string
	for _, f := range goFiles(t, fsys) {
		violations = append(violations, f.sizeAndNameViolations()...)
		if _, known := f.allowed(); !known {
			violations = append(violations, fmt.Sprintf("%s: %s has no row in the table of who may import whom", f.name, partOf(path.Dir(f.name))))
			continue
		}
		for _, spec := range f.ast.Imports {
			if v := f.importViolation(spec); v != "" {
				violations = append(violations, v)
			}
		}
	}
	return violations
}

// A goFile is a file of the module, parsed up to its imports.
type goFile struct {
	name string // slash-separated, from the module's root
	src  []byte
	ast  *ast.File
}

func (f goFile) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

// goFiles parses every Go file of the module in fsys, whatever its build constraints. Modules within it
// are none of its business.
func goFiles(t testing.TB, fsys fs.FS) []goFile {
	t.Helper()
	var files []goFile
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipForeign(fsys, name)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly|parser.ParseComments)
		files = append(files, goFile{name, src, parsed})
		return err
	})
	if err != nil {
		t.Fatalf("read the module's files: %v", err)
	}
	return files
}

// skipForeign is fs.SkipDir for a directory that the go command would not look into either.
func skipForeign(fsys fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (f goFile) sizeAndNameViolations() []string {
	var violations []string
	if lines := strings.Count(string(f.src), "\n"); lines > maxLines && !f.isTest() && !ast.IsGenerated(f.ast) {
		violations = append(violations, fmt.Sprintf("%s has %d lines; a file has %d at most", f.name, lines, maxLines))
	}
	if pkg := strings.TrimSuffix(f.ast.Name.Name, "_test"); slices.Contains(vagueNames, pkg) {
		violations = append(violations, fmt.Sprintf("%s: package %s: the name does not say what is inside", f.name, pkg))
	}
	return violations
}

// importViolation is empty where the file may import what it does.
func (f goFile) importViolation(spec *ast.ImportSpec) string {
	imported := strings.Trim(spec.Path.Value, "\"`")
	dir, ok := strings.CutPrefix(imported+"/", modulePath+"/")
	if !ok {
		return "" // another module, or the standard library
	}
	allowed, _ := f.allowed()
	from, to := partOf(path.Dir(f.name)), partOf(path.Clean(dir))
	if slices.Contains(testsOnly, to) && from != to && !f.isTest() {
		return fmt.Sprintf("%s imports %s, which is for tests", f.name, imported)
	}
	if to == from || slices.Contains(allowed, to) || path.Dir(to) == "internal" && slices.Contains(allowed, "internal") {
		return ""
	}
	return fmt.Sprintf("%s imports %s: of this module %s may import only %q", f.name, imported, from, allowed)
}

// allowed is the parts that the file may import beside its own; false if no table knows its part.
func (f goFile) allowed() ([]string, bool) {
	part := partOf(path.Dir(f.name))
	if part == "herald" && f.ast.Name.Name == "herald_test" {
		return rootTestsMayImport, true
	}
	if path.Dir(part) != "internal" {
		allowed, ok := mayImport[part]
		if f.isTest() && slices.Contains(adapters, part) {
			allowed = slices.Concat(allowed, adapterTestsMayImport)
		}
		return allowed, ok
	}
	if slices.Contains(leaves, part) {
		return nil, true
	}
	return slices.Concat(leaves, internalEdges[part]), true
}

// partOf is the part that owns a directory: "herald", "cmd", "internal/hub".
func partOf(dir string) string {
	if dir == "." {
		return "herald"
	}
	top, below, _ := strings.Cut(dir, "/")
	if top != "internal" || below == "" {
		return top
	}
	engine, _, _ := strings.Cut(below, "/")
	return "internal/" + engine
}
