package herald_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// ask puts a request to a handler on a socket of its own.
func ask(t *testing.T, handler http.Handler, method, path string, headers ...string) httpAnswer {
	t.Helper()
	web := httptest.NewServer(handler)
	defer web.Close()
	return httpCall(t, web.Client(), method, web.URL+path, "", headers...)
}

func TestHealthInEachPhase(t *testing.T) {
	srv, err := herald.New(quiet(t, herald.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	check := func(phase string, status int, ready string) {
		t.Helper()
		alive := ask(t, srv.Handler(), http.MethodGet, "/healthz")
		alive.check(t, 200, `{"status":"ok"}`)
		got := ask(t, srv.Handler(), http.MethodGet, "/readyz")
		got.check(t, status, ready)
		if got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %v, want JSON that nobody keeps", phase, got.Header)
		}
	}
	check("before Run", 503, `{"status":"starting"}`)
	if got := ask(t, srv.Handler(), http.MethodGet, "/events"); got.Status != 200 || !strings.HasPrefix(got.Body, "retry: ") {
		t.Errorf("stream before Run: got %d %q, want to be told to come back", got.Status, got.Body)
	}
	if got := callBeforeRun(t, srv); got.Status != 404 {
		t.Errorf("call of a stream before Run: got %d %s, want 404", got.Status, got.Body)
	}
	if got := ask(t, srv.Handler(), http.MethodGet, "/ws"); got.Status != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("socket before Run: got %d %v, want 503 with Retry-After", got.Status, got.Header)
	}

	draining, keeper, _ := startDraining(t, func(srv *heraldtest.Server) {
		httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/readyz", "").check(t, 200, `{"status":"ready"}`)
	})
	httpCall(t, draining.HTTP(), http.MethodGet, draining.URL+"/healthz", "").check(t, 200, `{"status":"ok"}`)
	httpCall(t, draining.HTTP(), http.MethodGet, draining.URL+"/readyz", "").check(t, 503, `{"status":"draining"}`)
	_ = keeper.Conn().Close()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Run(ctx); err != nil {
		t.Fatal(err)
	}
	check("after Run", 503, `{"status":"draining"}`)
}

func callBeforeRun(t *testing.T, srv *herald.Server) httpAnswer {
	t.Helper()
	web := httptest.NewServer(srv.StreamHandler())
	defer web.Close()
	return httpCall(t, web.Client(), http.MethodPost, web.URL+"/subscribe", `{"connectionId":"`+noStream+`","channel":"a"}`)
}

func TestMethodsThatNobodyTakes(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	tests := []struct{ path, allow, methods string }{
		{"/ws", "GET", "HEAD POST PUT DELETE"},
		{"/ws/auth", "OPTIONS, POST", "GET HEAD PUT DELETE"},
		{"/events", "GET, OPTIONS", "HEAD POST PUT DELETE"},
		{"/events/subscribe", "OPTIONS, POST", "GET HEAD PATCH"},
		{"/events/unsubscribe", "OPTIONS, POST", "GET HEAD PATCH"},
		{eventsPath, "GET, OPTIONS", "HEAD POST PUT DELETE"},
		{"/healthz", "GET, HEAD", "POST DELETE"},
		{"/readyz", "GET, HEAD", "POST DELETE"},
		{"/metrics", "GET, HEAD", "POST DELETE"},
	}
	for _, tt := range tests {
		for _, method := range strings.Fields(tt.methods) {
			t.Run(method+" "+tt.path, func(t *testing.T) {
				got := httpCall(t, srv.HTTP(), method, srv.URL+tt.path, "{}")
				if got.Status != http.StatusMethodNotAllowed || got.Header.Get("Allow") != tt.allow {
					t.Errorf("got %d with Allow %q, want 405 with %q", got.Status, got.Header.Get("Allow"), tt.allow)
				}
			})
		}
	}
	for _, path := range []string{"/ws/auth", "/events", "/events/subscribe", "/events/unsubscribe", eventsPath} {
		t.Run("OPTIONS "+path+" that is no preflight", func(t *testing.T) {
			got := httpCall(t, srv.HTTP(), http.MethodOptions, srv.URL+path, "")
			if got.Status != http.StatusNoContent || !strings.Contains(got.Header.Get("Allow"), "OPTIONS") {
				t.Errorf("got %d %v, want 204 with Allow", got.Status, got.Header)
			}
		})
	}
	if got := httpCall(t, srv.HTTP(), http.MethodHead, srv.URL+"/healthz", ""); got.Status != 200 || got.Body != "" {
		t.Errorf("HEAD /healthz: got %d %q, want 200", got.Status, got.Body)
	}
	if got := httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/nowhere", ""); got.Status != 404 {
		t.Errorf("got %d, want 404", got.Status)
	}
}

