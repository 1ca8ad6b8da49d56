// Package browsertest runs a headless Chromium for tests. One process has as many windows as a test
// needs, each of a person of its own: windows share neither cookies nor storage.
//
// Nothing here waits by time. A window waits for what it is told to wait for, and fails the test when
// that does not come.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

const (
	// patience bounds one step: far longer than a busy machine needs, so that only what never comes
	// fails.
	patience = 40 * time.Second
	// lifetime bounds a browser, below the five minutes that go test is given: a browser that hangs is
	// then named by a failing test and not by a dump of all goroutines.
	lifetime = 4 * time.Minute
)

// programs are the names of scripts/setup, in its order.
var programs = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
}

// Browser is a running Chromium.
type Browser struct {
	ctx context.Context
}

// Start runs a browser until the test ends. The test is skipped under -short, and under nothing else.
func Start(t testing.TB) *Browser {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser is not for go test -short")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(find(t)),
		chromedp.NoSandbox, // in a container there is nothing to build one of
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-proxy-server", true), // every page is on loopback
	)
	ctx, cancelLifetime := context.WithTimeout(context.Background(), lifetime)
	ctx, cancelProgram := chromedp.NewExecAllocator(ctx, options...)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		cancel()
		cancelProgram()
		cancelLifetime()
	})
	// The first run starts the program, and binds its life to the context.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return &Browser{ctx}
}

func find(t testing.TB) string {
	t.Helper()
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("Chromium is missing, and this test needs it: make setup installs it (none of %q is there)", programs)
	return ""
}

// Open opens a window of somebody whom the browser does not know yet, and loads a page.
func (b *Browser) Open(t testing.TB, url string) *Window {
	t.Helper()
	return open(t, b.ctx, url, chromedp.WithNewBrowserContext())
}

// Open opens another window of the same person.
func (w *Window) Open(url string) *Window {
	w.t.Helper()
	return open(w.t, w.ctx, url)
}

func open(t testing.TB, parent context.Context, url string, options ...chromedp.ContextOption) *Window {
	t.Helper()
	w := &Window{t: t}
	ctx, cancel := chromedp.NewContext(parent, append(options, chromedp.WithListener(w.hear))...)
	t.Cleanup(cancel)
	w.ctx = ctx
	// As with the browser itself, the first run binds the window's life to its context.
	if err := chromedp.Do(ctx, prepare); err != nil {
		t.Fatalf("open a window: %v", err)
	}
	w.Navigate(url)
	return w
}

// confess puts what a page's security policy blocks where all complaints are.
const confess = `addEventListener("securitypolicyviolation", (v) =>
	console.error("blocked by the policy:", v.violatedDirective, v.blockedURI, v.sourceFile + ":" + v.lineNumber));`

// prepare makes a new window watch its pages.
func prepare(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: confess})
	return chromedp.Void{}, err
}

// Screenshot writes what the window shows to a file, for a person to look at.
func (w *Window) Screenshot(path string) {
	w.t.Helper()
	image, err := run(w, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(path, image, 0o600)
	}
	if err != nil {
		w.t.Fatalf("screenshot %s: %v", path, err)
	}
}

// shorten keeps a failure readable.
func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	const most = 600
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
