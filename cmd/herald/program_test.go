package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A console is what a program prints, and lets a test wait for it.
type console struct {
	mu      sync.Mutex // guards the fields below
	text    strings.Builder
	changed chan struct{} // closed at the next write
}

func newConsole() *console { return &console{changed: make(chan struct{})} }

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
	return c.text.Write(p)
}

func (c *console) state() (text string, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String(), c.changed
}

func (c *console) String() string {
	text, _ := c.state()
	return text
}

// A program is a run of this one.
type program struct {
	stdout, stderr *console
	signals        chan os.Signal
	end            context.CancelFunc // the context's, as of an embedder; signals are the usual way
	done           chan struct{}
	status         int // once done is closed
}

// start runs the program beside the test; when the test ends, so does it.
func start(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	env = withStore(t, env, args)
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{stdout: newConsole(), stderr: newConsole(), signals: make(chan os.Signal, 6), end: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.status = run(ctx, process{
			args:    args,
			environ: func() []string { return env },
			stdin:   strings.NewReader(""),
			stdout:  p.stdout,
			stderr:  p.stderr,
			signals: func(...os.Signal) (<-chan os.Signal, func()) { return p.signals, func() {} },
		})
	}()
	t.Cleanup(func() { cancel(); <-p.done })
	return p
}

// withStore gives a server that would keep things in the working directory a directory of its own.
func withStore(t *testing.T, env, args []string) []string {
	t.Helper()
	isServer := len(args) > 0 && (args[0] == "serve" || args[0] == "audit")
	if !isServer || strings.Contains(strings.ToLower(strings.Join(slices.Concat(args, env), " ")), "store") {
		return env
	}
	return append(slices.Clone(env), "HERALD_STORE_URL=sqlite:"+filepath.Join(t.TempDir(), "herald.db"))
}

// await waits until the pattern is printed and returns its groups; a program that ends without is a
// failure.
func (p *program) await(t *testing.T, c *console, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for ended := false; ; {
		text, changed := c.state()
		if found := re.FindStringSubmatch(text); found != nil {
			return found
		}
		if ended {
			t.Fatalf("the program ended with %d and without %q\nstdout:\n%s\nstderr:\n%s", p.status, pattern, p.stdout, p.stderr)
		}
		select {
		case <-changed:
		case <-p.done:
			ended = true
		}
	}
}

func (p *program) wait() int {
	<-p.done
	return p.status
}

// A result is what a run to the end leaves.
type result struct {
	status         int
	stdout, stderr string
}

// invoke runs the program to its end.
func invoke(t *testing.T, env []string, args ...string) result {
	t.Helper()
	return invokeWith(t, "", env, args...)
}

func invokeWith(t *testing.T, stdin string, env []string, args ...string) result {
	t.Helper()
	env = withStore(t, env, args)
	var stdout, stderr strings.Builder
	status := run(t.Context(), process{
		args:    args,
		environ: func() []string { return env },
		stdin:   strings.NewReader(stdin),
		stdout:  &stdout,
		stderr:  &stderr,
		signals: func(...os.Signal) (<-chan os.Signal, func()) { return nil, func() {} },
	})
	return result{status, stdout.String(), stderr.String()}
}

func (r result) want(t *testing.T, status int, stdout, stderr string) {
	t.Helper()
	if r.status != status || r.stdout != stdout || r.stderr != stderr {
		t.Errorf("got status %d\nstdout:\n%sstderr:\n%s\nwant status %d\nstdout:\n%sstderr:\n%s", r.status, r.stdout, r.stderr, status, stdout, stderr)
	}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
	return path
}

// takenAddress is one at which somebody listens until the test ends.
func takenAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func getStatus(t *testing.T, client *http.Client, url string, headers ...string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatalf("make a request: %v", err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestOverviewNamesEveryCommand(t *testing.T) {
	for _, args := range [][]string{nil, {"help"}, {"--help"}} {
		got := invoke(t, nil, args...)
		for _, command := range []string{"dev", "serve", "publish", "broadcast", "listen", "token", "sign", "config check", "version"} {
			if !strings.Contains(got.stdout, "herald "+command+" ") {
				t.Errorf("herald %q does not name %q:\n%s", args, command, got.stdout)
			}
		}
		if got.status != 0 {
			t.Errorf("herald %q: got status %d, want 0", args, got.status)
		}
	}
}

func TestHelpShowsAnExample(t *testing.T) {
	for _, command := range []string{"dev", "serve", "publish", "broadcast", "listen", "token", "sign", "config check", "version"} {
		words := strings.Fields(command)
		got := invoke(t, nil, append(words, "--help")...)
		if got.status != 0 || !strings.Contains(got.stdout, "    herald "+command) && !strings.Contains(got.stdout, "| herald "+command) {
			t.Errorf("herald %s --help: status %d, without an example:\n%s%s", command, got.status, got.stdout, got.stderr)
		}
		if again := invoke(t, nil, append([]string{"help"}, words...)...); again.stdout != got.stdout {
			t.Errorf("herald help %s differs from herald %[1]s --help:\n%s", command, again.stdout)
		}
	}
}

func TestUsage(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		stderr string
	}{
		{"unknown command", []string{"brodcast"}, `herald: "brodcast" is no command of "herald"; did you mean broadcast?`},
		{"unknown command of config", []string{"config", "chekc"}, `herald: "chekc" is no command of "herald config"; did you mean check?`},
		{"nothing near", []string{"xyzzyxyzzy"}, `herald: "xyzzyxyzzy" is no command of "herald"`},
		{"no subcommand", []string{"config"}, `herald: expected "check"`},
		{"no argument", []string{"publish"}, `herald: expected "<type>"`},
		{"unknown flag", []string{"version", "--verbose"}, `herald: unknown flag --verbose`},
		{"nothing to listen to", []string{"listen"}, `herald: say what to listen to: --channel orders, or --event 'user.*' with --token`},
		{"events without a user", []string{"listen", "--event", "**"}, `herald: domain events are for users: --token is needed (herald token makes one)`},
		{"a wrong address", []string{"listen", "--channel", "a", "--url", "localhost"}, `herald: the server's address has to be like http://127.0.0.1:8080 (--url, HERALD_URL)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := invoke(t, nil, tt.args...)
			if got.status != 2 || !strings.HasPrefix(got.stderr, tt.stderr) {
				t.Errorf("got status %d and %q, want 2 and %q", got.status, got.stderr, tt.stderr)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	got := invoke(t, nil, "version")
	if want := regexp.MustCompile(`^herald \S+ \(go1\.\S+, \w+/\w+\)\n$`); got.status != 0 || !want.MatchString(got.stdout) {
		t.Errorf("got status %d and %q, want 0 and %v", got.status, got.stdout, want)
	}
}

// answering is a server that keeps the last request and always answers the same.
func answering(t *testing.T, status int, answer string) (url string, last func() string) {
	t.Helper()
	requests := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body strings.Builder
		if err := r.Write(&body); err != nil {
			t.Errorf("read the request: %v", err)
		}
		_, text, _ := strings.Cut(body.String(), "\r\n\r\n")
		requests <- fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("Authorization"), text)
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() string { return <-requests }
}

var discard = slog.New(slog.DiscardHandler)

func recordGet(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "localhost:8080"
	h.ServeHTTP(w, r)
	return w
}
