// Package heraldtest runs a real Herald server on loopback for a test, and a small client for it.
//
//	srv := heraldtest.Start(t, herald.Config{})
//	client := srv.Dial(t)
//	client.Subscribe("orders")
//	srv.Broadcast(t.Context(), "orders", "created", map[string]int{"id": 1})
//	msg := client.Next() // {"type":"event","channel":"orders",…}
//
// Nothing here sleeps: a client waits for what it expects and fails the test when it does not come.
package heraldtest

import (
	"context"
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

	jwtSecret  string
	authSecret string
	http       *httptest.Server
}

// Start runs a server until the test ends. Secrets that config leaves empty are the package's, and
// the drain takes no longer than it must.
func Start(t testing.TB, config herald.Config) *Server {
	t.Helper()
	srv := New(t, config)
	web := httptest.NewServer(srv.Handler())
	return srv.serve(t, web)
}

// StartTLS is [Start] with TLS, and HTTP/2 for those who ask for it.
func StartTLS(t testing.TB, config herald.Config) *Server {
	t.Helper()
	srv := New(t, config)
	web := httptest.NewUnstartedServer(srv.Handler())
	web.EnableHTTP2 = true
	web.StartTLS()
	return srv.serve(t, web)
}

// New makes a server that runs until the test ends, for a test that mounts its handlers itself.
func New(t testing.TB, config herald.Config) *Server {
	t.Helper()
	if len(config.Users.Secrets) == 0 && config.Users.JWKSURL == "" {
		config.Users.Secrets = []string{JWTSecret}
	}
	if len(config.AuthSecrets) == 0 {
		config.AuthSecrets = []string{AuthSecret}
	}
	if len(config.APIKeys) == 0 {
		config.APIKeys = []herald.APIKey{{Name: "test", Key: APIKey, Scopes: []herald.Scope{herald.ScopeAll}}}
	}
	if config.DrainTimeout == 0 {
		config.DrainTimeout = 100 * time.Millisecond
	}
	srv, err := herald.New(config)
	if err != nil {
		t.Fatalf("heraldtest: %v", err)
	}
	s := &Server{Server: srv, authSecret: config.AuthSecrets[0]}
	if len(config.Users.Secrets) > 0 {
		s.jwtSecret = config.Users.Secrets[0]
	}
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

func (s *Server) serve(t testing.TB, web *httptest.Server) *Server {
	t.Helper()
	s.URL, s.http = web.URL, web
	t.Cleanup(web.Close)
	s.waitReady(t)
	return s
}

// waitReady asks until the server takes connections; the first question is nearly always enough.
func (s *Server) waitReady(t testing.TB) {
	t.Helper()
	for {
		res, err := s.HTTP().Get(s.URL + "/readyz")
		if err != nil {
			t.Fatalf("heraldtest: %v", err)
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return
		}
	}
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
