package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

// developing starts herald dev and waits for all that it prints.
func developing(t *testing.T, env []string, args ...string) (p *program, url string) {
	t.Helper()
	p = start(t, env, append([]string{"dev"}, args...)...)
	p.await(t, p.stdout, `Auth secret +\S+\n`)
	first, _, _ := strings.Cut(p.stdout.String(), "\n")
	url, ok := strings.CutPrefix(first, "Herald is at ")
	if !ok {
		t.Fatalf("the first line is %q, want where Herald is", first)
	}
	ready(t, url)
	return p, url
}

func TestDevPrintsCommandsThatWork(t *testing.T) {
	p, url := developing(t, nil, "--addr", anyPort)
	commands := regexp.MustCompile(`(?m)^    herald (.*)$`).FindAllStringSubmatch(p.stdout.String(), -1)
	if len(commands) != 3 {
		t.Fatalf("got %d commands, want 3:\n%s", len(commands), p.stdout)
	}
	words := func(i int) []string {
		var words []string
		for _, word := range regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`).FindAllString(commands[i][1], -1) {
			words = append(words, strings.Trim(word, `'"`))
		}
		// Trim has taken quotes that belong to the JSON only where there are none.
		return words
	}
	watcher := start(t, nil, words(0)...)
	watcher.await(t, watcher.stderr, `listening to channel announcements`)
	watcher.await(t, watcher.stderr, `listening to events \*\*`)
	invoke(t, nil, words(1)...).want(t, 0, "sent to 1 channel\n", "")
	watcher.await(t, watcher.stdout, `(?m)^\d\d:\d\d:\d\d  announcements  announcement  \{"text":"Hello"\}$`)
	published := invoke(t, nil, words(2)...)
	watcher.await(t, watcher.stdout, `(?m)^\d\d:\d\d:\d\d  user.registered  `+strings.TrimSpace(published.stdout)+`  \{"userId":"demo"\}$`)
	watcher.signals <- syscall.SIGINT
	if got := watcher.wait(); got != 0 {
		t.Errorf("listen: got status %d after Ctrl-C, want 0", got)
	}
	for _, line := range regexp.MustCompile(`(?m)^    curl .*$`).FindAllString(p.stdout.String(), -1) {
		parts := regexp.MustCompile(`curl (?:-H "([^"]+)" )+(\S+) -d '([^']+)'`).FindStringSubmatch(line)
		if parts == nil || !strings.HasPrefix(parts[2], url) || !json.Valid([]byte(parts[3])) {
			t.Errorf("not to be pasted: %s", line)
		}
	}
	p.signals <- syscall.SIGINT
	if got := p.wait(); got != 0 {
		t.Errorf("dev: got status %d after Ctrl-C, want 0\n%s", got, p.stderr)
	}
}

func TestDevUsesGivenSecretsAndDoesNotShowThem(t *testing.T) {
	env := []string{"HERALD_API_KEY=" + secret1, "HERALD_JWT_SECRET=" + secret2, "HERALD_JWT_ISSUER=me"}
	p, at := developing(t, env, "--addr", anyPort)
	if got := apiStatus(t, http.DefaultClient, at, secret1); got != http.StatusOK {
		t.Errorf("with the given key: got %d, want 200", got)
	}
	text := p.stdout.String() + p.stderr.String()
	if strings.Contains(text, secret1) || strings.Contains(text, secret2) {
		t.Errorf("a given secret is shown:\n%s", text)
	}
	if !strings.Contains(text, `--api-key "$HERALD_API_KEY"`) {
		t.Errorf("the commands do not name the given key:\n%s", text)
	}
	token := p.await(t, p.stdout, `--token (\S+)`)[1]
	if claims := claimsOf(t, token, secret2); claims["sub"] != "demo" || claims["iss"] != "me" {
		t.Errorf("got %v, want the demo user's token", claims)
	}
}

func TestDevTakesAnotherPortIfItsOwnIsTaken(t *testing.T) {
	taken := takenAddress(t)
	v := variation{anyPort: func(o *options) bool { _, chosen := o.given["addr"]; return !chosen }}
	o := &options{addr: taken, given: layer{}}
	d, err := openDoors(o, v.anyPort, nil, discard)
	if err != nil {
		t.Fatalf("got %v, want another port", err)
	}
	defer d.close()
	if got := d.client.listener.Addr().String(); got == taken || !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("got %s, want another port of 127.0.0.1", got)
	}
	if got := invoke(t, nil, "dev", "--addr", taken); got.status != 1 || !strings.Contains(got.stderr, taken+" is taken: ") {
		t.Errorf("a chosen address: got status %d and %q, want 1 and that it is taken", got.status, got.stderr)
	}
}

