package herald

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald/internal/hub"
)

// apiRoutes are all operations, with a call of each that succeeds, or is refused where there is no store.
var apiRoutes = []struct {
	method, path, body string
	scope              Scope
	status             int
}{
	{"POST", "/api/v1/broadcast", `{"channel":"orders","event":"created","data":1}`, ScopeBroadcast, 200},
	{"POST", "/api/v1/broadcast/batch", `{"messages":[{"channel":"orders","event":"created"}]}`, ScopeBroadcast, 200},
	{"POST", "/api/v1/events", `{"type":"user.registered","payload":{}}`, ScopePublish, 202},
	{"GET", "/api/v1/events/known", "", ScopeRead, 200},
	{"GET", "/api/v1/channels", "", ScopeRead, 200},
	{"GET", "/api/v1/channels/orders", "", ScopeRead, 200},
	{"GET", "/api/v1/channels/kept/history", "", ScopeRead, 200},
	{"GET", "/api/v1/channels/orders/members", "", ScopeRead, 200},
	{"GET", "/api/v1/channels/orders/subscribers", "", ScopeRead, 200},
	{"GET", "/api/v1/audit", "", ScopeAudit, 503}, // there is no store
	{"GET", "/api/v1/audit/export", "", ScopeAudit, 503},
	{"POST", "/api/v1/connections/1.2/disconnect", "", ScopeAdmin, 200},
	{"POST", "/api/v1/users/u-1/disconnect", "", ScopeAdmin, 200},
	{"GET", "/api/v1/jobs", "", ScopeJobs, 503},
	{"GET", "/api/v1/jobs/stats", "", ScopeJobs, 503},
	{"GET", "/api/v1/jobs/1", "", ScopeJobs, 503},
	{"DELETE", "/api/v1/jobs/1", "", ScopeJobs, 503},
	{"POST", "/api/v1/jobs/1/retry", "", ScopeJobs, 503},
	{"POST", "/api/v1/jobs/dead/retry", "", ScopeJobs, 503},
	{"POST", "/api/v1/webhooks", `{"url":"https://example.com"}`, ScopeWebhooks, 503},
	{"GET", "/api/v1/webhooks", "", ScopeWebhooks, 503},
	{"GET", "/api/v1/webhooks/wh-1", "", ScopeWebhooks, 503},
	{"PATCH", "/api/v1/webhooks/wh-1", `{"paused":true}`, ScopeWebhooks, 503},
	{"DELETE", "/api/v1/webhooks/wh-1", "", ScopeWebhooks, 503},
	{"POST", "/api/v1/webhooks/wh-1/rotate", "", ScopeWebhooks, 503},
	{"POST", "/api/v1/webhooks/wh-1/test", "", ScopeWebhooks, 503},
	{"GET", "/api/v1/webhooks/wh-1/attempts", "", ScopeWebhooks, 503},
	{"POST", "/api/v1/webhooks/wh-1/retry", `{"since":"2026-02-16T12:00:00Z"}`, ScopeWebhooks, 503},
	{"POST", "/api/v1/webhooks/attempts/att-1/retry", "", ScopeWebhooks, 503},
}

func TestEveryRouteNeedsItsScope(t *testing.T) {
	f := newAPIFixture(t, Config{})
	f.call(t, "POST", "/api/v1/events", `{"type":"a","id":"known"}`)
	admin := mintHS(t, map[string]any{"sub": "u-1", "role": "admin"})
	user := mintHS(t, map[string]any{"sub": "u-1", "role": "user"})
	for _, route := range apiRoutes {
		other := ScopeJobs
		if route.scope == other {
			other = ScopeRead
		}
		key := url.QueryEscape(apiKeyFor(ScopeAll))
		tests := []struct {
			name    string
			query   string
			header  http.Header
			want    int
			message string // part of it
		}{
			{"its key", "", withKey(apiKeyFor(route.scope)), route.status, ""},
			{"the key of all scopes", "", withKey(apiKeyFor(ScopeAll)), route.status, ""},
			{"the admin role", "", withKey(admin), route.status, ""},
			{"no key", "", http.Header{}, 401, "an API key is required"},
			{"a wrong key", "", withKey("not the key"), 401, "invalid"},
			{"another scheme", "", http.Header{"Authorization": {"Basic " + apiKeyFor(ScopeAll)}}, 401, "an API key is required"},
			{"a key in the query", "?token=" + key + "&api_key=" + key + "&access_token=" + key, http.Header{}, 401, "an API key is required"},
			{"an admin in the query", "?token=" + admin, http.Header{}, 401, "an API key is required"},
			{"the key of another scope", "", withKey(apiKeyFor(other)), 403, `"` + string(route.scope) + `"`},
			{"another role", "", withKey(user), 403, "role"},
		}
		for _, tt := range tests {
			t.Run(route.method+" "+route.path+" with "+tt.name, func(t *testing.T) {
				got := f.callWith(t, route.method, route.path+tt.query, route.body, tt.header)
				if got.status != tt.want {
					t.Fatalf("got %v, want %d", got, tt.want)
				}
				checkAuthorizationRefusal(t, got, tt.message)
			})
		}
	}
}

