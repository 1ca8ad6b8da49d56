package herald_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/clock"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// quiet has the server log to the test.
func quiet(t testing.TB, c herald.Config) herald.Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return c
}

// startQuiet starts a server that logs to the test.
func startQuiet(t testing.TB, c herald.Config) *heraldtest.Server {
	t.Helper()
	return heraldtest.Start(t, quiet(t, c))
}

// startWithClock starts a server whose time the test moves. Tokens that it mints live for an hour of it.
func startWithClock(t testing.TB, c herald.Config) (*heraldtest.Server, *clock.Manual) {
	t.Helper()
	k := clock.NewManual(time.Now())
	return startQuiet(t, herald.WithClock(c, k)), k
}

// yes lets everybody in, and names nobody.
var yes = herald.AuthorizerFunc(func(context.Context, herald.AccessRequest) (herald.Access, error) {
	return herald.Access{Authorized: true}, nil
})

// naming lets everybody in as one member.
func naming(m herald.Member) herald.Authorizer {
	return herald.AuthorizerFunc(func(context.Context, herald.AccessRequest) (herald.Access, error) {
		return herald.Access{Authorized: true, Member: &m}, nil
	})
}

// httpAnswer is a whole answer.
type httpAnswer struct {
	Status int
	Header http.Header
	Body   string
}

// check compares the status, and the body as JSON.
func (a httpAnswer) check(t testing.TB, status int, body string) {
	t.Helper()
	if a.Status != status || !heraldtest.SameJSON(a.Body, body) {
		t.Errorf("got %d %s, want %d %s", a.Status, a.Body, status, body)
	}
}

// httpCall makes a request with header lines such as "Origin: https://a".
func httpCall(t testing.TB, client *http.Client, method, url, body string, headers ...string) httpAnswer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatalf("new request: %v", err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, url, err)
	}
	return httpAnswer{res.StatusCode, res.Header, string(answer)}
}

// streamCall posts to /events/subscribe or /events/unsubscribe.
func streamCall(t testing.TB, srv *heraldtest.Server, verb, connectionID, channel string, headers ...string) httpAnswer {
	t.Helper()
	body, err := json.Marshal(map[string]string{"connectionId": connectionID, "channel": channel})
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return httpCall(t, srv.HTTP(), http.MethodPost, srv.URL+"/events/"+verb, string(body), headers...)
}

func bearerLine(token string) string { return "Authorization: Bearer " + token }

func broadcast(t testing.TB, srv *heraldtest.Server, channel, event string, data any) {
	t.Helper()
	if err := srv.Broadcast(t.Context(), channel, event, data); err != nil {
		t.Fatalf("broadcast on %s: %v", channel, err)
	}
}

func publish(t testing.TB, srv *heraldtest.Server, p herald.Payload) {
	t.Helper()
	if err := srv.Publish(t.Context(), p); err != nil {
		t.Fatalf("publish %s: %v", p.EventType(), err)
	}
}

// expectStream waits for messages of a channel stream, in order.
func expectStream(t testing.TB, st *heraldtest.Stream, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := st.NextMessage().Raw; !heraldtest.SameJSON(got, w) {
			t.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

// streamConnection is the header field Connection of a stream of domain events. HTTP/2 has none such
// (RFC 9113 section 8.2.2).
func streamConnection(st *heraldtest.Stream) string {
	if st.Response.ProtoMajor == 2 {
		return ""
	}
	return "keep-alive"
}

func succeeded(channel string) string {
	return `{"type":"subscription_succeeded","channel":"` + channel + `"}`
}

// mustMatch returns the match and the groups of a pattern that a text must match.
func mustMatch(t testing.TB, what, got, pattern string) []string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(got)
	if m == nil {
		t.Fatalf("%s: got %q, want %s", what, got, pattern)
	}
	return m
}

// nextBlock waits for the next block of any kind.
func nextBlock(t testing.TB, st *heraldtest.Stream) heraldtest.StreamEvent {
	t.Helper()
	e, err := st.NextBlock()
	if err != nil {
		t.Fatalf("next block: %v", err)
	}
	return e
}

// awaitCount waits until a channel has so many subscribers. Of a connection that went without a word
// only the count tells; each turn of the waiting gives the loops something to do.
func awaitCount(t testing.TB, srv *heraldtest.Server, channel string, want int) {
	t.Helper()
	for deadline := time.Now().Add(patience); must(srv.SubscriberCount(t.Context(), channel)) != want; {
		if time.Now().After(deadline) {
			t.Fatalf("%s: got %d subscribers, want %d", channel, must(srv.SubscriberCount(t.Context(), channel)), want)
		}
		if _, err := srv.Disconnect(t.Context(), "1.1"); err != nil {
			t.Fatalf("ask the loops: %v", err)
		}
	}
}

func awaitNobody(t testing.TB, srv *heraldtest.Server, channel string) {
	t.Helper()
	awaitCount(t, srv, channel, 0)
}

func base64URL(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// must is what a call returns that has no reason to fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
