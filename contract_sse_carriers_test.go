package herald_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// A stream goes through whatever carries it: it begins, joins, hears and ends.
func checkStream(t *testing.T, srv *heraldtest.Server, st *heraldtest.Stream) {
	t.Helper()
	st.Subscribe("a")
	for i := range 3 {
		broadcast(t, srv, "a", "n", i)
		expectStream(t, st, fmt.Sprintf(`{"type":"event","channel":"a","event":"n","data":%d}`, i))
	}
	st.Unsubscribe("a")
	if n, err := srv.Disconnect(t.Context(), st.ConnectionID); n != 1 || err != nil {
		t.Errorf("disconnect: got %d, %v, want 1", n, err)
	}
	st.ExpectEnd()
}

// rawStream sends a request by hand and returns the head of the answer and the rest.
func rawStream(t *testing.T, conn net.Conn, request string) (*http.Response, *bufio.Reader) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res, r
}

// rawHead sends a request by hand and returns the head of the answer as it came.
func rawHead(t *testing.T, conn net.Conn, request string) string {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return readUntil(t, conn, "\r\n\r\n")
}

// readUntil reads up to a text, and returns what it read.
func readUntil(t *testing.T, r io.Reader, text string) string {
	t.Helper()
	var read []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(read), text); {
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatalf("got %q, %v, want %q", read, err, text)
		}
		read = append(read, b...)
	}
	return string(read)
}

func TestStreamOverHTTP11(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	if srv.Transport == heraldtest.HTTP2 {
		t.Skip("its clients ask for HTTP/2; see TestStreamOverHTTP2")
	}
	st := srv.Stream(t)
	if got := st.Response.TransferEncoding; len(got) != 1 || got[0] != "chunked" {
		t.Errorf("got %v, want chunks", got)
	}
	if _, err := http.ParseTime(st.Response.Header.Get("Date")); err != nil {
		t.Errorf("Date: %v", err)
	}
	checkStream(t, srv, st)
}

func TestStreamOverHTTP10(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	for _, path := range []string{"/events?channels=a", eventsPath} {
		t.Run(path, func(t *testing.T) {
			request := "GET " + path + " HTTP/1.0\r\nConnection: keep-alive\r\n" + bearerLine(srv.Token("ann", allEvents)) + "\r\n\r\n"
			res, _ := rawStream(t, srv.DialRaw(t), request)
			if res.StatusCode != 200 || len(res.TransferEncoding) > 0 || res.ContentLength >= 0 || !res.Close {
				t.Fatalf("got %+v, want a body that ends with the connection", res)
			}
			readUntil(t, res.Body, `"connectionId":"sse-`)
			if strings.HasPrefix(path, "/events") {
				readUntil(t, res.Body, succeeded("a")) // who has only been greeted has not joined
			}
			readUntil(t, res.Body, "\n\n")
			publish(t, srv, herald.UserRegistered{UserID: "ann"})
			broadcast(t, srv, "a", "said", 1)
			readUntil(t, res.Body, map[bool]string{true: `"event":"said"`, false: "event: user.registered"}[strings.HasPrefix(path, "/events")])
			if n, err := srv.DisconnectUser(t.Context(), "ann"); n != 1 || err != nil {
				t.Errorf("disconnect: got %d, %v, want 1", n, err)
			}
			if _, err := io.ReadAll(res.Body); err != nil {
				t.Errorf("got %v, want the connection's end", err)
			}
		})
	}
}

func TestStreamOverTLS(t *testing.T) {
	srv := heraldtest.StartTLS(t, quiet(t, herald.Config{}))
	res, _ := rawStream(t, srv.DialRaw(t), "GET /events?channels=a HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if res.ProtoMinor != 1 || len(res.TransferEncoding) != 1 {
		t.Fatalf("got %+v, want chunks of HTTP/1.1", res)
	}
	readUntil(t, res.Body, succeeded("a")+"\n\n")
	broadcast(t, srv, "a", "said", 1)
	readUntil(t, res.Body, `"event":"said","data":1}`+"\n\n")
}

func TestStreamOverHTTP2(t *testing.T) {
	srv := heraldtest.StartTLS(t, quiet(t, herald.Config{}))
	events := srv.Stream(t, heraldtest.WithPath(eventsPath), heraldtest.WithToken(srv.Token("ann", allEvents)))
	st := srv.Stream(t)
	for _, res := range []*http.Response{events.Response, st.Response} {
		if res.ProtoMajor != 2 || res.Header.Get("Connection") != "" {
			t.Errorf("got %s with %v, want HTTP/2 without Connection", res.Proto, res.Header)
		}
	}
	publish(t, srv, herald.UserRegistered{UserID: "ann"})
	if got := events.Next().Event; got != "user.registered" {
		t.Errorf("got %s, want user.registered", got)
	}
	checkStream(t, srv, st)
}

