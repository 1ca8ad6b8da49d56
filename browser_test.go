package herald_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/browsertest"
)

// TestBrowser holds what a page may do without a library, in a real browser.
func TestBrowser(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	for _, tt := range []struct {
		name string
		test func(*testing.T, *browsertest.Browser)
	}{
		{"WebSocket", testBrowserWebSocket},
		{"EventSource", testBrowserEventSource},
		{"private channel", testBrowserPrivateChannel},
		{"domain events", testBrowserDomainEvents},
		{"EventSource comes back after a drain", testBrowserDrain},
		{"another origin is refused", testBrowserForeignPage},
		{"an allowed origin is let in with its credentials", testBrowserAllowedPage},
		{"messages arrive unchanged through compression", testBrowserCompression},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, browser)
		})
	}
}

// A browserSite is a server that has a page beside Herald.
type browserSite struct {
	*heraldtest.Server
	page string // its address
}

// newBrowserSite mounts a server where an application would.
func newBrowserSite(t *testing.T, config herald.Config) browserSite {
	t.Helper()
	srv, handler := newBrowserServer(t, config)
	web := newPageServer(t, handler)
	srv.URL = web.URL
	return browserSite{srv, web.URL + "/page"}
}

// newBrowserServer makes a server that takes connections.
func newBrowserServer(t *testing.T, config herald.Config) (*heraldtest.Server, http.Handler) {
	t.Helper()
	srv := heraldtest.New(t, config)
	handler := srv.Handler()
	for {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		if answer.Code == http.StatusOK {
			return srv, handler
		}
	}
}

// newPageServer serves an empty page, and everything else with the given handler.
func newPageServer(t *testing.T, others http.Handler) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", others)
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,"><title>A page</title>`)
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return web
}

// browserKit is what the scripts below share: got is every message that came, from wherever.
const browserKit = `
	window.got = [];
	window.listen = (socket) => {
		socket.onmessage = (e) => got.push(JSON.parse(e.data));
		return new Promise((open) => { socket.onopen = open; });
	};
	window.follow = (source, ...types) => {
		for (const type of types) source.addEventListener(type, (e) => got.push(JSON.parse(e.data)));
		return source;
	};
	window.came = (wanted) => got.some((m) => Object.entries(wanted).every(([k, v]) => JSON.stringify(m[k]) === JSON.stringify(v)));
	window.post = (url, body, headers = {}) => fetch(url, {
		method: "POST", credentials: "include", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body),
	});
	window.server ??= location.origin;`

func (s browserSite) open(t *testing.T, b *browsertest.Browser) *browsertest.Window {
	t.Helper()
	w := b.Open(t, s.page)
	w.Do(browserKit)
	return w
}

func (s browserSite) say(t *testing.T, channel string) {
	t.Helper()
	if err := s.Broadcast(t.Context(), channel, "created", map[string]int{"id": 17}); err != nil {
		t.Fatal(err)
	}
}

func testBrowserWebSocket(t *testing.T, b *browsertest.Browser) {
	s := newBrowserSite(t, herald.Config{})
	w := s.open(t, b)
	w.Do(`const socket = new WebSocket(server.replace("http", "ws") + "/ws", "herald.v1");
		await listen(socket);
		socket.send(JSON.stringify({ type: "subscribe", channel: "orders" }));`)
	w.Await(`came({ type: "subscription_succeeded", channel: "orders" })`)
	s.say(t, "orders")
	w.Await(`came({ type: "event", channel: "orders", event: "created", data: { id: 17 } })`)
	wantQuietConsole(t, w)
}

func testBrowserEventSource(t *testing.T, b *browsertest.Browser) {
	s := newBrowserSite(t, herald.Config{})
	w := s.open(t, b)
	w.Do(`follow(new EventSource("/events?channels=orders"), "event", "subscription_succeeded");`)
	w.Await(`came({ type: "subscription_succeeded", channel: "orders" })`)
	s.say(t, "orders")
	w.Await(`came({ type: "event", channel: "orders", event: "created", data: { id: 17 } })`)

	status := browsertest.Result[int](w, `
		const { connectionId } = got.find((m) => m.event === "connected").data;
		return (await post("/events/subscribe", { connectionId, channel: "invoices" })).status;`)
	if status != http.StatusOK {
		t.Fatalf("subscribe a stream: got status %d, want 200", status)
	}
	s.say(t, "invoices")
	w.Await(`came({ type: "event", channel: "invoices", event: "created", data: { id: 17 } })`)
	wantQuietConsole(t, w)
}

