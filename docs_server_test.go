package herald_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/herald-events/herald/heraldtest"
)

const serverPage = "docs/server.md"

// serverBlocks are all blocks of docs/server.md, as readmeBlocks are those of README.md.
var serverBlocks = []blockRow{
	{"sh", "go build ", testServerBuild},
	{"yaml", "addr:", testServerFile},
	{"sh", "./herald config check", testServerCheck},
	{"sh", "./herald serve", testServerServe},
	{"yaml", "jwt_secret:", testServerRotation},
	{"sh", "curl ", testServerMetrics},
	{"nginx", "location /ws", testServerNginx},
	{"sh", "go run ./examples/cluster", testServerCluster},
	{"sh", "HERALD_ALLOWED_ORIGINS=", testServerOrigins},
}

// testServerTables: the tables of docs/server.md are those of the program.
func testServerTables(t *testing.T, r *readme) {
	text := readDoc(t, serverPage)
	var want [][]string
	for line := range strings.Lines(runShell(t, r.herald+" config check --all 2>/dev/null", nil)) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "default" {
			want = append(want, []string{f[0], strings.TrimPrefix(f[1], "-")})
		}
	}
	row := regexp.MustCompile("(?m)^\\| `(HERALD_\\w+|api_keys)` \\| .+ \\| (?:`(.+)` )?\\|$")
	if got := groups(row, text); !reflect.DeepEqual(got, want) || len(want) == 0 {
		t.Errorf("the settings are\n%q\nwant\n%q", got, want)
	}

	client := r.server.Dial(t)
	client.Close()
	var metrics string
	for !strings.Contains(metrics, "herald_connections_closed_total") { // counted right after the close
		metrics = fetch(t, r.server.URL+"/metrics")
	}
	named := groups(regexp.MustCompile("(?m)^\\| `(herald_\\w+)` \\| (\\w+) \\| "), text)
	there := groups(regexp.MustCompile(`(?m)^# TYPE (herald_\w+) (\w+)$`), metrics)
	for _, table := range [][][]string{named, there} {
		slices.SortFunc(table, slices.Compare)
	}
	if !reflect.DeepEqual(named, there) || len(there) == 0 {
		t.Errorf("the metrics are\n%q\nwant\n%q", named, there)
	}
}

func groups(re *regexp.Regexp, text string) [][]string {
	var all [][]string
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1:])
	}
	return all
}

func fetch(t *testing.T, url string) string {
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
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", url, res.Status, err)
	}
	return string(body)
}

// testServerBuild builds what the reader calls ./herald.
func testServerBuild(t *testing.T, r *readme, b docBlock) {
	program := filepath.Join(t.TempDir(), "herald")
	runShell(t, strings.Replace(b.text, "-o herald", "-o "+program, 1), nil)
	runShell(t, program+" version", nil)
}

// writeFile writes a block as the file of settings, and returns where it is.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "herald.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// pageFile is the first YAML file of the page.
func pageFile(t *testing.T) string {
	t.Helper()
	for _, b := range fencedBlocks(t, serverPage) {
		if b.language == "yaml" {
			return b.text
		}
	}
	t.Fatal("the page has no file")
	return ""
}

// local is a command of the page with the program that the test built, and with a file of settings.
func (r *readme) local(command, file string) string {
	return strings.NewReplacer("./herald ", r.herald+" ", "herald.yaml", file).Replace(command)
}

// testServerFile: each setting of the file is taken from it, and none is warned of.
func testServerFile(t *testing.T, r *readme, b docBlock) {
	got := runShell(t, r.herald+" config check --config "+writeFile(t, b.text), nil)
	for _, key := range groups(regexp.MustCompile(`(?m)^(\w+):`), b.text) {
		name := "HERALD_" + strings.ToUpper(key[0])
		if key[0] == "api_keys" {
			name = key[0]
		}
		if !regexp.MustCompile(`(?m)^` + name + ` .*herald\.yaml:\d+$`).MatchString(got) {
			t.Errorf("%s is not taken from the file:\n%s", key[0], got)
		}
	}
	if strings.Contains(got, "warning") {
		t.Errorf("got a warning:\n%s", got)
	}
}

func testServerCheck(t *testing.T, r *readme, b docBlock) {
	if got := runShell(t, r.local(b.text, writeFile(t, pageFile(t))), nil); !strings.Contains(got, "HERALD_ADMIN_ADDR") {
		t.Errorf("got no setting of the file:\n%s", got)
	}
}