// startBehind starts a server behind middleware.
func startBehind(t *testing.T, c herald.Config, middleware func(http.Handler) http.Handler) *heraldtest.Server {
	t.Helper()
	srv := heraldtest.New(t, quiet(t, c))
	return srv.Listen(t, middleware(srv.Handler()))
}

// wrapWriter makes middleware of what it does to the response.
func wrapWriter(wrap func(http.ResponseWriter) http.ResponseWriter) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(wrap(w), r) })
	}
}

// flushOnly is a writer that hides http.Hijacker.
type flushOnly struct {
	http.ResponseWriter
	http.Flusher
}

func TestStreamBehindAWriterThatCannotBeHijacked(t *testing.T) {
	srv := startBehind(t, herald.Config{}, wrapWriter(func(w http.ResponseWriter) http.ResponseWriter {
		return flushOnly{w, w.(http.Flusher)}
	}))
	checkStream(t, srv, srv.Stream(t))
	st := eventStream(t, srv, "", srv.Token("ann"))
	if got, want := st.Response.Header.Get("Connection"), streamConnection(st); got != want {
		t.Errorf("Connection: got %q, want %q", got, want)
	}
}

// bufferOnly is a writer that hides all that streaming needs, as a simple logging middleware does.
type bufferOnly struct{ http.ResponseWriter }

func TestStreamBehindAWriterThatCannotStream(t *testing.T) {
	srv := startBehind(t, herald.Config{Limits: herald.Limits{MaxConnections: 1}}, wrapWriter(func(w http.ResponseWriter) http.ResponseWriter {
		return bufferOnly{w}
	}))
	for range 2 { // it takes nobody's place
		httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/events", "").check(t, 500, `{"error":"the server cannot stream here"}`)
	}
}

func TestMiddlewaresHeadersArrive(t *testing.T) {
	srv := startBehind(t, herald.Config{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "r-1")
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
			if r.URL.Path == "/events" {
				w.Header().Set("Content-Length", "0") // of a body that is not ours
			}
			next.ServeHTTP(w, r)
		})
	})
	check := func(what string, h http.Header) {
		t.Helper()
		if h.Get("X-Request-Id") != "r-1" || len(h.Values("Set-Cookie")) != 2 {
			t.Errorf("%s: got %v, want the middleware's headers", what, h)
		}
	}
	st := srv.Stream(t)
	check("stream", st.Response.Header)
	checkStream(t, srv, st)
	if head := rawHead(t, srv.DialRaw(t), "GET /events HTTP/1.1\r\nHost: a\r\n\r\n"); strings.Contains(head, "Content-Length") {
		t.Errorf("got %q, want chunks and no length", head)
	}
	handshake := "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	res, _ := rawStream(t, srv.DialRaw(t), handshake)
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("got %d, want 101", res.StatusCode)
	}
	check("socket", res.Header)
}

// A stream that is held by its handler, because its connection cannot be taken or its client knows no
// chunks, has the middleware's headers too, no length, and an end.
func TestMiddlewaresHeadersArriveOnHeldStreams(t *testing.T) {
	srv := startBehind(t, herald.Config{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "r-1")
			w.Header().Set("Content-Length", "0") // of a body that is not ours
			next.ServeHTTP(flushOnly{w, w.(http.Flusher)}, r)
		})
	})
	for _, tt := range []struct {
		version, request string
		chunked          bool
	}{
		{"HTTP/1.0", "GET /events?channels=a HTTP/1.0\r\n\r\n", false},
		{"HTTP/1.0 that would keep alive", "GET /events?channels=a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false},
		{"HTTP/1.1", "GET /events?channels=a HTTP/1.1\r\nHost: a\r\n\r\n", true},
		{"HTTP/1.1 that closes, as behind some proxies", "GET /events?channels=a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true},
	} {
		t.Run(tt.version, func(t *testing.T) {
			res, _ := rawStream(t, srv.DialRaw(t), tt.request)
			if res.StatusCode != 200 || res.Header.Get("X-Request-Id") != "r-1" || res.ContentLength >= 0 || len(res.TransferEncoding) > 0 != tt.chunked {
				t.Errorf("got %+v, want the middleware's header, no length, and chunks: %v", res, tt.chunked)
			}
			id := mustMatch(t, "greeting", readUntil(t, res.Body, succeeded("a")+"\n\n"), `"connectionId":"(sse-[A-Z2-7]+)"`)[1]
			broadcast(t, srv, "a", "said", 1)
			readUntil(t, res.Body, `"event":"said","data":1}`+"\n\n")
			if n, err := srv.Disconnect(t.Context(), id); n != 1 || err != nil {
				t.Errorf("disconnect: got %d, %v, want 1", n, err)
			}
			if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
				t.Errorf("got %q, %v, want the end", rest, err)
			}
		})
	}
}

