package heraldtest

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Transport is how a server of a test listens, and how its clients reach it. Of a connection the server
// promises the same whatever carries it, so a test says nothing about it and can be run over each.
type Transport string

// Each has a way of its own through the server.
const (
	// Loop is plain TCP, which the server's event loops own where the system has them.
	Loop Transport = "loop"
	// Goroutine is plain TCP as well, but what the server accepts is not a [net.TCPConn], as behind an
	// application's own listener. Such a connection is read and written by goroutines.
	Goroutine Transport = "goroutine"
	// TLS is HTTP/1.1 over TLS that ends in the server.
	TLS Transport = "tls"
	// HTTP2 is TLS with HTTP/2 for streams and calls. WebSockets go over HTTP/1.1 of the same port.
	HTTP2 Transport = "http2"
)

// TransportVariable is the environment variable that names the transport of servers whose test does not.
const TransportVariable = "HERALD_TEST_TRANSPORT"

var transports = []Transport{Loop, Goroutine, TLS, HTTP2}

// TransportOfRun is the transport that the environment asks for, [Loop] if it says nothing.
func TransportOfRun(t testing.TB) Transport {
	t.Helper()
	asked := Transport(os.Getenv(TransportVariable))
	if asked == "" {
		return Loop
	}
	if !slices.Contains(transports, asked) {
		t.Fatalf("heraldtest: %s is %q, want one of %q", TransportVariable, asked, transports)
	}
	return asked
}

// start serves a handler. Configure may change the HTTP server before it does.
func (tr Transport) start(handler http.Handler, configure []func(*http.Server)) *httptest.Server {
	web := httptest.NewUnstartedServer(handler)
	for _, c := range configure {
		c(web.Config)
	}
	if tr == Goroutine {
		web.Listener = opaqueListener{web.Listener}
	}
	switch tr {
	case TLS:
		web.StartTLS()
	case HTTP2:
		web.EnableHTTP2 = true
		web.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
		web.StartTLS()
	default:
		web.Start()
	}
	return web
}

// opaqueListener accepts connections of which nobody can tell what they are.
type opaqueListener struct{ net.Listener }

func (l opaqueListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return struct{ net.Conn }{conn}, nil
}

// http1 is how clients of HTTP/1.1, as every WebSocket is one, greet a server on loopback: quickly, since tests open
// thousands of connections.
var http1 = &tls.Config{
	InsecureSkipVerify: true, NextProtos: []string{"http/1.1"},
	CurvePreferences: []tls.CurveID{tls.X25519}, ClientSessionCache: tls.NewLRUClientSessionCache(0),
}

// DialRaw opens a connection to the server's port, over TLS where it speaks that, on which nothing has
// been said yet: HTTP/1, over any transport. Like every client here it gives up when the test hangs.
func (s *Server) DialRaw(t testing.TB) net.Conn {
	t.Helper()
	if s.URL == "" {
		t.Fatalf("dial: %v", errNotListening)
	}
	scheme, address, _ := strings.Cut(s.URL, "://")
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	if scheme == "https" {
		conn = tls.Client(conn, http1)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatalf("set a deadline: %v", err)
	}
	return conn
}
