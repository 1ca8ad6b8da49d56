package herald_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// testReadmeDev: the first line is the page's address, and the commands below it are ready to paste.
func testReadmeDev(t *testing.T, r *readme, b docBlock) {
	p := startShell(t, r.script(b.text), []string{"HERALD_ADDR=127.0.0.1:0"})
	first := p.await(t, "")
	url, found := strings.CutPrefix(p.said.String(), "Herald is at ")
	if !found {
		t.Fatalf("the first line is %q, want the address of the demo page", first)
	}
	getOK(t, strings.TrimSpace(url))
	p.await(t, "Auth secret")

	var listener *running
	channel := regexp.MustCompile(`listen --channel (\S+)`).FindStringSubmatch(p.said.String())
	said := regexp.MustCompile(`-d '\{"channel":"\S+?","event":"(\w+)","data":(\{.*\})\}'`).FindStringSubmatch(p.said.String())
	if channel == nil || said == nil {
		t.Fatalf("there is no command that listens, or none that broadcasts:\n%s", p.said.String())
	}
	for _, m := range regexp.MustCompile(`(?m)^ +((?:herald|curl) .*)$`).FindAllStringSubmatch(p.said.String(), -1) {
		command := regexp.MustCompile(`^herald `).ReplaceAllLiteralString(m[1], r.herald+" ")
		if !strings.Contains(command, " listen ") {
			runShell(t, command, nil)
			continue
		}
		listener = startShell(t, command, nil)
		listener.await(t, "listening to channel "+channel[1])
		listener.await(t, "listening to events")
	}
	for range 2 { // by the command line and by curl
		listener.await(t, channel[1]+" .*"+said[1]+" .*"+regexp.QuoteMeta(said[2]))
	}
	for range 2 {
		listener.await(t, `user\.registered .*{"userId":"demo"}`)
	}
}

// testReadmeMake does not run the tests, which it is one of.
func testReadmeMake(t *testing.T, _ *readme, b docBlock) {
	testMakeCommand(t, strings.TrimSpace(b.text))
}