func testBrowserPrivateChannel(t *testing.T, b *browsertest.Browser) {
	s := newBrowserSite(t, herald.Config{})
	w := s.open(t, b)
	w.Do(fmt.Sprintf(`window.token = %q;
		window.socket = new WebSocket(server.replace("http", "ws") + "/ws");
		await listen(socket);`, s.Token("ann")))
	w.Await(`came({ event: "connected" })`)
	w.Do(`window.ask = (channel) => {
			const { socketId } = got.find((m) => m.event === "connected").data;
			return post("/ws/auth", { socketId, channel }, { Authorization: "Bearer " + token });
		};
		const { auth } = await (await ask("private-user.ann")).json();
		socket.send(JSON.stringify({ type: "subscribe", channel: "private-user.ann", auth }));`)
	w.Await(`came({ type: "subscription_succeeded", channel: "private-user.ann" })`)
	s.say(t, "private-user.ann")
	w.Await(`came({ type: "event", channel: "private-user.ann", event: "created", data: { id: 17 } })`)
	if got := browsertest.Result[int](w, `return (await ask("private-user.bob")).status;`); got != http.StatusForbidden {
		t.Errorf("a token for the channel of another user: got status %d, want 403", got)
	}
}

func testBrowserDomainEvents(t *testing.T, b *browsertest.Browser) {
	s := newBrowserSite(t, herald.Config{})
	w := s.open(t, b)
	w.Do(fmt.Sprintf(`const token = %q;
		const socket = new WebSocket(server.replace("http", "ws") + "/ws?token=" + token);
		await listen(socket);
		socket.send(JSON.stringify({ type: "subscribe", events: ["user.*"] }));
		window.facts = [];
		const stream = new EventSource("/api/v1/events/stream?events=user.*&token=" + token);
		stream.addEventListener("user.registered", (e) => facts.push(JSON.parse(e.data)));
		await new Promise((connected) => stream.addEventListener("connected", connected));`, s.Token("ann")))
	w.Await(`came({ type: "auth", ok: true, userId: "ann" }) && came({ type: "subscribed", events: ["user.*"] })`)
	for _, id := range []string{"bob", "ann"} { // what is bob's would come first, if it came
		if err := s.Publish(t.Context(), herald.UserRegistered{UserID: id}); err != nil {
			t.Fatal(err)
		}
	}
	w.Await(`facts.length > 0 && got.some((m) => m.event?.type === "user.registered")`)
	users := browsertest.Result[[]string](w, `
		return [facts[0], got.find((m) => m.event?.type === "user.registered").event].map((e) => e.payload.userId);`)
	if users[0] != "ann" || users[1] != "ann" {
		t.Errorf("got the events of %q, want ann's alone", users)
	}
	wantQuietConsole(t, w)
}

// testBrowserDrain: an EventSource never comes back from an error status, so a server that is going
// down answers 200 and when to come back, until another one stands at its address.
func testBrowserDrain(t *testing.T, b *browsertest.Browser) {
	first, firstHandler := newBrowserServer(t, herald.Config{})
	second, secondHandler := newBrowserServer(t, herald.Config{})
	var restarted, down atomic.Bool
	turnedAway := make(chan int, 1)
	web := newPageServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case restarted.Load():
			secondHandler.ServeHTTP(w, r)
		case down.Load() && r.URL.Path == "/events":
			answer := httptest.NewRecorder()
			firstHandler.ServeHTTP(answer, r)
			w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
			w.WriteHeader(answer.Code)
			_, _ = answer.Body.WriteTo(w)
			turnedAway <- answer.Code
		default:
			firstHandler.ServeHTTP(w, r)
		}
	}))
	w := browserSite{first, web.URL + "/page"}.open(t, b)
	w.Do(`window.source = follow(new EventSource("/events?channels=orders"), "event", "subscription_succeeded");`)
	w.Await(`came({ type: "subscription_succeeded", channel: "orders" })`)

	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	w.Await(`came({ event: "draining" })`)
	if got := <-turnedAway; got != http.StatusOK {
		t.Fatalf("a stream that comes back during the drain: got status %d, want 200", got)
	}
	w.Do(`got.length = 0;`)
	restarted.Store(true)
	w.Await(`came({ type: "subscription_succeeded", channel: "orders" }) && source.readyState === EventSource.OPEN`)
	if err := second.Broadcast(t.Context(), "orders", "created", 17); err != nil {
		t.Fatal(err)
	}
	w.Await(`came({ type: "event", channel: "orders", event: "created", data: 17 })`)
	wantQuietConsole(t, w)
}