// gzipWriter compresses what goes through it. What takes the connection through Unwrap does not.
type gzipWriter struct {
	http.ResponseWriter
	gz *gzip.Writer
}

func (w gzipWriter) Write(b []byte) (int, error) { return w.gz.Write(b) }

func newGzipWriter(w http.ResponseWriter) gzipWriter {
	w.Header().Set("Content-Encoding", "gzip")
	return gzipWriter{w, gzip.NewWriter(w)}
}

type unwrappingGzip struct{ gzipWriter }

func (w unwrappingGzip) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestStreamBehindCompressionThatUnwraps(t *testing.T) {
	srv := startBehind(t, herald.Config{}, wrapWriter(func(w http.ResponseWriter) http.ResponseWriter {
		return unwrappingGzip{newGzipWriter(w)}
	}))
	res, _ := rawStream(t, srv.DialRaw(t), "GET /events?channels=a HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
	if got := res.Header.Get("Content-Encoding"); got != "" {
		t.Errorf("Content-Encoding: got %q of a stream that is not compressed", got)
	}
	readUntil(t, res.Body, succeeded("a")+"\n\n")
}

type flushingGzip struct{ gzipWriter }

func (w flushingGzip) Flush() {
	_ = w.gz.Flush() // fails with the next write
	w.ResponseWriter.(http.Flusher).Flush()
}

func TestStreamBehindCompressionThatFlushes(t *testing.T) {
	// Only streams: the middleware of the test does not end what it compresses.
	srv := startBehind(t, herald.Config{}, func(next http.Handler) http.Handler {
		compressed := wrapWriter(func(w http.ResponseWriter) http.ResponseWriter { return flushingGzip{newGzipWriter(w)} })(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/events" {
				compressed.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	st := srv.Stream(t) // its transport decompresses
	if !st.Response.Uncompressed {
		t.Error("the stream was not compressed")
	}
	st.Subscribe("a")
	broadcast(t, srv, "a", "said", 1)
	expectStream(t, st, `{"type":"event","channel":"a","event":"said","data":1}`)
}

// An application mounts Herald below a prefix, or single handlers where it likes.
func TestHandlersOnAnApplicationsMux(t *testing.T) {
	srv := heraldtest.New(t, quiet(t, herald.Config{}))
	mux := http.NewServeMux()
	mux.Handle("/herald/", http.StripPrefix("/herald", srv.Handler()))
	mux.Handle("/socket", srv.WebSocketHandler())
	mux.Handle("POST /sign", srv.ChannelAuthHandler())
	mux.Handle("GET /live", srv.StreamHandler())
	mux.Handle("POST /live/subscribe", srv.StreamHandler())
	mux.Handle("/facts", srv.EventStreamHandler())
	mux.Handle("/readyz", srv.AdminHandler())
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	srv.Listen(t, mux)

	for path, open := range map[string]func(path string){
		"/herald/ws": func(path string) { srv.Dial(t, heraldtest.WithPath(path)).Subscribe("a") },
		"/socket":    func(path string) { srv.Dial(t, heraldtest.WithPath(path)).Subscribe("a") },
		"/herald/events?channels=a": func(path string) {
			expectStream(t, srv.Stream(t, heraldtest.WithPath(path)), succeeded("a"))
		},
		"/live?channels=a": func(path string) {
			st := srv.Stream(t, heraldtest.WithPath(path))
			expectStream(t, st, succeeded("a"))
			body := `{"connectionId":"` + st.ConnectionID + `","channel":"b"}`
			httpCall(t, srv.HTTP(), http.MethodPost, srv.URL+"/live/subscribe", body).check(t, 200, `{"success":true}`)
			httpCall(t, srv.HTTP(), http.MethodPost, srv.URL+"/herald/events/subscribe", body).check(t, 200, `{"success":true}`)
			expectStream(t, st, succeeded("b"), succeeded("b"))
		},
		"/herald" + eventsPath: func(path string) {
			srv.Stream(t, heraldtest.WithPath(path), heraldtest.WithToken(srv.Token("ann")))
		},
		"/facts": func(path string) { srv.Stream(t, heraldtest.WithPath(path), heraldtest.WithToken(srv.Token("ann"))) },
	} {
		t.Run(path, func(*testing.T) { open(path) })
	}
	got := httpCall(t, srv.HTTP(), http.MethodPost, srv.URL+"/sign", `{"socketId":"1.2","channel":"a"}`)
	got.check(t, 200, `{"auth":null}`)
	if got := httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/elsewhere", ""); got.Status != http.StatusTeapot {
		t.Errorf("got %d, want the application's own answer", got.Status)
	}
}
