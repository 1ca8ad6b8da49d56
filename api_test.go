package herald

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
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

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/herald-events/herald/internal/hub"
)

// apiKeyFor is the key that opens one scope of an apiFixture.
func apiKeyFor(scope Scope) string { return "the key for " + string(scope) + ", long enough" }

// apiFixture is a running server with a key for each scope.
type apiFixture struct {
	*Server
	url string
}

func newAPIFixture(t testing.TB, c Config) *apiFixture {
	t.Helper()
	for _, scope := range scopes {
		c.APIKeys = append(c.APIKeys, APIKey{Name: string(scope), Key: apiKeyFor(scope), Scopes: []Scope{scope}})
	}
	c.AdminRole = cmp.Or(c.AdminRole, "admin")
	c.Users.Secrets = []string{testSecret}
	c.AuthSecrets = []string{testSecret}
	c.DrainTimeout = time.Millisecond
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	s, err := New(c)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	web := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		web.Close()
	})
	if err := s.hub.Each(ctx, func(*hub.Subscriber) {}); err != nil { // returns once the loops run
		t.Fatalf("wait for the loops: %v", err)
	}
	return &apiFixture{Server: s, url: web.URL}
}

// apiAnswer is what a call of the API came to.
type apiAnswer struct {
	status int
	header http.Header
	body   string
}

func (a apiAnswer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// refusal is the error that the answer must be.
func (a apiAnswer) refusal(t testing.TB) apiErrorBody {
	t.Helper()
	var e apiError
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil || e.Error.Code == "" || e.Error.Message == "" {
		t.Fatalf("got %v, want an error (%v)", a, err)
	}
	return e.Error
}

// decode reads the answer, which must be a success, into v.
func (a apiAnswer) decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil || a.status >= 300 {
		t.Fatalf("got %v, want a success that decodes (%v)", a, err)
	}
}

// call makes a call with the key of every scope.
func (f *apiFixture) call(t testing.TB, method, path, body string) apiAnswer {
	t.Helper()
	return f.callWith(t, method, path, body, http.Header{"Authorization": {"Bearer " + apiKeyFor(ScopeAll)}})
}

func (f *apiFixture) callWith(t testing.TB, method, path, body string, header http.Header) apiAnswer {
	t.Helper()
	req, err := http.NewRequest(method, f.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	return roundTrip(t, req)
}

func roundTrip(t testing.TB, req *http.Request) apiAnswer {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", req.Method, req.URL, err)
	}
	if got, want := res.Header.Get("Cache-Control"), "no-store"; got != want {
		t.Errorf("%s %s: Cache-Control is %q, want %q", req.Method, req.URL, got, want)
	}
	if got, want := res.Header.Get("Content-Type"), "application/json"; got != want {
		t.Errorf("%s %s: Content-Type is %q, want %q", req.Method, req.URL, got, want)
	}
	if link := res.Header.Get("Link"); link != "" {
		t.Errorf("%s %s: Link is %q, want none", req.Method, req.URL, link)
	}
	return apiAnswer{res.StatusCode, res.Header, strings.TrimSpace(string(text))}
}

// counter reads one of the server's metrics.
func (f *apiFixture) counter(t testing.TB, name string) float64 {
	t.Helper()
	families, err := f.metrics.registry.Gather()
	if err != nil {
		t.Fatalf("gather the metrics: %v", err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// apiListener is a WebSocket that is subscribed to channels.
type apiListener struct {
	conn net.Conn
	in   *bufio.Reader
	id   string
}

// listen opens a connection and subscribes it; of presence channels it is the member of that id.
func (f *apiFixture) listen(t testing.TB, member string, channels ...string) *apiListener {
	t.Helper()
	conn, early, _, err := ws.Dial(t.Context(), "ws"+strings.TrimPrefix(f.url, "http")+"/ws")
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	l := &apiListener{conn: conn, in: bufio.NewReader(conn)}
	if early != nil {
		l.in = bufio.NewReader(io.MultiReader(early, conn))
	}
	var hello struct {
		Data struct {
			SocketID string `json:"socketId"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(l.next(t)), &hello); err != nil || hello.Data.SocketID == "" {
		t.Fatalf("the first message names no socket id (%v)", err)
	}
	l.id = hello.Data.SocketID
	for _, channel := range channels {
		l.subscribe(t, channel, member)
	}
	return l
}

func (l *apiListener) subscribe(t testing.TB, channel, member string) {
	t.Helper()
	request := map[string]any{"type": "subscribe", "channel": channel}
	if mustChannel(t, channel).Type() != Public {
		data := ""
		if member != "" {
			data = fmt.Sprintf(`{"id":%q,"info":{"n":1.0}}`, member)
			request["channel_data"] = data
		}
		auth, err := SignChannel(testSecret, l.id, channel, data)
		if err != nil {
			t.Fatal(err)
		}
		request["auth"] = auth
	}
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := wsutil.WriteClientText(l.conn, text); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(l.next(t), `"subscription_succeeded"`) {
	}
}

func (l *apiListener) next(t testing.TB) string {
	t.Helper()
	if err := l.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	text, err := wsutil.ReadServerText(struct {
		io.Reader
		io.Writer
	}{l.in, l.conn})
	if err != nil {
		t.Fatalf("read a message: %v", err)
	}
	return string(text)
}

// apiRoutes are all operations, with a call of each that succeeds.
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
	{"GET", "/api/v1/channels/orders/members", "", ScopeRead, 200},
	{"GET", "/api/v1/channels/orders/subscribers", "", ScopeRead, 200},
	{"POST", "/api/v1/connections/1.2/disconnect", "", ScopeAdmin, 200},
	{"POST", "/api/v1/users/u-1/disconnect", "", ScopeAdmin, 200},
}

func withKey(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestEveryRouteNeedsItsScope(t *testing.T) {
	f := newAPIFixture(t, Config{})
	f.call(t, "POST", "/api/v1/events", `{"type":"a","id":"known"}`)
	admin := mintHS(t, map[string]any{"sub": "u-1", "role": "admin"})
	user := mintHS(t, map[string]any{"sub": "u-1", "role": "user"})
	for _, route := range apiRoutes {
		other := ScopeJobs
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
		if route.path == "/api/v1/events/known" {
			allow = "GET, HEAD"
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