// knock tries every door of another server, and returns what became of it.
const knock = `
	const ending = (target, ...events) => new Promise((end) => {
		for (const event of events) target.addEventListener(event, (e) => end(e.code ? "closed " + e.code : event));
	});
	const stream = new EventSource(server + "/events?channels=orders", { withCredentials: true });
	const ends = [
		ending(new WebSocket(server.replace("http", "ws") + "/ws"), "open", "close"),
		ending(stream, "open", "error"),
		post(server + "/ws/auth", { socketId: "1.1", channel: "private-user.ann" })
			.then((answer) => String(answer.status), (error) => error.name),
	];
	const [socket, streamed, token] = await Promise.all(ends);
	return { socket, stream: streamed, streamState: stream.readyState, token };`

type browserKnock struct {
	Socket, Stream, Token string
	StreamState           int
}

const browserStreamClosed, browserStreamOpen = 2, 1 // EventSource.readyState (WHATWG HTML, section 9.2)

// visitFrom opens a page of another origin that knows the server's address, and a user's cookie. A
// cookie is of a host, whatever the port.
func (s browserSite) visitFrom(t *testing.T, b *browsertest.Browser, page string) *browsertest.Window {
	t.Helper()
	w := b.Open(t, page)
	w.Do(fmt.Sprintf("window.server = %q; document.cookie = %q;", s.URL, "session="+s.Token("ann")))
	return w
}

func testBrowserForeignPage(t *testing.T, b *browsertest.Browser) {
	s := newBrowserSite(t, herald.Config{Users: herald.Users{Cookie: "session"}})
	w := s.visitFrom(t, b, newPageServer(t, s.Handler()).URL+"/page")
	w.Do(browserKit)
	got := browsertest.Result[browserKnock](w, knock)
	want := browserKnock{Socket: "closed 1006", Stream: "error", StreamState: browserStreamClosed, Token: "TypeError"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func testBrowserAllowedPage(t *testing.T, b *browsertest.Browser) {
	page := newPageServer(t, http.NotFoundHandler())
	s := newBrowserSite(t, herald.Config{Users: herald.Users{Cookie: "session"}, AllowedOrigins: []string{page.URL}})
	w := s.visitFrom(t, b, page.URL+"/page")
	w.Do(browserKit)
	got := browsertest.Result[browserKnock](w, knock)
	want := browserKnock{Socket: "open", Stream: "open", StreamState: browserStreamOpen, Token: "200"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	w.Do(`follow(new EventSource(server + "/events", { withCredentials: true }), "event", "auth", "subscription_succeeded");`)
	w.Await(`came({ event: "connected" }) && came({ type: "auth", ok: true, userId: "ann" })`)
	w.Do(`const { connectionId } = got.find((m) => m.event === "connected").data;
		await post(server + "/events/subscribe", { connectionId, channel: "private-user.ann" });`)
	w.Await(`came({ type: "subscription_succeeded", channel: "private-user.ann" })`)
	s.say(t, "private-user.ann")
	w.Await(`came({ type: "event", channel: "private-user.ann", event: "created", data: { id: 17 } })`)
	wantQuietConsole(t, w)
}

func wantQuietConsole(t *testing.T, w *browsertest.Window) {
	t.Helper()
	if got := w.Complaints(); len(got) > 0 {
		t.Errorf("the console: got %q, want no error and no warning", got)
	}
}