// TestDevDeliversToThisMachine: the receiver of a webhook that is being written listens here.
func TestDevDeliversToThisMachine(t *testing.T) {
	got := make(chan string, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("webhook-id") }))
	t.Cleanup(receiver.Close)
	_, at := developing(t, []string{"HERALD_API_KEY=" + secret1}, "--addr", anyPort)
	if got := callAPI(t, http.DefaultClient, at+"/api/v1/webhooks", secret1, `{"url":"`+receiver.URL+`"}`); got != http.StatusCreated {
		t.Fatalf("make a webhook: got %d, want 201", got)
	}
	if got := callAPI(t, http.DefaultClient, at+"/api/v1/events", secret1, `{"type":"order.paid","id":"evt-1"}`); got != http.StatusAccepted {
		t.Fatalf("publish: got %d, want 202", got)
	}
	select {
	case id := <-got:
		if id != "evt-1" {
			t.Errorf("got %q, want evt-1", id)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing was delivered")
	}
}

func TestDevStaysOnThisMachine(t *testing.T) {
	for _, addr := range []string{":8080", "0.0.0.0:8080", "192.0.2.1:8080", "example.com:8080"} {
		got := invoke(t, []string{"HERALD_ADDR=" + addr}, "dev")
		want := "herald: HERALD_ADDR (environment): herald dev is open to everybody who reaches it, so it listens on this machine only, not on " + addr + "; use 127.0.0.1, or herald serve\n"
		got.want(t, 2, "", want)
	}
}

func TestDevServesTheDemoPage(t *testing.T) {
	_, at := developing(t, nil, "--addr", anyPort)
	resp, err := http.Get(at + "/main.js")
	if err != nil {
		t.Fatalf("GET: %v", err)
	}
	resp.Body.Close()
	for header, want := range map[string]string{
		"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' " +
			strings.Replace(at, "http", "ws", 1) + " " + strings.Replace(at, "http", "wss", 1) + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	} {
		if got := resp.Header.Get(header); got != want {
			t.Errorf("%s: got %q, want %q", header, got, want)
		}
	}
	if got := getStatus(t, http.DefaultClient, at+"/"); got != http.StatusOK {
		t.Errorf("/: got %d, want 200", got)
	}
	if got := getStatus(t, http.DefaultClient, at+"/main.js", "Host", "evil.example.com"); got != http.StatusForbidden {
		t.Errorf("by another name: got %d, want 403", got)
	}
	if got := getStatus(t, http.DefaultClient, at+"/nothing"); got != http.StatusNotFound {
		t.Errorf("/nothing: got %d, want 404", got)
	}
}

func TestDevIsOpenToThePagesOfThisMachine(t *testing.T) {
	_, at := developing(t, nil, "--addr", anyPort)
	for origin, want := range map[string]bool{
		at: true, "http://localhost:5173": true, "https://127.0.0.1:5173": true, "http://[::1]:5173": true,
		"http://evil.example.com": false, "http://localhost.example.com:80": false, "null": false,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, at+"/ws/auth", nil)
		if err != nil {
			t.Fatalf("make a request: %v", err)
		}
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", http.MethodPost)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("OPTIONS: %v", err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Access-Control-Allow-Origin") == origin; got != want {
			t.Errorf("%s: allowed is %v, want %v", origin, got, want)
		}
	}
}

type session struct{ Token, UserID, Name, APIKey, URL string }

