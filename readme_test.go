package herald_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// readmeBlocks are all blocks of README.md, in its order.
var readmeBlocks = []blockRow{
	{"sh", "go run ./cmd/herald dev", testReadmeDev},
	{"sh", "make test", testReadmeMake},
	{"", "srv.Broadcast", testReadmePicture},
	{"go", "package main", testReadmeProgram},
	{"sh", "go get ", func(t *testing.T, _ *readme, b docBlock) { testGoGet(t, b.text) }},
	{"sh", "curl -N ", besidesProgram},
	{"sh", "curl -X POST ", besidesProgram},
	{"go", "type OrderPaid struct", testReadmeEvents},
	{"sh", "export HERALD_API_KEY=", testReadmeServe},
	{"sh", "curl http://127.0.0.1:8080/api/v1/broadcast", testReadmeBroadcast},
	{"sh", "go run ./cmd/herald listen", testReadmeListen},
	{"sh", "go run ./cmd/herald broadcast", testReadmeBroadcast},
	{"js", "const socket = new WebSocket(", testReadmeScript},
	{"js", "const stream = new EventSource(", testReadmeScript},
	{"sh", "go run ./cmd/herald config check --all", testReadmeConfigCheck},
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
