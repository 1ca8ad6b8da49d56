package herald_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A docBlock is a fenced block of README.md.
type docBlock struct {
	language, text string
}

// readmeBlocks are all blocks of README.md, in its order: what each begins with, and the test that
// finds out whether it works as it is written. A block without a row fails, and so does a row without
// its block.
var readmeBlocks = []struct {
	language, begins string
	test             func(*testing.T, *readme, docBlock)
}{
	{"sh", "go run ./cmd/herald dev", testReadmeDev},
	{"sh", "make test", testReadmeMake},
	{"", "srv.Broadcast", testReadmePicture},
	{"go", "package main", testReadmeProgram},
	{"go", "type OrderPaid struct", testReadmeEvents},
	{"sh", "export HERALD_API_KEY=", testReadmeServe},
	{"sh", "curl http://127.0.0.1:8080/api/v1/broadcast", testReadmeBroadcast},
	{"sh", "go run ./cmd/herald listen", testReadmeListen},
	{"sh", "go run ./cmd/herald broadcast", testReadmeBroadcast},
	{"js", "const socket = new WebSocket(", testReadmeScript},
	{"js", "const stream = new EventSource(", testReadmeScript},
	{"sh", "go run ./cmd/herald config check --all", testReadmeConfigCheck},
}

// TestReadme does what README.md tells its reader to do.
func TestReadme(t *testing.T) {
	t.Parallel()
	blocks := fencedBlocks(t, "README.md")
	r := newReadme(t, blocks)
	for _, block := range blocks {
		line, _, _ := strings.Cut(block.text, "\n")
		t.Run(block.language+" "+line, func(t *testing.T) {
			for _, row := range readmeBlocks {
				if row.language == block.language && strings.HasPrefix(block.text, row.begins) {
					row.test(t, r, block)
					return
				}
			}
			t.Errorf("no test knows this block, so nobody would see it break; give it a row in readmeBlocks:\n%s", block.text)
		})
	}
	for _, row := range readmeBlocks {
		if !slices.ContainsFunc(blocks, func(b docBlock) bool {
			return b.language == row.language && strings.HasPrefix(b.text, row.begins)
		}) {
			t.Errorf("README.md has no %s block any more that begins with %q", row.language, row.begins)
		}
	}
}

var fence = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

func fencedBlocks(t *testing.T, file string) []docBlock {
	t.Helper()
	var blocks []docBlock
	for _, m := range fence.FindAllStringSubmatch(readDoc(t, file), -1) {
		blocks = append(blocks, docBlock{m[1], m[2]})
	}
	return blocks
}

func readDoc(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("read the documentation: %v", err)
	}
	return string(text)
}

// TestReadmeLinks: every file that the documentation links to is there.
func TestReadmeLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`) // no scheme: a file of this repository
	for _, file := range []string{"README.md", "CONTRIBUTING.md"} {
		for _, m := range link.FindAllStringSubmatch(readDoc(t, file), -1) {
			if _, err := os.Stat(m[1]); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			}
		}
	}
}

// TestContributing: the commands of CONTRIBUTING.md are there, and so is what it says goes where.
func TestContributing(t *testing.T) {
	kinds := []struct {
		form *regexp.Regexp
		test func(*testing.T, string)
	}{
		{form: regexp.MustCompile("`(make(?: [^`]+)?)`"), test: testMakeCommand},
		{form: regexp.MustCompile("`(go test [^`]+)`"), test: testGoTestCommand},
		{form: regexp.MustCompile("`((?:internal|cmd)/\\w+)`"), test: testDirectory},
	}
	text := readDoc(t, "CONTRIBUTING.md")
	for _, kind := range kinds {
		found := kind.form.FindAllStringSubmatch(text, -1)
		if len(found) == 0 {
			t.Errorf("CONTRIBUTING.md has nothing like %v any more", kind.form)
		}
		for _, m := range found {
			t.Run(m[1], func(t *testing.T) { kind.test(t, m[1]) })
		}
	}
}

func testMakeCommand(t *testing.T, command string) { runShell(t, command+" --dry-run", nil) }

// testGoTestCommand checks that the packages are there; what they test runs anyway.
func testGoTestCommand(t *testing.T, command string) {
	runShell(t, "go list "+strings.TrimPrefix(command, "go test "), nil)
}

func testDirectory(t *testing.T, name string) {
	if info, err := os.Stat(name); err != nil || !info.IsDir() {
		t.Errorf("got %v, want a directory", err)
	}
}