func TestCORSOnEveryNamedPath(t *testing.T) {
	srv := startQuiet(t, herald.Config{AllowedOrigins: []string{"https://*.example.com", "https://other.example"}})
	const good, bad = "https://app.example.com", "https://app.example.com.evil.example"
	for path, method := range map[string]string{
		"/ws/auth": "POST", "/events": "GET", "/events/subscribe": "POST", "/events/unsubscribe": "POST", eventsPath: "GET",
	} {
		t.Run(path, func(t *testing.T) {
			preflight := func(origin string) httpAnswer {
				return httpCall(t, srv.HTTP(), http.MethodOptions, srv.URL+path, "", "Origin: "+origin,
					"Access-Control-Request-Method: "+method, "Access-Control-Request-Headers: authorization,content-type,last-event-id")
			}
			got := preflight(good)
			for name, want := range map[string]string{
				"Access-Control-Allow-Origin": good, "Access-Control-Allow-Credentials": "true", "Vary": "Origin",
			} {
				if got.Status != 204 || got.Header.Get(name) != want {
					t.Errorf("preflight: got %d with %s %q, want 204 with %q", got.Status, name, got.Header.Get(name), want)
				}
			}
			if allowed := got.Header.Get("Access-Control-Allow-Methods"); !slices.Contains(strings.Split(allowed, ", "), method) {
				t.Errorf("got the methods %q, want %s among them", allowed, method)
			}
			headers := strings.Split(got.Header.Get("Access-Control-Allow-Headers"), ", ")
			for _, want := range []string{"Authorization", "Content-Type", "Last-Event-ID"} {
				if !slices.Contains(headers, want) {
					t.Errorf("got the headers %q, want %s among them", headers, want)
				}
			}
			checkNoCORS(t, "preflight of another origin", preflight(bad))
			if path == "/events" { // a cookie would join rooms for a page that cannot even read them
				refused := httpCall(t, srv.HTTP(), method, srv.URL+path, "", "Origin: "+bad)
				refused.check(t, 403, `{"error":"this origin is not allowed"}`)
				checkNoCORS(t, "another origin", refused)
			}
			if path != "/events" {
				checkCORS(t, httpCall(t, srv.HTTP(), method, srv.URL+path, "", "Origin: "+good), good)
				checkNoCORS(t, "another origin", httpCall(t, srv.HTTP(), method, srv.URL+path, "", "Origin: "+bad))
			}
		})
	}
	for path, opts := range map[string][]heraldtest.DialOption{
		"/events": nil, eventsPath: {heraldtest.WithToken(srv.Token("ann"))},
	} {
		st := srv.Stream(t, append(opts, heraldtest.WithPath(path), heraldtest.WithHeader("Origin", good))...)
		checkCORS(t, httpAnswer{Header: st.Response.Header}, good)
	}
	for _, path := range []string{"/metrics", "/healthz", "/api/v1/channels"} {
		checkNoCORS(t, path, httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+path, "", "Origin: "+good))
	}
}

func checkCORS(t *testing.T, got httpAnswer, origin string) {
	t.Helper()
	h := got.Header
	if h.Get("Access-Control-Allow-Origin") != origin || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") != "Origin" {
		t.Errorf("got %v, want %s to be able to read it", h, origin)
	}
}

func checkNoCORS(t *testing.T, what string, got httpAnswer) {
	t.Helper()
	for name := range got.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: got %s %q, want none", what, name, got.Header.Get(name))
		}
	}
}

func TestHandlersOfClientsAndOfAdmins(t *testing.T) {
	srv := heraldtest.New(t, quiet(t, herald.Config{}))
	both := map[string]string{ // a path to the method that it takes
		"/ws": "GET", "/ws/auth": "POST", "/events": "OPTIONS", "/events/subscribe": "POST", "/events/unsubscribe": "POST", eventsPath: "GET",
		"/healthz": "GET", "/readyz": "GET", "/metrics": "GET", "/openapi.json": "GET",
		"/api/v1/broadcast": "POST", "/api/v1/events": "POST", "/api/v1/channels": "GET",
	}
	isClients := func(path string) bool {
		return strings.HasPrefix(path, "/ws") || strings.HasPrefix(path, "/events") || path == eventsPath
	}
	for path, method := range both {
		t.Run(path, func(t *testing.T) {
			for name, served := range map[string]bool{"client": isClients(path), "admin": !isClients(path), "both": true} {
				handler := map[string]http.Handler{"client": srv.ClientHandler(), "admin": srv.AdminHandler(), "both": srv.Handler()}[name]
				got := ask(t, handler, method, path, bearerLine(heraldtest.APIKey))
				if found := got.Status != http.StatusNotFound; found != served {
					t.Errorf("%s handler: got %d %s, want served: %v", name, got.Status, got.Body, served)
				}
			}
		})
	}
}

