package herald_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/browsertest"
)

// commandTime bounds a program that a test starts, below the five minutes that go test is given.
const commandTime = 4 * time.Minute

// readme is what the tests of README.md share: the program, and the server that its reader starts.
type readme struct {
	herald  string               // the program, built once
	server  *heraldtest.Server   // by its address alone
	command string               // the block that started it
	key     string               // its API key
	env     []string             // of a terminal in which the key is exported, as the reader is told
	browser *browsertest.Browser // nil under -short
}

func newReadme(t *testing.T, blocks []docBlock) *readme {
	t.Helper()
	r := &readme{herald: filepath.Join(t.TempDir(), "herald")}
	if runtime.GOOS == "windows" {
		r.herald += ".exe"
	}
	runShell(t, goBuild()+"-o "+r.herald+" ./cmd/herald", nil)
	r.serve(t, blocks)
	if !testing.Short() {
		r.browser = browsertest.Start(t)
	}
	return r
}

// goBuild builds as this test was built, with the race detector or without: go test has then compiled
// nearly everything before.
func goBuild() string {
	info, _ := debug.ReadBuildInfo()
	if info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return "go build -race -ldflags=-s "
	}
	return "go build -ldflags=-s "
}

// serve starts the server as README.md says.
func (r *readme) serve(t *testing.T, blocks []docBlock) {
	t.Helper()
	exported := regexp.MustCompile(`^export HERALD_API_KEY=(\S+)\n`)
	for _, b := range blocks {
		if m := exported.FindStringSubmatch(b.text); m != nil {
			r.command, r.key = b.text, m[1]
		}
	}
	if r.command == "" {
		t.Fatal("README.md has no block that exports HERALD_API_KEY and starts a server")
	}
	p := startShell(t, r.script(r.command), []string{"HERALD_ADDR=127.0.0.1:0"})
	url := p.await(t, `herald is listening.*(http://[^"\s]+)`)[1]
	r.server = &heraldtest.Server{URL: url}
	r.env = []string{"HERALD_API_KEY=" + r.key, "HERALD_URL=" + url}
}

// script is a block with the program for go run, and the server's address for the usual one.
func (r *readme) script(block string) string {
	block = strings.ReplaceAll(block, "go run ./cmd/herald", r.herald)
	if r.server != nil {
		block = strings.ReplaceAll(block, "127.0.0.1:8080", strings.TrimPrefix(r.server.URL, "http://"))
	}
	return block
}

// shellCommand is a script as its reader would paste it, but for the settings of whoever runs the test.
func shellCommand(ctx context.Context, script string, env []string) *exec.Cmd {
	c := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "HERALD_") && !strings.HasPrefix(entry, "MAKEFLAGS=") && !strings.HasPrefix(entry, "MAKELEVEL=") {
			c.Env = append(c.Env, entry)
		}
	}
	c.Env = append(append(c.Env, "GORACE=atexit_sleep_ms=0"), env...) // the race detector's second at every exit
	return c
}

// runShell runs a script to its end, which has to be a good one, and returns what it printed.
func runShell(t *testing.T, script string, env []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTime)
	defer cancel()
	out, err := shellCommand(ctx, script, env).CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%s%v", script, out, err)
	}
	return string(out)
}

// A running is a script that runs beside the test.
type running struct {
	process *os.Process
	lines   *bufio.Scanner
	said    strings.Builder
	ended   chan struct{} // closed when it has ended, with err
	err     error
}

// startShell runs a script until the test ends. Its last command takes the shell's place, so that it
// ends with it.
func startShell(t *testing.T, script string, env []string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	t.Cleanup(cancel)
	earlier, last, found := cutLast(strings.TrimSpace(script), "\n")
	if found {
		earlier += "\n"
	}
	c := shellCommand(ctx, earlier+"exec "+last, env)
	c.Dir = t.TempDir()
	out, in := io.Pipe()
	c.Stdout, c.Stderr = in, in
	if err := c.Start(); err != nil {
		t.Fatalf("%s\n%v", script, err)
	}
	r := &running{process: c.Process, lines: bufio.NewScanner(out), ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = c.Wait()
		in.CloseWithError(r.err)
	}()
	t.Cleanup(func() {
		cancel()
		_ = out.Close() // nobody reads any more: what it still writes must not hold it
		<-r.ended
	})
	return r
}

// terminate asks the program to end, reads what it still says, and wants it to end well.
func (r *running) terminate(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return // which has no such signal
	}
	if err := r.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for r.lines.Scan() {
		r.said.WriteString(r.lines.Text() + "\n")
	}
	<-r.ended
	if r.err != nil {
		t.Errorf("the program ended with %v:\n%s", r.err, r.said.String())
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// await reads until a line matches, and returns its groups.
func (r *running) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for r.lines.Scan() {
		r.said.WriteString(r.lines.Text() + "\n")
		if m := re.FindStringSubmatch(r.lines.Text()); m != nil {
			return m
		}
	}
	t.Fatalf("the program ended (%v) without a line like %q:\n%s", r.lines.Err(), pattern, r.said.String())
	return nil
}

func getOK(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("GET %s: got %s, want 200", url, res.Status)
	}
}
