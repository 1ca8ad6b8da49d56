package herald_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

func TestWebSocketOrigin(t *testing.T) {
	allowed := []string{"https://app.example.com", "https://*.example.org", "http://localhost:*", "https://exact.example:8443"}
	tests := []struct {
		name    string
		allowed []string
		origin  string // empty: none is sent; "own://" is the server's scheme
		host    string // empty: the server's own
		want    int
	}{
		{"none", nil, "", "", 101},
		{"same host", nil, "own://app.example.com", "app.example.com", 101},
		{"same host behind TLS", nil, "https://app.example.com", "app.example.com", 101},
		{"same host in capitals", nil, "own://APP.example.com", "app.EXAMPLE.com", 101},
		{"same host and port", nil, "http://app.example.com:8080", "app.example.com:8080", 101},
		{"another port", nil, "http://app.example.com:8081", "app.example.com:8080", 403},
		{"another host", nil, "http://evil.example.com", "app.example.com", 403},
		{"a host that begins so", nil, "http://app.example.com.evil.net", "app.example.com", 403},
		{"null", nil, "null", "app.example.com", 403},
		{"garbage", nil, "app.example.com", "app.example.com", 403},

		{"none beside a list", allowed, "", "", 101},
		{"listed", allowed, "https://app.example.com", "", 101},
		{"listed in capitals", allowed, "HTTPS://APP.EXAMPLE.COM", "", 101},
		{"glob", allowed, "https://a.example.org", "", 101},
		{"glob over dots", allowed, "https://a.b.example.org", "", 101},
		{"glob of a port", allowed, "http://localhost:5173", "", 101},
		{"listed port", allowed, "https://exact.example:8443", "", 101},
		{"glob without a label", allowed, "https://example.org", "", 403},
		{"glob with more behind", allowed, "https://a.example.org.evil.net", "", 403},
		{"glob with a path", allowed, "https://evil.net/.example.org", "", 403},
		{"glob with a user", allowed, "https://evil.net@a.example.org", "", 403},
		{"another scheme", allowed, "http://app.example.com", "", 403},
		{"another port than listed", allowed, "https://exact.example", "", 403},
		{"same host is not enough beside a list", allowed, "http://mine.example", "mine.example", 403},
		{"null beside a list", allowed, "null", "", 403},
		{"any", []string{"*"}, "https://evil.net", "", 101},
		{"any but null", []string{"*"}, "null", "", 403},
		{"null by name", []string{"null"}, "null", "", 101},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := heraldtest.Start(t, herald.Config{AllowedOrigins: tt.allowed})
			header := http.Header{}
			if tt.origin != "" {
				scheme, _, _ := strings.Cut(srv.URL, "://")
				header.Set("Origin", strings.Replace(tt.origin, "own://", scheme+"://", 1))
			}
			if tt.host != "" {
				header.Set("Host", tt.host)
			}
			res := wsHandshake(t, srv, header)
			if res.StatusCode != tt.want {
				t.Fatalf("got %s, want %d", res.Status, tt.want)
			}
			if tt.want != 403 {
				return
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || !strings.HasPrefix(string(body), `{"error":"`) {
				t.Errorf("got %s, %v, want an error that says why", body, err)
			}
		})
	}
	t.Run("two", func(t *testing.T) {
		srv := heraldtest.Start(t, herald.Config{AllowedOrigins: allowed})
		res := wsHandshake(t, srv, http.Header{"Origin": {"https://app.example.com", "https://evil.net"}})
		if res.StatusCode != 403 {
			t.Errorf("got %s, want 403", res.Status)
		}
	})
}

func TestWebSocketSubprotocol(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	tests := []struct {
		offered []string
		want    string
	}{
		{nil, ""},
		{[]string{"herald.v1"}, "herald.v1"},
		{[]string{"herald.v2, herald.v1"}, "herald.v1"},
		{[]string{"other", "herald.v1"}, "herald.v1"},
		{[]string{"other"}, ""},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.offered), func(t *testing.T) {
			res := wsHandshake(t, srv, http.Header{"Sec-Websocket-Protocol": tt.offered})
			if got := res.Header.Values("Sec-Websocket-Protocol"); res.StatusCode != 101 || strings.Join(got, ",") != tt.want {
				t.Errorf("got %s with %q, want %q", res.Status, got, tt.want)
			}
		})
	}
	res := wsHandshake(t, srv, http.Header{"Sec-Websocket-Extensions": {"permessage-deflate; client_max_window_bits"}})
	if got := res.Header.Get("Sec-Websocket-Extensions"); res.StatusCode != 101 || got != "" {
		t.Errorf("got %s with the extension %q, want none", res.Status, got)
	}
}

func TestWebSocketHandshakesThatAreNone(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	tests := map[string]http.Header{
		"no upgrade":    {"Upgrade": {"h2c"}},
		"no connection": {"Connection": {"keep-alive"}},
		"no key":        {"Sec-Websocket-Key": {""}},
		"short key":     {"Sec-Websocket-Key": {"AAAA"}},
		"no version":    {"Sec-Websocket-Version": {""}},
		"old version":   {"Sec-Websocket-Version": {"8"}},
	}
	for name, header := range tests {
		t.Run(name, func(t *testing.T) {
			if res := wsHandshake(t, srv, header); res.StatusCode < 400 || res.StatusCode > 499 {
				t.Errorf("got %s, want a refusal", res.Status)
			}
		})
	}
	if res := wsHandshake(t, srv, tests["old version"]); res.StatusCode != 426 || res.Header.Get("Sec-Websocket-Version") != "13" {
		t.Errorf("got %s with %v, want 426 and the version 13 (RFC 6455 section 4.4)", res.Status, res.Header)
	}
	plain := wsHandshake(t, srv, http.Header{"Connection": nil, "Upgrade": nil})
	body, err := io.ReadAll(plain.Body)
	want := `{"error":"this is a WebSocket endpoint: connect with ws:// or wss://"}`
	if err != nil || plain.StatusCode != 426 || !heraldtest.SameJSON(string(body), want) {
		t.Errorf("got %s %s, %v, want 426 %s", plain.Status, body, err, want)
	}
	if got := plain.Header.Get("Upgrade"); got != "websocket" {
		t.Errorf("Upgrade: got %q, want websocket (RFC 9110 section 15.5.22)", got)
	}
	newWSWitness(t, srv).isUndisturbed()
}

