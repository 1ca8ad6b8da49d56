package herald

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/herald-events/herald/internal/hub"
)

// apiKeyFor is the key that opens one scope of an apiFixture.
func apiKeyFor(scope Scope) string { return "the key for " + string(scope) + ", long enough" }

// apiFixture is a running server with a key for each scope, and a channel "kept" that has a history.
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
	c.History = append(c.History, HistoryRule{Channels: "kept", Keep: Retention{Count: 10, Age: time.Minute}})
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
	if got, want := res.Header.Get("Content-Type"), "application/json"; got != want && res.StatusCode != http.StatusNoContent {
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

// withKey is the header of a call with a key.
func withKey(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
