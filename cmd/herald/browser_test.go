package main

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/herald-events/herald/internal/browsertest"
)

// TestDemoPage tries the page of herald dev as a visitor would, in a real browser.
func TestDemoPage(t *testing.T) {
	browser := browsertest.Start(t)
	for _, tt := range []struct {
		name string
		test func(*testing.T, *browsertest.Browser)
	}{
		{"two windows talk", testTwoWindowsTalk},
		{"the line breaks and comes back", testBrokenLine},
		{"cut off by the server", testCutOff},
		{"over SSE", testOverSSE},
		{"one person in two tabs is one member", testTwoTabs},
		{"the server drains", testPageWhileDraining},
		{"fits every screen", testScreens},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, browser)
		})
	}
}

func testTwoWindowsTalk(t *testing.T, b *browsertest.Browser) {
	_, url := startDemo(t)
	ann, bob := visit(t, b, url), visit(t, b, url)
	for _, p := range []visitor{ann, bob} {
		p.await(`%s[data-member-id=%q]`, testid("member"), ann.id)
		p.await(`%s[data-member-id=%q]`, testid("member"), bob.id)
		p.awaitText("member-count", "2 here")
	}
	ann.say("Good morning")
	bob.hear("Good morning", ann)
	bob.say("What is new?")
	ann.hear("What is new?", bob)

	ann.Type(testid("note-input"), "Feed the cat")
	ann.Click(testid("private-note"))
	ann.awaitText("private-note-item", "Feed the cat")
	bob.Click(testid("publish-user.registered"))
	for _, p := range []visitor{ann, bob} {
		p.await(`%s[data-event-type="user.registered"]`, testid("event-item"))
	}
	if got := browsertest.Result[int](bob.Window, countOf("private-note-item")); got != 0 {
		t.Errorf("bob has %d notes, want 0: that one was for ann", got)
	}
	for _, frame := range []string{`[data-direction="in"][data-via="ws"]`, `[data-direction="out"][data-via="ws"]`, `[data-direction="in"][data-via="http"]`, `[data-direction="out"][data-via="http"]`} {
		ann.await(testid("frame-list") + " " + testid("frame") + frame)
	}
	ann.Click(testid("event-item") + " summary")
	ann.awaitText("event-fate", "Delivered to 2 sockets")
	ann.wantNoComplaints()
	bob.wantNoComplaints()
}

func testBrokenLine(t *testing.T, b *browsertest.Browser) {
	_, url := startDemo(t)
	ann, bob := visit(t, b, url), visit(t, b, url)
	ann.rememberStates()
	ann.Click(testid("break-line"))
	ann.Await(`states.includes("reconnecting") && states.at(-1) === "open"`)
	ann.awaitOpen()
	bob.say("There you are")
	ann.hear("There you are", bob)
	ann.say("Here I am")
	bob.hear("Here I am", ann)
	ann.wantNoComplaints()
}

func testCutOff(t *testing.T, b *browsertest.Browser) {
	_, url := startDemo(t)
	ann := visit(t, b, url)
	ann.Click(testid("cut-off"))
	ann.await(testid("connection-state") + `[data-state="closed"]`)
	ann.awaitText("close-code", "4410")
	ann.Click(testid("reconnect"))
	ann.awaitOpen()
	ann.wantNoComplaints()
}

func testOverSSE(t *testing.T, b *browsertest.Browser) {
	_, url := startDemo(t)
	ann, bob := visit(t, b, url), visit(t, b, url)
	ann.Click(testid("transport-sse"))
	ann.await(`%s[data-via="sse"]`, testid("frame"))
	ann.awaitOpen()
	ann.say("By streams")
	bob.hear("By streams", ann)
	bob.say("By a socket")
	ann.hear("By a socket", bob)
	ann.Click(testid("private-note"))
	ann.await(testid("private-note-item"))
	bob.Click(testid("publish-login.failed"))
	ann.await(`%s[data-event-type="login.failed"]`, testid("event-item"))

	ann.Click(testid("transport-websocket"))
	ann.awaitOpen()
	ann.say("By a socket again")
	bob.hear("By a socket again", ann)
	ann.wantNoComplaints()
	bob.wantNoComplaints()
}

func testTwoTabs(t *testing.T, b *browsertest.Browser) {
	_, url := startDemo(t)
	ann := visit(t, b, url)
	ann.Click(testid("second-tab"))
	// The other tab hides this one, which then draws no more frames: ask the server.
	members := browsertest.Result[[]any](ann.Window, `
		const { apiKey } = await (await fetch("/demo/session")).json();
		const ask = async (path) => (await fetch("/api/v1/channels/presence-lobby" + path, { headers: { Authorization: "Bearer " + apiKey } })).json();
		while ((await ask("")).subscribers !== 2);
		return (await ask("/members")).members;`)
	if len(members) != 1 {
		t.Errorf("got the members %v, want one", members)
	}
	ann.wantNoComplaints()
}

func testPageWhileDraining(t *testing.T, b *browsertest.Browser) {
	server, url := startDemo(t)
	ann := visit(t, b, url)
	ann.rememberStates()
	server.signals <- syscall.SIGTERM
	ann.Await(`states.includes("draining") && document.querySelector("[data-testid=close-code]")?.textContent.includes("1001")`)
	if got := server.wait(); got != 0 {
		t.Errorf("got status %d, want 0", got)
	}
}

// overflowing names what reaches past the right edge of the screen and cannot be scrolled to.
const overflowing = `
	const scrolls = (e) => e && e !== document.body && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
	return [...document.body.querySelectorAll("*")]
		.filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !scrolls(e.parentElement))
		.map((e) => e.tagName + "#" + e.id + "." + e.className);`

func testScreens(t *testing.T, b *browsertest.Browser) {
	_, url := startDemo(t)
	ann := visit(t, b, url)
	ann.say("A word as long as a message may be, without a place to break it: " + "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen")
	ann.Click(testid("publish-api_key.created"))
	ann.await(testid("event-item"))
	for _, size := range []browsertest.Size{
		{Width: 320, Height: 568, Phone: true},
		{Width: 390, Height: 844, Phone: true},
		{Width: 820, Height: 1180, Phone: true},
		{Width: 1100, Height: 700},
		{Width: 1440, Height: 900},
	} {
		ann.Resize(size)
		ann.Await(fmt.Sprintf(`matchMedia("(width: %dpx)").matches`, size.Width))
		tabs := []string{"lobby", "private", "events", "wire", "copy"}
		if size.Width >= 720 {
			tabs = tabs[:0] // everything is seen at once
		} else {
			ann.Click(testid("details-toggle"))
		}
		ann.wantNoOverflow(size, "first")
		for _, tab := range tabs {
			ann.Click(testid("tab-" + tab))
			ann.wantNoOverflow(size, tab)
		}
	}
	ann.wantNoComplaints()
}
