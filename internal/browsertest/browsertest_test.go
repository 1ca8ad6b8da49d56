package browsertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/herald-events/herald/internal/browsertest"
)

// TestComplaintsAreHeard: a test that asserts that there are none would otherwise pass for ever.
func TestComplaintsAreHeard(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "script-src 'self' 'nonce-x'")
		fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,"><p>Hello</p>
			<script nonce="x">
				console.log("fine");
				console.warn("warned", 1);
				console.error(new Error("erred"));
				requestAnimationFrame(() => { throw new TypeError("thrown"); });
				Promise.reject("rejected");
				fetch("/missing").then(() => { document.title = "done"; });
			</script>
			<script>document.title = "inline";</script>`)
	}))
	t.Cleanup(server.Close)
	w := browsertest.Start(t).Open(t, server.URL)
	w.Await(`document.title === "done"`)
	w.Await(`true`) // a frame later: what was thrown has been said

	got := w.Complaints()
	for _, want := range []string{"warning: warned 1", "Error: erred", "TypeError: thrown", "rejected", "/missing", "blocked by the policy: script-src-elem inline"} {
		if !slices.ContainsFunc(got, func(c string) bool { return strings.Contains(c, want) }) {
			t.Errorf("got %q, want one with %q", got, want)
		}
	}
	if slices.ContainsFunc(got, func(c string) bool { return strings.Contains(c, "fine") }) {
		t.Errorf("got %q, want nothing of what was only logged", got)
	}
}

func TestWindowsAreOfDifferentPeople(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><input oninput="document.title = this.value"><button onclick="localStorage.who = document.title">Be</button>`)
	}))
	t.Cleanup(server.Close)
	browser := browsertest.Start(t)
	ann, bob := browser.Open(t, server.URL), browser.Open(t, server.URL)
	ann.Type("input", "ann")
	ann.Click("button")
	tab := ann.Open(server.URL)

	const who = `return localStorage.who ?? "nobody";`
	for _, tt := range []struct {
		name string
		w    *browsertest.Window
		want string
	}{{"ann", ann, "ann"}, {"ann's other tab", tab, "ann"}, {"bob", bob, "nobody"}} {
		if got := browsertest.Result[string](tt.w, who); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	ann.Resize(browsertest.Size{Width: 390, Height: 800, Phone: true})
	ann.Await(`matchMedia("(pointer: coarse)").matches`)
	if got := browsertest.Result[bool](bob, `return matchMedia("(pointer: coarse)").matches;`); got {
		t.Error("bob's window is that of a phone: got true, want false")
	}
}