func checkAuthorizationRefusal(t *testing.T, got apiAnswer, message string) {
	t.Helper()
	wantCode := map[int]Code{401: CodeUnauthorized, 403: CodeForbidden}[got.status]
	if wantCode == "" {
		return
	}
	e := got.refusal(t)
	if e.Code != wantCode || !strings.Contains(e.Message, message) {
		t.Errorf("got %v, want %s with %q", got, wantCode, message)
	}
	if challenge := got.header.Get("WWW-Authenticate"); (challenge == "Bearer") != (got.status == 401) {
		t.Errorf("WWW-Authenticate is %q with %d", challenge, got.status)
	}
}

func TestWithoutAKeyTheServerAPIIsClosed(t *testing.T) {
	s, err := New(Config{Users: Users{Secrets: []string{testSecret}}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.apiHandler())
	defer web.Close()
	f := &apiFixture{s, web.URL}
	for _, route := range apiRoutes {
		got := f.callWith(t, route.method, route.path, route.body, withKey(mintHS(t, map[string]any{"sub": "u-1", "role": ""})))
		if e := got.refusal(t); got.status != 401 || !strings.Contains(e.Message, "no API key is configured") {
			t.Errorf("%s %s: got %v, want 401 that says why", route.method, route.path, got)
		}
	}
}

func TestRoutesThatAreNotThere(t *testing.T) {
	f := newAPIFixture(t, Config{})
	for _, path := range []string{
		"/api/v1/", "/api/v1/nothing", "/api/v1/broadcast/", "/api/v1/broadcast/other", "/api/v1/channels/orders/other",
		"/api/v1/channels/", "/api/v1/users/u-1", "/api/v1/connections/1.2/disconnect/now", "/api/v1/events/a/b",
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			got := f.callWith(t, method, path, "", http.Header{})
			if got.status != 404 || got.refusal(t).Code != CodeNotFound {
				t.Errorf("%s %s: got %v, want 404", method, path, got)
			}
		}
	}
}

func TestOtherMethodsAreNamed(t *testing.T) {
	f := newAPIFixture(t, Config{})
	for _, route := range apiRoutes {
		allow := map[string]string{"GET": "GET, HEAD", "POST": "POST"}[route.method]
		switch route.path {
		case "/api/v1/jobs/1":
			allow = "DELETE, GET, HEAD"
		case "/api/v1/webhooks":
			allow = "GET, HEAD, POST"
		case "/api/v1/webhooks/wh-1":
			allow = "DELETE, GET, HEAD, PATCH"
		}
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			got := f.callWith(t, method, route.path, route.body, http.Header{})
			if slices.Contains(strings.Split(allow, ", "), method) {
				if got.status != 401 {
					t.Errorf("%s %s: got %v, want 401", method, route.path, got)
				}
				continue
			}
			if got.status != 405 || got.header.Get("Allow") != allow {
				t.Errorf("%s %s: got %v, Allow %q, want 405, %q", method, route.path, got, got.header.Get("Allow"), allow)
			}
			if method != "HEAD" && got.refusal(t).Code != CodeBadRequest {
				t.Errorf("%s %s: got %v, want %s", method, route.path, got, CodeBadRequest)
			}
		}
	}
}

func TestHeadIsGetWithoutItsBody(t *testing.T) {
	f := newAPIFixture(t, Config{})
	for _, path := range []string{"/api/v1/channels", "/api/v1/channels/orders", "/openapi.json"} {
		if got := f.call(t, "HEAD", path, ""); got.status != 200 || got.body != "" {
			t.Errorf("HEAD %s: got %v, want 200 without a body", path, got)
		}
	}
}