func TestDemoSession(t *testing.T) {
	p, at := developing(t, nil, "--addr", anyPort)
	secret := p.await(t, p.stdout, `JWT secret +(\S+)`)[1]
	ask := func(query url.Values) (got session) {
		t.Helper()
		resp, err := http.Get(at + "/demo/session?" + query.Encode())
		if err != nil {
			t.Fatalf("GET: %v", err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || json.Unmarshal(text, &got) != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("got %s and %s", resp.Status, text)
		}
		claims := claimsOf(t, got.Token, secret)
		if claims["sub"] != got.UserID || claims["name"] != got.Name || claims["exp"].(float64)-claims["iat"].(float64) != 3600 {
			t.Errorf("got claims %v, want those of %+v for an hour", claims, got)
		}
		return got
	}
	fresh := ask(nil)
	if !regexp.MustCompile(`^[a-z]+-[a-z]+-\d\d$`).MatchString(fresh.UserID) || !regexp.MustCompile(`^[A-Z][a-z]+ [A-Z][a-z]+$`).MatchString(fresh.Name) {
		t.Errorf("got %+v, want somebody like amber-otter-42, Amber Otter", fresh)
	}
	if got := apiStatus(t, http.DefaultClient, fresh.URL, fresh.APIKey); got != http.StatusOK {
		t.Errorf("its API key at its URL: got %d, want 200", got)
	}
	if got := ask(url.Values{"userId": {"ada.1"}, "name": {"Ada Lovelace"}}); got.UserID != "ada.1" || got.Name != "Ada Lovelace" {
		t.Errorf("got %+v, want ada.1 and Ada Lovelace", got)
	}
	for _, query := range []url.Values{{"userId": {"a b"}}, {"userId": {strings.Repeat("a", 65)}}, {"name": {"a\nb"}}, {"name": {strings.Repeat("é", 65)}}} {
		if got := getStatus(t, http.DefaultClient, at+"/demo/session?"+query.Encode()); got != http.StatusBadRequest {
			t.Errorf("%v: got %d, want 400", query, got)
		}
	}
	for _, headers := range [][]string{
		{"Host", "evil.example.com"}, {"Origin", "http://evil.example.com"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"}, {"Host", "127.0.0.1.example.com"}, {"Host", "localhost:80;x"},
	} {
		if got := getStatus(t, http.DefaultClient, at+"/demo/session", headers...); got != http.StatusForbidden {
			t.Errorf("%v: got %d, want 403", headers, got)
		}
	}
	if got := getStatus(t, http.DefaultClient, at+"/demo/session", "Origin", at, "Sec-Fetch-Site", "same-origin"); got != http.StatusOK {
		t.Errorf("from the page itself: got %d, want 200", got)
	}
}

func TestServeHasNoDemo(t *testing.T) {
	_, at := serving(t, []string{"HERALD_JWT_SECRET=" + secret1})
	for _, path := range []string{"/", "/demo/session", "/main.js"} {
		if got := getStatus(t, http.DefaultClient, at+path); got != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, got)
		}
	}
}

func TestPagesHaveTheirTypes(t *testing.T) {
	d := &demo{pages: fstest.MapFS{"index.html": {}, "a.css": {}, "b/c.js": {}, "d.svg": {}}, clients: http.NotFoundHandler()}
	for path, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/a.css": "text/css; charset=utf-8", "/b/c.js": "text/javascript; charset=utf-8", "/d.svg": "image/svg+xml",
	} {
		w := recordGet(d, path)
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != want {
			t.Errorf("%s: got %d and %q, want 200 and %q", path, w.Code, got, want)
		}
	}
	if w := recordGet(d, "/b"); w.Code != http.StatusNotFound {
		t.Errorf("a directory: got %d, want 404", w.Code)
	}
}

func TestDevHelpShowsItsOwnDefaults(t *testing.T) {
	for command, want := range map[string][]string{
		"dev":   {"join private channels: claims, authenticated, or the address of your callback. [authenticated]", "may see domain events: claims or authenticated. [authenticated]", "closed over this time. [1s]"},
		"serve": {"join private channels: claims, authenticated, or the address of your callback. [claims]", "may see domain events: claims or authenticated. [claims]", "closed over this time. [10s]"},
	} {
		help := strings.Join(strings.Fields(invoke(t, nil, command, "--help").stdout), " ")
		for _, w := range want {
			if !strings.Contains(help, w) {
				t.Errorf("herald %s --help does not say %q:\n%s", command, w, help)
			}
		}
	}
}

func TestSelf(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	for exe, want := range map[string]string{
		"/tmp/go-build123/b001/exe/herald":       "go run ./cmd/herald",
		"/var/cache/go/0a/" + hash + "-d/herald": "go run ./cmd/herald",
		"/var/cache/go/0a/" + hash + "/herald":   "herald",
		"/usr/local/bin/herald":                  "herald",
	} {
		if got := self(exe, nil); got != want {
			t.Errorf("%s: got %q, want %q", exe, got, want)
		}
	}
	if got := self("", errors.ErrUnsupported); got != "herald" {
		t.Errorf("unknown: got %q, want herald", got)
	}
}
