package herald_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/herald-events/herald/internal/browsertest"
)

const libraryPage = "docs/library.md"

// anyAddress stands beside the application of docs/library.md, which listens where it can in a test.
const anyAddress = `package main

import (
	"fmt"
	"net"
	"net/http"
)

func listenAnywhere(web *http.Server) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening at", l.Addr())
	return web.Serve(l)
}
`

// TestLibraryPage: the Go of docs/library.md is one application. It is built, its tests are run, a page
// of it joins a channel by the page's script, and a signal ends it well.
func TestLibraryPage(t *testing.T) {
	t.Parallel()
	files := map[string]string{"any_address.go": anyAddress}
	var script string
	for i, b := range fencedBlocks(t, libraryPage) {
		switch {
		case b.language == "go" && strings.Contains(b.text, "*testing.T"):
			files[fmt.Sprintf("block%d_test.go", i)] = goFileOf(b.text)
		case b.language == "go":
			files[fmt.Sprintf("block%d.go", i)] = strings.Replace(goFileOf(b.text), "web.ListenAndServe()", "listenAnywhere(web)", 1)
		case b.language == "js" && script == "":
			script = b.text
		case b.language == "sh":
			testGoGet(t, b.text)
		default:
			t.Errorf("no test knows this %q block, so nobody would see it break:\n%s", b.language, b.text)
		}
	}
	overlay := overlayGo(t, files)
	got := runShell(t, "go test -count=1 -v -overlay "+overlay+" ./"+overlaid, nil)
	for name, text := range files {
		for _, m := range regexp.MustCompile(`func (Test\w+)`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(got, "--- PASS: "+m[1]) {
				t.Errorf("%s: %s did not pass:\n%s", name, m[1], got)
			}
		}
	}
	program := startShell(t, buildOverlaid(t, overlay), []string{"AUTH_SECRET=choose-a-long-secret"})
	url := "http://" + program.await(t, `^listening at (\S+)`)[1] + "/live"
	for !isReady(t, url) {
		continue // it serves from the moment that it listens, and says so before
	}
	testPageJoins(t, url, script)
	program.terminate(t)
}

// testPageJoins runs the script in a page that has a session, as the application's own pages have.
func testPageJoins(t *testing.T, url, script string) {
	t.Helper()
	if script == "" {
		t.Error("the page has no script")
	}
	if testing.Short() {
		t.Log("a browser is not for go test -short: the script is only parsed")
		parseScript(t, script)
		return
	}
	w := browsertest.Start(t).Open(t, url+"/healthz")
	w.Do(`window.logged = []; console.log = (...args) => logged.push(...args);
		document.cookie = "session=8f14e45f; path=/";` + script)
	w.Await(`logged.some((m) => m.type === "subscription_succeeded" && m.channel === "presence-lobby"
		&& m.data.members.length === 1 && m.data.members[0].id === "ann" && m.data.members[0].info.name === "Ann")`)
}

func parseScript(t *testing.T, script string) {
	t.Helper()
	parseJavaScript(t, script, "--check", "-")
}

// parseModule parses what imports.
func parseModule(t *testing.T, script string) {
	t.Helper()
	parseJavaScript(t, script, "--input-type=module", "--check", "-")
}

func parseJavaScript(t *testing.T, script string, args ...string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		return
	}
	c := exec.CommandContext(t.Context(), node, args...)
	c.Stdin = strings.NewReader(script)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, script)
	}
}

// testGoGet: what is got is this module.
func testGoGet(t *testing.T, command string) {
	t.Helper()
	module, found := strings.CutPrefix(strings.TrimSpace(command), "go get ")
	if got := strings.TrimSpace(runShell(t, "go list -m", nil)); !found || module != got {
		t.Errorf("%s: the module is %s", command, got)
	}
}

// knownImports are the packages that a fragment of the documentation may use.
var knownImports = []string{
	"context", "encoding/json", "errors", "log", "net/http", "os", "os/signal", "syscall", "testing", "time",
	"github.com/herald-events/herald", "github.com/herald-events/herald/heraldtest",
	"github.com/herald-events/herald/redisbroker", "github.com/herald-events/herald/sqlstore",
}

// goFileOf makes a file of a fragment: what a reader's editor would add stands before it.
func goFileOf(fragment string) string {
	if strings.HasPrefix(fragment, "package ") {
		return fragment
	}
	var used []string
	for _, path := range knownImports {
		name := path[strings.LastIndex(path, "/")+1:]
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(fragment) {
			used = append(used, fmt.Sprintf("\t%q\n", path))
		}
	}
	return "package main\n\nimport (\n" + strings.Join(used, "") + ")\n\n" + fragment
}