func TestTwoServersInOneProcess(t *testing.T) {
	a, b := startQuiet(t, herald.Config{}), startQuiet(t, herald.Config{})
	ofA, ofB := a.Stream(t, heraldtest.WithPath("/events?channels=x")), b.Stream(t, heraldtest.WithPath("/events?channels=x"))
	expectStream(t, ofA, succeeded("x"))
	expectStream(t, ofB, succeeded("x"))
	broadcast(t, a, "x", "of a", 1)
	broadcast(t, b, "x", "of b", 2)
	expectStream(t, ofA, `{"type":"event","channel":"x","event":"of a","data":1}`)
	expectStream(t, ofB, `{"type":"event","channel":"x","event":"of b","data":2}`)
	streamCall(t, b, "subscribe", ofA.ConnectionID, "y").check(t, 404, `{"error":"no stream has the connection id \"`+ofA.ConnectionID+`\""}`)
	broadcast(t, a, "x", "of a", 3)
	for srv, want := range map[*heraldtest.Server]float64{a: 2, b: 1} {
		if got := metricsOf(t, srv)["herald_broadcasts_total"]; got != want {
			t.Errorf("got %v broadcasts, want %v", got, want)
		}
	}
}

func TestReloadRotatesKeysAndCutsNobody(t *testing.T) {
	const oldSecret, newSecret = "the old secret of everything", "the new secret of everything"
	with := func(secrets ...string) herald.Config {
		c := herald.Config{Users: herald.Users{Secrets: secrets}, AuthSecrets: secrets}
		for _, s := range secrets {
			c.APIKeys = append(c.APIKeys, herald.APIKey{Name: "of the test", Key: s, Scopes: []herald.Scope{herald.ScopeAll}})
		}
		return quiet(t, c)
	}
	srv := heraldtest.Start(t, with(oldSecret))
	newer := heraldtest.New(t, with(newSecret)) // mints tokens only
	ofOld, ofNew := srv.Token("ann"), newer.Token("ann")
	st := srv.Stream(t, heraldtest.WithToken(ofOld))
	st.Next() // the token's answer
	st.Subscribe("private-user.ann")

	type want struct{ old, new int }
	check := func(step string, want want) {
		t.Helper()
		for key, status := range map[string]int{oldSecret: want.old, newSecret: want.new} {
			if got := httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/api/v1/channels", "", bearerLine(key)); got.Status != status {
				t.Errorf("%s: API key: got %d, want %d", step, got.Status, status)
			}
		}
		for token, status := range map[string]int{ofOld: want.old, ofNew: want.new} {
			got := httpCall(t, srv.HTTP(), http.MethodPost, srv.URL+"/ws/auth", `{"socketId":"1.2","channel":"private-user.ann"}`, bearerLine(token))
			if got.Status != status {
				t.Errorf("%s: user's token: got %d %s, want %d", step, got.Status, got.Body, status)
			}
		}
		broadcast(t, srv, "private-user.ann", "still", step)
		expectStream(t, st, `{"type":"event","channel":"private-user.ann","event":"still","data":"`+step+`"}`)
	}
	check("before", want{200, 401})
	for _, step := range []struct {
		name    string
		secrets []string
		want    want
	}{
		{"both", []string{newSecret, oldSecret}, want{200, 200}},
		{"new only", []string{newSecret}, want{401, 200}},
	} {
		if err := srv.Reload(with(step.secrets...)); err != nil {
			t.Fatal(err)
		}
		check(step.name, step.want)
	}
	if err := srv.Reload(with("short")); err == nil {
		t.Error("a reload with a bad secret: got no error")
	}
	check("after a refused reload", want{401, 200})
	streamCall(t, srv, "subscribe", st.ConnectionID, "private-user.ann", bearerLine(ofNew)).check(t, 200, `{"success":true}`)
}

func TestSocketsWhileDraining(t *testing.T) {
	srv, keeper, _ := startDraining(t, func(*heraldtest.Server) {})
	got := httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/ws", "")
	got.check(t, 503, `{"error":"the server is not taking connections"}`)
	mustMatch(t, "Retry-After", got.Header.Get("Retry-After"), `^[1-5]$`)
	key := bearerLine(heraldtest.APIKey)
	httpCall(t, srv.HTTP(), http.MethodPost, srv.URL+"/api/v1/broadcast", `{"channel":"a","event":"e","data":1}`, key).check(t, 200, `{"ok":true}`)
	_ = keeper.Conn().Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := srv.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}