// anyPort has a server take what ports there are, whatever its file says.
var anyPort = []string{"HERALD_ADDR=127.0.0.1:0", "HERALD_ADMIN_ADDR=127.0.0.1:0", "HERALD_DRAIN_TIMEOUT=100ms", "HERALD_LOG_FORMAT=text"}

func testServerServe(t *testing.T, r *readme, b docBlock) {
	p := startShell(t, r.local(b.text, writeFile(t, pageFile(t))), anyPort)
	m := p.await(t, `herald is listening.* addr=(\S+).* admin_addr=(\S+)`)
	if !isReady(t, m[2]) || isReady(t, m[1]) {
		t.Error("want the health checks at the admin address, and not at the other one")
	}
	p.terminate(t)
}

// testServerRotation: after SIGHUP tokens of the new secret are good, those of the old one are still.
func testServerRotation(t *testing.T, r *readme, b docBlock) {
	before := pageFile(t)
	file := writeFile(t, before)
	p := startShell(t, r.local("./herald serve --config herald.yaml", file), anyPort)
	client := (&heraldtest.Server{URL: p.await(t, `herald is listening.* addr=(\S+)`)[1]}).Dial(t)
	if runtime.GOOS == "windows" {
		return // which has no SIGHUP
	}
	if err := os.WriteFile(file, []byte(rotated(before, b.text)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.await(t, `settings reloaded.*jwt_secret.*auth_secret`)
	secrets := groups(regexp.MustCompile(`(?m)^  - (.*login.*)$`), b.text)
	if len(secrets) != 2 || !strings.Contains(before, secrets[1][0]) {
		t.Fatalf("got the secrets %q, want a new one and that of the file", secrets)
	}
	for _, secret := range secrets {
		client.Authenticate(strings.TrimSpace(runShell(t, r.herald+" token --sub ann --jwt-secret "+secret[0], nil)))
	}
}

// rotated is a file of settings with some of them replaced.
func rotated(file, replacement string) string {
	for _, key := range groups(regexp.MustCompile(`(?m)^(\w+):`), replacement) {
		file = regexp.MustCompile(`(?m)^`+key[0]+`: .*\n`).ReplaceAllString(file, "")
	}
	return file + replacement
}

func testServerMetrics(t *testing.T, r *readme, b docBlock) {
	if got := runShell(t, r.script(b.text), nil); !strings.Contains(got, "herald_channels ") {
		t.Errorf("got no metrics:\n%s", got)
	}
}

// testServerNginx has nginx check the block, where there is nginx. Elsewhere only its braces count.
func testServerNginx(t *testing.T, _ *readme, b docBlock) {
	if strings.Count(b.text, "{") != strings.Count(b.text, "}") {
		t.Error("its braces do not match")
	}
	for _, m := range groups(regexp.MustCompile(`(?m)^    (\S+) .*[^;]$`), b.text) {
		t.Errorf("%s has no semicolon", m[0])
	}
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Log("no nginx: its own check is left out")
		return
	}
	dir, err := os.MkdirTemp("", "herald-nginx") // t.TempDir has the braces of the block's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := filepath.Join(dir, "nginx.conf")
	text := "pid \"" + dir + "/pid\";\nerror_log \"" + dir + "/error.log\";\nevents {}\nhttp {\naccess_log off;\n" +
		"server {\nlisten \"unix:" + dir + "/nginx.sock\";\n" + b.text + "}\n}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	runShell(t, nginx+" -t -p "+dir+" -e "+dir+"/early.log -c "+config, nil)
}

// testServerOrigins: pages of both origins may connect, and those of others may not.
func testServerOrigins(t *testing.T, r *readme, b docBlock) {
	command := strings.TrimSpace(b.text)
	p := startShell(t, "export "+strings.Replace(r.local(command, ""), " "+r.herald, "\n"+r.herald, 1), anyPort[:1])
	url := p.await(t, `herald is listening.*(http://[^"\s]+)`)[1]
	server := &heraldtest.Server{URL: url}
	for _, host := range []string{"localhost", "127.0.0.1"} {
		server.Dial(t, heraldtest.WithHeader("Origin", "http://"+net.JoinHostPort(host, "8080")))
	}
	if _, err := server.TryDial(t, heraldtest.WithHeader("Origin", "http://example.com")); err == nil {
		t.Error("a page of another origin connected")
	}
}
