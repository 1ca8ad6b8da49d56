package herald_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const jobsPage = "docs/jobs.md"

// TestJobsPage: the Go of docs/jobs.md is one application. It is built, its tests are run, and while it runs the
// commands of the page are.
func TestJobsPage(t *testing.T) {
	t.Parallel()
	files := map[string]string{"any_address.go": anyAddress}
	var commands []string
	var stats string
	for i, b := range fencedBlocks(t, jobsPage) {
		switch {
		case b.language == "go" && strings.Contains(b.text, "*testing.T"):
			files[fmt.Sprintf("block%d_test.go", i)] = goFileOf(b.text)
		case b.language == "go":
			files[fmt.Sprintf("block%d.go", i)] = strings.Replace(goFileOf(b.text), "web.ListenAndServe()", "listenAnywhere(web)", 1)
		case b.language == "sh":
			commands = append(commands, b.text)
		case b.language == "json":
			stats = strings.TrimSpace(b.text)
		default:
			t.Errorf("no test knows this %q block, so nobody would see it break:\n%s", b.language, b.text)
		}
	}
	overlay := overlayGo(t, files)
	if got := runShell(t, "go test -count=1 -v -overlay "+overlay+" ./"+overlaid, nil); !strings.Contains(got, "--- PASS: TestWelcome") {
		t.Errorf("TestWelcome did not pass:\n%s", got)
	}
	program := startShell(t, buildOverlaid(t, overlay), nil)
	env := []string{"HERALD_URL=http://" + program.await(t, `^listening at (\S+)`)[1], "HERALD_API_KEY=choose-a-long-api-key"}
	awaitShell(t, commands[0], env, stats)
	for i, want := range []string{stats, `"lastError":"there is no such address"`, `{"retried":`, ""} {
		if got := runShell(t, commands[i], env); !strings.Contains(got, want) {
			t.Errorf("%s\n%s\nwant %s", commands[i], got, want)
		}
	}
	program.terminate(t)
}

// awaitShell runs a script again and again until it says something.
func awaitShell(t *testing.T, script string, env []string, want string) {
	t.Helper()
	late := time.After(patience)
	for look := time.NewTicker(50 * time.Millisecond); ; {
		got := strings.TrimSpace(runShell(t, script, env))
		if got == want {
			return
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("%s\n%s\nwant %s", script, got, want)
		}
	}
}