func TestWebSocketNeedsHTTP1(t *testing.T) {
	srv := heraldtest.StartTLS(t, herald.Config{})
	res, err := srv.HTTP().Get(srv.URL + "/ws")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.ProtoMajor != 2 || res.StatusCode != 400 {
		t.Errorf("got %s over %s, want 400 over HTTP/2", res.Status, res.Proto)
	}
	newWSWitness(t, srv).isUndisturbed() // over HTTP/1.1 of the same port
}

// The server stands behind an application's own mux, middleware and TLS.
func TestWebSocketBehindMuxMiddlewareAndTLS(t *testing.T) {
	srv := heraldtest.New(t, herald.Config{})
	mux := http.NewServeMux()
	mux.Handle("/live", srv.WebSocketHandler())
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Middleware", "was here")
		mux.ServeHTTP(wsWrapped{w}, r)
	}))
	t.Cleanup(web.Close)
	var passed bool
	dialer := ws.Dialer{
		TLSConfig: &tls.Config{InsecureSkipVerify: true}, // loopback
		OnHeader: func(key, _ []byte) error {
			passed = passed || string(key) == "X-Middleware"
			return nil
		},
	}
	wsEventually(t, "the server takes connections", func() bool {
		conn, early, _, err := dialer.Dial(t.Context(), "wss"+strings.TrimPrefix(web.URL, "https")+"/live")
		if err != nil {
			return false
		}
		defer conn.Close()
		reader := io.Reader(conn)
		if early != nil { // the greeting comes with the handshake's answer
			reader = early
		}
		f, err := wsReadFrame(reader)
		return err == nil && strings.Contains(string(f.Payload), `"connected"`)
	})
	if !passed {
		t.Error("the middleware's header is not in the handshake")
	}
}

// wsWrapped is a middleware's writer: what it wraps can be reached, and nothing else.
type wsWrapped struct{ w http.ResponseWriter }

func (w wsWrapped) Header() http.Header         { return w.w.Header() }
func (w wsWrapped) Write(b []byte) (int, error) { return w.w.Write(b) }
func (w wsWrapped) WriteHeader(status int)      { w.w.WriteHeader(status) }
func (w wsWrapped) Unwrap() http.ResponseWriter { return w.w }

func wsRefusedWith4429(t *testing.T, srv *heraldtest.Server, opts ...heraldtest.DialOption) {
	t.Helper()
	c, err := srv.TryDial(t, opts...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.TryNext()
	if e, ok := errors.AsType[*heraldtest.CloseError](err); !ok || e.Code != 4429 {
		t.Fatalf("got %v, want a close with 4429 and no greeting", err)
	}
}

func TestWebSocketConnectionLimit(t *testing.T) {
	registry := prometheus.NewRegistry()
	srv := heraldtest.Start(t, herald.Config{Metrics: registry, Limits: herald.Limits{MaxConnections: 3}})
	first := srv.Dial(t)
	srv.Dial(t)
	srv.Dial(t)
	wsRefusedWith4429(t, srv)
	first.Quiet()
	if got := wsMetric(t, registry, "herald_connections_closed_total", "transport", "websocket", "code", "4429"); got != 1 {
		t.Errorf("got %v refusals counted, want 1", got)
	}
	first.Close()
	wsEventually(t, "there is room again", func() bool {
		return wsMetric(t, registry, "herald_connections", "transport", "websocket") == 2
	})
	srv.Dial(t)
	wsRefusedWith4429(t, srv)
}

func TestWebSocketConnectionLimitPerIP(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{
		Limits:         herald.Limits{MaxConnectionsPerIP: 2},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")},
	})
	from := func(forwarded string) heraldtest.DialOption {
		return heraldtest.WithHeader("X-Forwarded-For", forwarded)
	}
	srv.Dial(t, from("192.0.2.1"))
	second := srv.Dial(t, from("198.51.100.7, 192.0.2.1"))  // what the client claims does not count
	wsRefusedWith4429(t, srv, from("192.0.2.1, 10.0.0.1"))  // nor the proxies between
	wsRefusedWith4429(t, srv, from("::ffff:192.0.2.1"))     // nor how it is written
	wsRefusedWith4429(t, srv, from("spoof, 192.0.2.1:443")) // with a port
	srv.Dial(t, from("192.0.2.2"))
	srv.Dial(t, from("198.51.100.7"))
	srv.Dial(t) // the proxy itself
	second.Close()
	wsEventually(t, "there is room again", func() bool {
		c, err := srv.TryDial(t, from("192.0.2.1"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.TryNext()
		return err == nil
	})
}

func TestWebSocketForwardedForOfAnUntrustedProxy(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{Limits: herald.Limits{MaxConnectionsPerIP: 1}})
	srv.Dial(t, heraldtest.WithHeader("X-Forwarded-For", "192.0.2.1"))
	wsRefusedWith4429(t, srv, heraldtest.WithHeader("X-Forwarded-For", "192.0.2.2"))
}
