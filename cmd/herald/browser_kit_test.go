package main

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/herald-events/herald/internal/browsertest"
)

// A visitor is somebody with the demo page in a window.
type visitor struct {
	*browsertest.Window
	t  *testing.T
	id string
}

// startDemo runs herald dev until the test ends, and returns the address that its first line has.
func startDemo(t *testing.T) (server *program, url string) {
	t.Helper()
	server = start(t, nil, "dev", "--addr", "127.0.0.1:0")
	return server, server.await(t, server.stdout, `^Herald is at (\S+)\n`)[1]
}

// visit opens the page in a window of somebody new, and waits until the page is ready.
func visit(t *testing.T, b *browsertest.Browser, url string) visitor {
	t.Helper()
	v := visitor{Window: b.Open(t, url), t: t}
	v.awaitOpen()
	v.id = browsertest.Result[string](v.Window, `return document.getElementById("user-id").textContent;`)
	return v
}

// testid selects what the page marks for tests.
func testid(name string) string { return fmt.Sprintf("[data-testid=%q]", name) }

// countOf is a script that counts what is marked for tests.
func countOf(name string) string {
	return fmt.Sprintf("return document.querySelectorAll(%q).length;", testid(name))
}

// await waits until a selector finds something.
func (v visitor) await(selector string, args ...any) {
	v.t.Helper()
	if len(args) > 0 {
		selector = fmt.Sprintf(selector, args...)
	}
	v.Await(fmt.Sprintf("document.querySelector(%q)", selector))
}

// awaitText waits until something marked for tests has a text in it.
func (v visitor) awaitText(name, text string) {
	v.t.Helper()
	v.Await(fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.textContent.includes(%q))", testid(name), text))
}

// awaitOpen waits until the line is open and everything is subscribed.
func (v visitor) awaitOpen() {
	v.t.Helper()
	v.await(testid("connection-state") + `[data-state="open"]`)
	v.await(testid("send") + ":enabled")
	v.await(testid("private-status") + `[data-state="subscribed"]`)
	v.await(testid("events-status") + `[data-state="listening"]`)
}

// say types into the lobby, and waits until the page shows it.
func (v visitor) say(text string) {
	v.t.Helper()
	v.Type(testid("composer-input"), text)
	v.Click(testid("send"))
	v.awaitSaid(`[data-own="true"]`, text)
}

func (v visitor) hear(text string, from visitor) {
	v.t.Helper()
	v.awaitSaid(fmt.Sprintf("[data-own=\"false\"][data-from=%q]", from.id), text)
}

func (v visitor) awaitSaid(which, text string) {
	v.t.Helper()
	v.Await(fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.textContent.includes(%q))", testid("chat-message")+which, text))
}

// rememberStates keeps the states of the line in the page's states: one may last no longer than a frame.
func (v visitor) rememberStates() {
	v.t.Helper()
	v.Do(`window.states = [];
		const line = document.getElementById("connection-state");
		new MutationObserver(() => states.push(line.dataset.state)).observe(line, { attributeFilter: ["data-state"] });`)
}

func (v visitor) wantNoComplaints() {
	v.t.Helper()
	if got := v.Complaints(); len(got) > 0 {
		v.t.Errorf("the console: got %q, want no error and no warning", got)
	}
}

func (v visitor) wantNoOverflow(size browsertest.Size, view string) {
	v.t.Helper()
	width := browsertest.Result[int64](v.Window, `return document.documentElement.scrollWidth;`)
	over := browsertest.Result[[]string](v.Window, overflowing)
	if width > size.Width || len(over) > 0 {
		v.t.Errorf("%+v, %s: the page is %d wide and %q reach over its edge (go test -artifacts keeps a picture)", size, view, width, over)
		v.Screenshot(filepath.Join(v.t.ArtifactDir(), fmt.Sprintf("%d-%s.png", size.Width, view)))
	}
}
