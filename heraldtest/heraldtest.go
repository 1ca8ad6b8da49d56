// Package heraldtest runs a real Herald server on loopback for a test, and a small client for it.
//
//	srv := heraldtest.Start(t, herald.Config{})
//	client := srv.Dial(t)
//	client.Subscribe("orders")
//	srv.Broadcast(t.Context(), "orders", "created", map[string]int{"id": 1})
//	msg := client.Next() // {"type":"event","channel":"orders",…}
//
// Nothing here sleeps: a client waits for what it expects and fails the test when it does not come.
//
// The environment variable HERALD_TEST_TRANSPORT says how the servers of a run listen and how their
// clients connect: loop (plain TCP, the default), goroutine, tls or http2, see [Transport]. A test is the
// same over each. One that opens connections of its own does it with [Server.DialRaw] or [Server.HTTP].
package heraldtest

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/herald-events/herald"
)

// The secrets that [Start] fills in where the configuration has none.
const (
	JWTSecret  = "heraldtest-jwt-secret"
	AuthSecret = "heraldtest-auth-secret"
	APIKey     = "heraldtest-api-key"
)

// Server is a running server on loopback. Its Herald methods are those of the embedded server.
type Server struct {
	*herald.Server
	// URL is where it listens, such as "http://127.0.0.1:40123".
	URL string
	// Transport is how it listens. A test may set it before [Server.Listen]; else it is that of the run.
	Transport Transport

	jwtSecret  string
	authSecret string
	http       *httptest.Server
}

// Start runs a server until the test ends, over the transport of the run. Secrets that config leaves
// nil are the package's (an empty list is none at all), and the drain takes no longer than it must.
func Start(t testing.TB, config herald.Config) *Server {
	t.Helper()
	srv := New(t, config)
	return srv.Listen(t, srv.Handler())
}

// StartPrepared is [Start] after prepare has said what is to be said before a server runs, such as who handles its jobs.
func StartPrepared(t testing.TB, config herald.Config, prepare func(*herald.Server)) *Server {
	t.Helper()
	srv := newPrepared(t, config, prepare)
	return srv.Listen(t, srv.Handler())
}

// StartOver is [Start] over a transport that the test chooses.
func StartOver(t testing.TB, transport Transport, config herald.Config) *Server {
	t.Helper()
	srv := New(t, config)
	srv.Transport = transport
	return srv.Listen(t, srv.Handler())
}

// StartTLS is [Start] with TLS, and HTTP/2 for those who ask for it, whatever the transport of the run.
func StartTLS(t testing.TB, config herald.Config) *Server {
	t.Helper()
	return StartOver(t, HTTP2, config)
}

// New makes a server that runs until the test ends, for a test that mounts its handlers itself;
// [Server.Listen] serves them.
func New(t testing.TB, config herald.Config) *Server {
	t.Helper()
	return newPrepared(t, config, func(*herald.Server) {})
}

func newPrepared(t testing.TB, config herald.Config, prepare func(*herald.Server)) *Server {
	t.Helper()
	if config.Users.Secrets == nil && config.Users.JWKSURL == "" {
		config.Users.Secrets = []string{JWTSecret}
	}
	if config.AuthSecrets == nil {
		config.AuthSecrets = []string{AuthSecret}
	}
	if config.APIKeys == nil {
		config.APIKeys = []herald.APIKey{{Name: "test", Key: APIKey, Scopes: []herald.Scope{herald.ScopeAll}}}
	}
	if config.DrainTimeout == 0 {
		config.DrainTimeout = 100 * time.Millisecond
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	srv, err := herald.New(config)
	if err != nil {
		t.Fatalf("heraldtest: %v", err)
	}
	prepare(srv)
	s := &Server{Server: srv, jwtSecret: first(config.Users.Secrets), authSecret: first(config.AuthSecrets)}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("heraldtest: run: %v", err)
		}
	})
	return s
}

func first(secrets []string) string {
	if len(secrets) == 0 {
		return ""
	}
	return secrets[0]
}

// Listen serves an application's handler, in which those of the server are mounted, until the test
// ends. URL is then where that listens. Configure may set what an application does of its http.Server.
func (s *Server) Listen(t testing.TB, handler http.Handler, configure ...func(*http.Server)) *Server {
	t.Helper()
	if s.Transport == "" {
		s.Transport = TransportOfRun(t)
	}
	s.http = s.Transport.start(handler, configure)
	s.URL = s.http.URL
	t.Cleanup(s.http.Close)
	<-s.Started()
	return s
}

// HTTP is a client that trusts the server's certificate.
func (s *Server) HTTP() *http.Client { return s.http.Client() }

// Token mints a JWT for a user, valid for an hour, with more claims if any are given.
func (s *Server) Token(userID string, claims ...map[string]any) string {
	all := jwt.MapClaims{"sub": userID, "exp": time.Now().Add(time.Hour).Unix()}
	for _, c := range claims {
		maps.Copy(all, c)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(s.jwtSecret))
	if err != nil {
		panic(err) // a secret of bytes signs any claims that encode
	}
	return token
}
