package herald_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// carrier is what a handler sees of the connection that a request came over.
type carrier struct {
	TCP   bool // it is a *net.TCPConn, below TLS too
	TLS   bool
	Major int // of HTTP
}

type carrierKey struct{}

// startCarrying starts a server that also says, at /carrier, what a request came over.
func startCarrying(t *testing.T) *heraldtest.Server {
	t.Helper()
	srv := heraldtest.New(t, quiet(t, herald.Config{}))
	mux := http.NewServeMux()
	mux.Handle("/", srv.Handler())
	mux.HandleFunc("/carrier", func(w http.ResponseWriter, r *http.Request) {
		conn := r.Context().Value(carrierKey{})
		if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
			conn = over.NetConn()
		}
		_, isTCP := conn.(*net.TCPConn)
		_ = json.NewEncoder(w).Encode(carrier{TCP: isTCP, TLS: r.TLS != nil, Major: r.ProtoMajor}) // the client tells
	})
	return srv.Listen(t, mux, func(web *http.Server) {
		web.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, carrierKey{}, conn)
		}
	})
}

// A run over a transport that is not the one that it asked for would prove nothing.
func TestTransportIsTheOneAskedFor(t *testing.T) {
	srv := startCarrying(t)
	if got, want := srv.Transport, heraldtest.TransportOfRun(t); got != want {
		t.Fatalf("got a server over %s, want %s", got, want)
	}
	tests := map[heraldtest.Transport]struct{ call, raw carrier }{ // through HTTP, and through DialRaw
		heraldtest.Loop:      {carrier{TCP: true, Major: 1}, carrier{TCP: true, Major: 1}},
		heraldtest.Goroutine: {carrier{Major: 1}, carrier{Major: 1}},
		heraldtest.TLS:       {carrier{TCP: true, TLS: true, Major: 1}, carrier{TCP: true, TLS: true, Major: 1}},
		heraldtest.HTTP2:     {carrier{TCP: true, TLS: true, Major: 2}, carrier{TCP: true, TLS: true, Major: 1}},
	}
	want, ok := tests[srv.Transport]
	if !ok {
		t.Fatalf("nothing is known of the transport %q", srv.Transport)
	}
	check := func(what string, res *http.Response, want carrier) {
		t.Helper()
		defer res.Body.Close()
		var got carrier
		if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", what, got, err, want)
		}
	}
	res, err := srv.HTTP().Get(srv.URL + "/carrier")
	if err != nil {
		t.Fatal(err)
	}
	check("a call", res, want.call)
	raw, _ := rawStream(t, srv.DialRaw(t), "GET /carrier HTTP/1.1\r\nHost: a\r\n\r\n")
	check("a raw connection", raw, want.raw)
	st := srv.Stream(t)
	if got := st.Response; got.ProtoMajor != want.call.Major || (got.TLS != nil) != want.call.TLS {
		t.Errorf("a stream came over %s, TLS %v, want %+v", got.Proto, got.TLS != nil, want.call)
	}
	if _, over := srv.Dial(t).Conn().(interface{ NetConn() net.Conn }); over != want.raw.TLS {
		t.Errorf("a WebSocket came over TLS: %v, want %v", over, want.raw.TLS)
	}
}

// What is hijacked is what was accepted: nothing of the HTTP server's stands between it and the loops.
func TestTransportOfHijackedConnections(t *testing.T) {
	srv := heraldtest.New(t, quiet(t, herald.Config{}))
	taken := make(chan net.Conn, 1)
	srv.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		_ = conn.Close()
		taken <- conn
	}))
	conn := srv.DialRaw(t)
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	_, _ = bufio.NewReader(conn).ReadByte() // until it is closed
	if _, ok := (<-taken).(*net.TCPConn); ok != (srv.Transport == heraldtest.Loop) {
		t.Errorf("a *net.TCPConn: got %v over %s", ok, srv.Transport)
	}
}