// testReadmePicture: the methods and the paths in the picture are those of the server.
func testReadmePicture(t *testing.T, r *readme, b docBlock) {
	for _, m := range regexp.MustCompile(`srv\.(\w+)`).FindAllStringSubmatch(b.text, -1) {
		if _, ok := reflect.TypeFor[*herald.Server]().MethodByName(m[1]); !ok {
			t.Errorf("a Server has no method %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(POST )?(/\S+)`).FindAllStringSubmatch(b.text, -1) {
		method := http.MethodGet
		if m[1] != "" {
			method = http.MethodPost
		}
		req, err := http.NewRequestWithContext(t.Context(), method, r.server.URL+m[2], nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed {
			t.Errorf("%s %s: got %s, want an endpoint", method, m[2], res.Status)
		}
	}
}

// knownPort stands beside the program of README.md, whose own address would be anybody's guess: it
// serves the same mux where it is free to, and says where.
const knownPort = `package main

import (
	"fmt"
	"net"
	"net/http"
)

func init() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fmt.Println("listening at", l.Addr(), err)
	go http.Serve(l, nil)
}
`

// testReadmeProgram builds and runs the program, and does with it what the commands below it do.
func testReadmeProgram(t *testing.T, _ *readme, b docBlock) {
	program := buildGo(t, strings.ReplaceAll(b.text, "127.0.0.1:8080", "127.0.0.1:0"), knownPort)
	address := startShell(t, program, nil).await(t, `^listening at (\S+) <nil>`)[1]
	url := "http://" + address
	for !isReady(t, url) {
		continue // its handlers come after its first line
	}
	here := func(begins string) string {
		return strings.ReplaceAll(readmeCommand(t, begins), "127.0.0.1:8080", address)
	}
	client := (&heraldtest.Server{URL: url}).Dial(t)
	client.Subscribe("orders")
	stream := startShell(t, here("curl -N "), nil)
	stream.await(t, `"subscription_succeeded","channel":"orders"`)
	runShell(t, here("curl -X POST "), nil)
	expectOrder(t, client)
	stream.await(t, `"event":"created","data":{"id":17}`)
}

func readmeCommand(t *testing.T, begins string) string {
	t.Helper()
	for _, b := range fencedBlocks(t, "README.md") {
		if b.language == "sh" && strings.HasPrefix(b.text, begins) {
			return b.text
		}
	}
	t.Fatalf("README.md has no command that begins with %q", begins)
	return ""
}

// besidesProgram is a command that testReadmeProgram runs beside the program.
func besidesProgram(t *testing.T, _ *readme, b docBlock) {
	if !strings.Contains(b.text, "http://127.0.0.1:8080/") {
		t.Errorf("the program does not listen there: %s", b.text)
	}
}

func isReady(t *testing.T, url string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// aroundEvents makes a program of a fragment that declares listen.
const aroundEvents = `package main

import (
	"context"
	"log"

	"github.com/herald-events/herald"
)

func main() {
	ctx := context.Background()
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	go srv.Run(ctx)
	if err := listen(ctx, srv); err != nil {
		log.Fatal(err)
	}
	if err := srv.Close(ctx); err != nil { // waits for the handlers
		log.Fatal(err)
	}
}

%s`

func testReadmeEvents(t *testing.T, _ *readme, b docBlock) {
	program := buildGo(t, fmt.Sprintf(aroundEvents, b.text))
	if got := runShell(t, program, nil); !strings.Contains(got, "paid: 17 at ") {
		t.Errorf("got %q, want the handler's line", got)
	}
}

// overlaid is a directory of this module without Go of its own: vet wants one that is there.
const overlaid = "scripts"

// overlayGo puts files, by name, into an overlay of this module, and returns where that is described.
func overlayGo(t *testing.T, files map[string]string) string {
	t.Helper()
	module, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for name, text := range files {
		replace[filepath.Join(module, overlaid, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	description, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, description, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// buildGo vets and builds a program that stands nowhere but in an overlay of this module, and returns
// where it is.
func buildGo(t *testing.T, files ...string) string {
	t.Helper()
	named := map[string]string{}
	for i, text := range files {
		named[fmt.Sprintf("file%d.go", i)] = text
	}
	return buildOverlaid(t, overlayGo(t, named))
}

func buildOverlaid(t *testing.T, overlay string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program.exe")
	runShell(t, "go vet -overlay "+overlay+" ./"+overlaid, nil)
	runShell(t, goBuild()+"-overlay "+overlay+" -o "+program+" ./"+overlaid, nil)
	return program
}

func testReadmeServe(t *testing.T, r *readme, b docBlock) {
	if b.text != r.command {
		t.Fatalf("got a second block that starts a server:\n%s", b.text)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json"} {
		getOK(t, r.server.URL+path)
	}
}

// testReadmeBroadcast runs a command that has to reach a subscriber.
func testReadmeBroadcast(t *testing.T, r *readme, b docBlock) {
	client := r.server.Dial(t)
	client.Subscribe("orders")
	runShell(t, r.script(b.text), r.env)
	expectOrder(t, client)
}

func expectOrder(t *testing.T, client *heraldtest.Client) {
	t.Helper()
	if m := client.Next(); m.Channel != "orders" || m.Name() != "created" || !heraldtest.SameJSON(string(m.Data), `{"id":17}`) {
		t.Errorf(`got %s, want the message "created" of order 17`, m.Raw)
	}
}

// broadcast does what the reader does in the other terminal.
func (r *readme) broadcast(t *testing.T) {
	t.Helper()
	runShell(t, r.script(`go run ./cmd/herald broadcast orders created '{"id":17}'`), r.env)
}

func testReadmeListen(t *testing.T, r *readme, b docBlock) {
	p := startShell(t, r.script(b.text), r.env)
	p.await(t, "listening to channel orders")
	r.broadcast(t)
	p.await(t, `orders .*created .*{"id":17}`)
}

// testReadmeScript runs a script in a page of the server, as a reader would in its console.
func testReadmeScript(t *testing.T, r *readme, b docBlock) {
	if r.browser == nil {
		t.Skip("a browser is not for go test -short")
	}
	w := r.browser.Open(t, r.server.URL+"/healthz")
	w.Do(`window.logged = []; console.log = (...args) => logged.push(...args);` + r.script(b.text))
	w.Await(`logged.some((m) => m.event === "connected")`)
	w.Do(fmt.Sprintf(`
		const { socketId, connectionId } = logged.find((m) => m.event === "connected").data;
		const ask = () => fetch("/api/v1/channels/orders/subscribers", { headers: { Authorization: "Bearer " + %q } });
		while (!(await (await ask()).json()).subscribers.includes(socketId ?? connectionId));`, r.key))
	r.broadcast(t)
	w.Await(`logged.some((m) => m.channel === "orders" && m.event === "created" && m.data.id === 17)`)
}

func testReadmeConfigCheck(t *testing.T, r *readme, b docBlock) {
	got := runShell(t, r.script(b.text), r.env[:1])
	for _, line := range []string{`HERALD_ADDR +127\.0\.0\.1:8080 +default`, `HERALD_API_KEY +set .*environment`, `HERALD_ALLOWED_ORIGINS `} {
		if !regexp.MustCompile(`(?m)^` + line).MatchString(got) {
			t.Errorf("got no line like %q:\n%s", line, got)
		}
	}
	if strings.Contains(got, r.key) {
		t.Errorf("got the API key, want no secret:\n%s", got)
	}
}
