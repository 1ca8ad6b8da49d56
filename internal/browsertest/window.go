package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Window is a window of a browser. Every method that cannot do its work fails the test. It belongs to
// the test's goroutine.
type Window struct {
	// Immutable after open.
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex // guards the field below
	complaints []string
}

func run[T any](w *Window, a chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, a)
}

// Navigate loads a page and waits until it has loaded.
func (w *Window) Navigate(url string) {
	w.t.Helper()
	if _, err := run(w, chromedp.Navigate(url)); err != nil {
		w.t.Fatalf("load %s: %v", url, err)
	}
}

// Do runs statements in the page, as one async function, and waits until they have run.
func (w *Window) Do(script string) {
	w.t.Helper()
	Result[any](w, script+"\nreturn null;")
}

// Result runs statements in the page, as one async function, and is what they return.
func Result[T any](w *Window, script string) T {
	w.t.Helper()
	raw, err := run(w, chromedp.Evaluate[[]byte]("(async () => {"+script+"\n})()", chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("run in the page: %s\n%v", script, err)
	}
	var result T
	if err := json.Unmarshal(raw, &result); err != nil {
		w.t.Fatalf("run in the page: %s\ngot %s: %v", script, raw, err)
	}
	return result
}

// Await waits until an expression is true in the page. It looks before each frame that the page draws.
func (w *Window) Await(condition string) {
	w.t.Helper()
	script := "(async () => { while (!(" + condition + ")) await new Promise(requestAnimationFrame); return true; })()"
	if _, err := run(w, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise)); err != nil {
		w.t.Fatalf("never came true: %s\n%v\nthe page says: %s\nthe console says: %q", condition, err, w.text(), w.Complaints())
	}
}

// text is what can be read on the page, for the report of a failure.
func (w *Window) text() string {
	text, err := run(w, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return shorten(text)
}

// Click clicks on what a CSS selector finds first, once it can be seen.
func (w *Window) Click(selector string) {
	w.t.Helper()
	if _, err := run(w, chromedp.Click(chromedp.CSS(selector))); err != nil {
		w.t.Fatalf("click on %s: %v\nthe page says: %s", selector, err, w.text())
	}
}

// Type types into what a CSS selector finds first.
func (w *Window) Type(selector, text string) {
	w.t.Helper()
	if _, err := run(w, chromedp.SendKeys(chromedp.CSS(selector), text)); err != nil {
		w.t.Fatalf("type into %s: %v\nthe page says: %s", selector, err, w.text())
	}
}

// A Size is that of a screen, in CSS pixels.
type Size struct {
	Width, Height int64
	Phone         bool // touch, and a viewport as phones have it
}

// Resize changes the screen that the window is on.
func (w *Window) Resize(s Size) {
	w.t.Helper()
	var options []chromedp.EmulateViewportOption
	if s.Phone {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	if _, err := run(w, chromedp.EmulateViewport(s.Width, s.Height, options...)); err != nil {
		w.t.Fatalf("resize to %+v: %v", s, err)
	}
}

// Complaints are the errors and warnings in the window's console, what its pages did not catch, and
// what a security policy blocked.
func (w *Window) Complaints() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.complaints...)
}

// hear is called with everything that happens in the window, one at a time.
func (w *Window) hear(event any) {
	complaint := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		switch e.Type {
		case runtime.ConsoleAPICalledTypeError, runtime.ConsoleAPICalledTypeWarning, runtime.ConsoleAPICalledTypeAssert:
			complaint = fmt.Sprintf("%s: %s", e.Type, said(e.Args))
		}
	case *runtime.EventExceptionThrown:
		complaint = "exception: " + e.ExceptionDetails.Text
		if thrown := e.ExceptionDetails.Exception; thrown != nil {
			complaint += " " + said([]*runtime.RemoteObject{thrown})
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			complaint = fmt.Sprintf("%s: %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	}
	if complaint == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.complaints = append(w.complaints, complaint)
}

// said is the arguments of a console call, as texts.
func said(args []*runtime.RemoteObject) string {
	words := make([]string, 0, len(args))
	for _, a := range args {
		var text string
		switch {
		case json.Unmarshal(a.Value, &text) == nil:
		case len(a.Value) > 0:
			text = string(a.Value)
		default:
			text = a.Description
		}
		words = append(words, text)
	}
	return strings.Join(words, " ")
}