func TestBodiesOverTheLimit(t *testing.T) {
	f := newAPIFixture(t, Config{Limits: Limits{MaxPayloadSize: 1024}})
	for path, limit := range map[string]int{
		"/api/v1/broadcast":       1024 + maxEnvelope,
		"/api/v1/broadcast/batch": maxBatchBody,
		"/api/v1/events":          1024 + maxEnvelope,
	} {
		if got := f.call(t, "POST", path, strings.Repeat(" ", limit)); got.status != 400 {
			t.Errorf("POST %s with %d bytes: got %v, want 400", path, limit, got)
		}
		got := f.call(t, "POST", path, strings.Repeat(" ", limit+1))
		if got.status != 413 || got.refusal(t).Code != CodeTooLarge {
			t.Errorf("POST %s with %d bytes: got %v, want 413", path, limit+1, got)
		}
		if got := f.call(t, "GET", "/api/v1/channels", ""); got.status != 200 {
			t.Errorf("afterwards: got %v, want 200", got)
		}
	}
}

// A caller that announces 64 MiB and sends what the limit allows and a byte is answered, and the
// connection is closed in good order.
func TestAHugeBodyIsAnsweredAndClosed(t *testing.T) {
	f := newAPIFixture(t, Config{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		apiKeyFor(ScopePublish), 64<<20, strings.Repeat(" ", 1<<20+maxEnvelope+1))
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 413 || !res.Close {
		t.Errorf("got %d %s, close %v, error %v; want 413 and close", res.StatusCode, body, res.Close, err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the answer: got %v, want %v", err, io.EOF)
	}
}

func TestDefectsAreLoggedAndNotTold(t *testing.T) {
	var log bytes.Buffer
	f := newAPIFixture(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	a := newAPI(f.Server, apiPatience)
	register(a, operation{Method: "GET", Path: "/broken", ID: "broken", Scope: ScopeRead}, struct{}{},
		func(*http.Request, []byte) (struct{}, error) {
			return struct{}{}, fmt.Errorf("open: %w", &Error{Code: CodeInternal, Message: "the inner text"})
		})
	web := httptest.NewServer(a.mux)
	defer web.Close()
	broken := &apiFixture{f.Server, web.URL}
	got := broken.call(t, "GET", "/broken", "")
	if got.status != 500 || got.body != `{"error":{"code":"INTERNAL","message":"internal error"}}` {
		t.Errorf("got %v, want 500 that tells nothing", got)
	}
	if n := strings.Count(log.String(), "the inner text"); n != 1 {
		t.Errorf("the text was logged %d times, want once:\n%s", n, &log)
	}
}

// A server whose loops stand still and whose hub is full answers all the same.
func TestWhatIsNotDoneInTimeIsUnavailable(t *testing.T) {
	s, err := New(Config{APIKeys: []APIKey{{Name: "all", Key: apiKeyFor(ScopeAll), Scopes: []Scope{ScopeAll}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.hub.PublishEvent(t.Context(), hub.Event{Type: "a", Size: 1 << 30}); err != nil {
		t.Fatalf("fill the hub: %v", err)
	}
	web := httptest.NewServer(newAPI(s, time.Millisecond).mux)
	defer web.Close()
	f := &apiFixture{s, web.URL}
	for _, call := range []struct{ method, path, body string }{
		{"POST", "/api/v1/events", `{"type":"a","id":"e-1"}`},
		{"POST", "/api/v1/connections/1.2/disconnect", ""},
		{"POST", "/api/v1/users/u-1/disconnect", ""},
		{"GET", "/api/v1/channels/orders/subscribers", ""},
	} {
		got := f.call(t, call.method, call.path, call.body)
		if got.status != 503 || got.refusal(t).Code != CodeUnavailable || got.header.Get("Retry-After") != "1" {
			t.Errorf("%s %s: got %v, Retry-After %q; want 503, 1", call.method, call.path, got, got.header.Get("Retry-After"))
		}
	}
	if got := f.call(t, "GET", "/api/v1/events/e-1", ""); got.status != 404 {
		t.Errorf("the event that was refused: got %v, want 404", got)
	}
}

func TestTwoServersDoNotMeet(t *testing.T) {
	one := newAPIFixture(t, Config{})
	two := newAPIFixture(t, Config{})
	one.call(t, "POST", "/api/v1/events", `{"type":"a","id":"e-1"}`)
	if got := two.call(t, "GET", "/api/v1/events/e-1", ""); got.status != 404 {
		t.Errorf("the other server: got %v, want 404", got)
	}
	if got, want := two.call(t, "GET", "/openapi.json", "").body, one.call(t, "GET", "/openapi.json", "").body; got != want {
		t.Error("the documents of two servers differ")
	}
}
