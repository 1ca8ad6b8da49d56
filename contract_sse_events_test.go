package herald_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

const eventsPath = "/api/v1/events/stream"

// allEvents are the claims of somebody who may see everything.
var allEvents = map[string]any{"events": []string{"**"}}

// eventStream opens a stream of domain events with a query and a token.
func eventStream(t testing.TB, srv *heraldtest.Server, query, token string) *heraldtest.Stream {
	t.Helper()
	return srv.Stream(t, heraldtest.WithPath(eventsPath+query), heraldtest.WithToken(token))
}

// at is when the events of these tests happen.
var at = time.Date(2026, 2, 16, 13, 0, 0, 123_999_999, time.FixedZone("", 3600))

func TestEventStreamBegins(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st, err := srv.TryStream(t, heraldtest.WithPath(eventsPath), heraldtest.WithToken(srv.Token("ann")))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Connection": streamConnection(st), "X-Accel-Buffering": "no",
	} {
		if got := st.Response.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := nextBlock(t, st).Raw; got != ": connected" {
		t.Errorf("got %q, want the comment first", got)
	}
	if retry := nextBlock(t, st).Retry; retry < 2700*time.Millisecond || retry > 3300*time.Millisecond {
		t.Errorf("got %v, want 3 s, a tenth more or less", retry)
	}
	mustMatch(t, "greeting", nextBlock(t, st).Raw, `^event: connected\ndata: \{"connectionId":"sse-[A-Z2-7]{26}"\}$`)
}

func TestEventStreamEvent(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st := eventStream(t, srv, "", srv.Token("ann", allEvents))
	publish(t, srv, herald.Event{ID: "evt-1", Timestamp: at, UserID: "ann", IP: "192.0.2.1", Payload: herald.UserRegistered{UserID: "ann"}})
	e := st.Next()
	want := "event: user.registered\nid: evt-1\n" +
		`data: {"id":"evt-1","type":"user.registered","timestamp":"2026-02-16T12:00:00.123Z","payload":{"userId":"ann"}}`
	if e.Raw != want {
		t.Errorf("got  %s\nwant %s", e.Raw, want)
	}
	publish(t, srv, herald.LoginFailed{Email: "a@example.com"})
	e = st.Next()
	id := mustMatch(t, "id", e.ID, `^evt-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)[0]
	mustMatch(t, "event", e.Raw, `^event: login\.failed\nid: `+id+`\ndata: \{"id":"`+id+
		`","type":"login\.failed","timestamp":"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z","payload":\{"email":"a@example\.com"\}\}$`)
}

func TestEventStreamIdentity(t *testing.T) {
	tests := []struct{ scope, want string }{
		{"", ""}, {"events", ""}, {"events:identity2", ""},
		{"events:identity", `,"userId":"bob","ip":"192.0.2.1"`},
		{"a  events:identity b", `,"userId":"bob","ip":"192.0.2.1"`},
	}
	srv := startQuiet(t, herald.Config{})
	for i, tt := range tests {
		t.Run(tt.scope, func(t *testing.T) {
			st := eventStream(t, srv, "", srv.Token("ann", allEvents, map[string]any{"scope": tt.scope}))
			id := "evt-" + strconv.Itoa(i)
			publish(t, srv, herald.Event{ID: id, Timestamp: at, UserID: "bob", IP: "192.0.2.1", Payload: herald.LoginFailed{Email: "e"}})
			st.Expect(`{"id":"` + id + `","type":"login.failed","timestamp":"2026-02-16T12:00:00.123Z","payload":{"email":"e"}` + tt.want + `}`)
		})
	}
}

func TestEventStreamFilters(t *testing.T) {
	said := []string{"user.registered", "user.profile.updated", "login.failed", "logout"}
	tests := []struct{ query, want string }{
		{"", "user.registered user.profile.updated login.failed logout"},
		{"?events=", "user.registered user.profile.updated login.failed logout"},
		{"?events=user.registered", "user.registered"},
		{"?events=login.*,logout", "login.failed logout"},
		{"?events=user.*", "user.registered"},
		{"?events=user.**", "user.registered user.profile.updated"},
		{"?events=*", "user.registered user.profile.updated login.failed logout"},
		{"?events=**", "user.registered user.profile.updated login.failed logout"},
		{"?event=logout&event=user.registered", "user.registered logout"},
		{"?events=%2A.failed", "login.failed"},
		{"?events=user.*,user.registered,**", "user.registered user.profile.updated login.failed logout"},
	}
	srv := startQuiet(t, herald.Config{})
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			st := eventStream(t, srv, tt.query, srv.Token("ann", allEvents))
			for _, eventType := range said {
				publish(t, srv, herald.Event{Type: eventType, Payload: map[string]int{}})
			}
			for _, want := range strings.Fields(tt.want) {
				if got := st.Next().Event; got != want {
					t.Fatalf("got %s, want %s", got, want)
				}
			}
			if n, err := srv.Disconnect(t.Context(), st.ConnectionID); n != 1 || err != nil {
				t.Fatalf("disconnect: got %d, %v", n, err)
			}
			if e, err := st.TryNext(); err == nil {
				t.Errorf("got %s, want nothing more", e.Raw)
			}
		})
	}
}

// With no claim of events only those arrive whose user it is, whoever says so: the event or its payload.
func TestEventStreamOwnEventsOnly(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	ann := eventStream(t, srv, "", srv.Token("ann"))
	failed := eventStream(t, srv, "?events=login.failed", srv.Token("ann"))
	for id, e := range []herald.Event{
		{UserID: "ann", Payload: herald.LoginFailed{Email: "e"}},
		{UserID: "bob", Payload: herald.LoginFailed{Email: "e"}},
		{UserID: "bob", Payload: herald.UserUpdated{UserID: "ann"}},
		{Payload: herald.UserRegistered{UserID: "ann"}},
		{Payload: herald.UserRegistered{UserID: "bob"}},
		{Type: "a", Payload: map[string]any{"userId": []string{"ann"}}},
		{Type: "a", Payload: []string{"ann"}},
		{Type: "a", UserID: "ann", Payload: herald.UserRegistered{UserID: "ann"}},
	} {
		e.ID = strconv.Itoa(id)
		publish(t, srv, e)
	}
	for _, want := range []string{"0", "2", "3", "7"} {
		if got := ann.Next().ID; got != want {
			t.Errorf("got event %s, want %s", got, want)
		}
	}
	if got := failed.Next().ID; got != "0" {
		t.Errorf("got event %s, want 0", got)
	}
	publish(t, srv, herald.Event{ID: "last", UserID: "ann", Payload: herald.LoginFailed{}})
	if got := failed.Next().ID; got != "last" {
		t.Errorf("got event %s, want nothing before the last", got)
	}
}

func TestEventStreamForEverybodyWithAUser(t *testing.T) {
	srv := startQuiet(t, herald.Config{EventAccess: herald.EventsByAuthentication})
	st := eventStream(t, srv, "?events=user.*", srv.Token("ann", map[string]any{"events": []string{}}))
	publish(t, srv, herald.UserRegistered{UserID: "bob"})
	if got := st.Next().Event; got != "user.registered" {
		t.Errorf("got %s, want user.registered", got)
	}
}

func TestEventStreamUnauthorized(t *testing.T) {
	srv, k := startWithClock(t, herald.Config{})
	short := srv.Token("ann", map[string]any{"exp": k.Now().Add(time.Minute).Unix()})
	k.Advance(time.Minute)
	tests := []struct{ name, query, header, message string }{
		{"no token", "", "", "Authentication required"},
		{"an empty one", "?token=", "", "Authentication required"},
		{"wrong in the query", "?token=x", "", "invalid token"},
		{"wrong in the header", "", "Authorization: Bearer x", "invalid token"},
		{"another scheme", "", "Authorization: Basic YTpi", "Authentication required"},
		{"expired", "", bearerLine(short), "token expired"},
		{"an API key", "", bearerLine(heraldtest.APIKey), "invalid token"},
		{"before a bad pattern", "?events=a b", "", "Authentication required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var headers []string
			if tt.header != "" {
				headers = append(headers, tt.header)
			}
			got := httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+eventsPath+strings.ReplaceAll(tt.query, " ", "%20"), "", headers...)
			got.check(t, 401, `{"error":{"code":"UNAUTHORIZED","message":"`+tt.message+`"}}`)
			if got.Header.Get("WWW-Authenticate") != "Bearer" || got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("got %v, want JSON and the scheme", got.Header)
			}
		})
	}
}

func TestEventStreamTokenInTheQuery(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st := srv.Stream(t, heraldtest.WithPath(eventsPath+"?events=user.*&token="+srv.Token("ann", allEvents)))
	publish(t, srv, herald.UserRegistered{UserID: "bob"})
	if got := st.Next().Event; got != "user.registered" {
		t.Errorf("got %s, want user.registered", got)
	}
}

func TestEventStreamForbidden(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	token := srv.Token("ann", map[string]any{"events": []string{"user.*", "{sub}.**"}})
	for query, pattern := range map[string]string{
		"?events=login.failed":     "login.failed",
		"?events=user.*,login.*":   "login.*",
		"?events=**":               "**",
		"?events=*":                "*",
		"?event=user.a.b":          "user.a.b",
		"?events=user.a,%2A.a":     "*.a",
		"?events=ann.a,bob.a":      "bob.a",
		"?events=user.%2A%2A":      "user.**",
		"?events=user.x&event=x.y": "x.y",
	} {
		t.Run(query, func(t *testing.T) {
			httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+eventsPath+query, "", bearerLine(token)).
				check(t, 403, `{"error":{"code":"FORBIDDEN","message":"the token does not allow the events \"`+pattern+`\""}}`)
		})
	}
	st := eventStream(t, srv, "?events=user.a,ann.**", token)
	publish(t, srv, herald.Event{Type: "ann.a.b", Payload: 1})
	if got := st.Next().Event; got != "ann.a.b" {
		t.Errorf("got %s, want what the token's {sub} covers", got)
	}
	nothing := eventStream(t, srv, "", srv.Token("ann", map[string]any{"events": []string{}}))
	publish(t, srv, herald.Event{Type: "user.a", UserID: "ann", Payload: 1})
	if n, err := srv.Disconnect(t.Context(), nothing.ConnectionID); n != 1 || err != nil {
		t.Fatalf("disconnect: got %d, %v", n, err)
	}
	if e, err := nothing.TryNext(); err == nil {
		t.Errorf("got %s, want nothing where the claim is an empty list", e.Raw)
	}
}

// {sub} is taken literally: a user called * gains nothing.
func TestEventStreamOfAUserCalledStar(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	star := srv.Token("*", map[string]any{"events": []string{"{sub}.a"}})
	httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+eventsPath+"?events=ann.a", "", bearerLine(star)).
		check(t, 403, `{"error":{"code":"FORBIDDEN","message":"the token does not allow the events \"ann.a\""}}`)
}

func TestEventStreamBadPatterns(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	token := bearerLine(srv.Token("ann", allEvents))
	for name, query := range map[string]string{
		"blank": "?events=a%20b", "line end": "?events=a%0D%0Ab", "NUL": "?event=%00",
	} {
		t.Run(name, func(t *testing.T) {
			got := httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+eventsPath+query, "", token)
			if got.Status != 400 || !strings.HasPrefix(got.Body, `{"error":{"code":"BAD_REQUEST","message":`) {
				t.Errorf("got %d %s, want 400", got.Status, got.Body)
			}
		})
	}
	hundred := "?events=a" + strings.Repeat(",a", 99)
	httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+eventsPath+hundred+",a", "", token).
		check(t, 400, `{"error":{"code":"BAD_REQUEST","message":"a stream may have 100 patterns"}}`)
	eventStream(t, srv, hundred, srv.Token("ann", allEvents))
}

// An event that fits several patterns of a stream comes once, and one that was published twice too.
func TestEventStreamTellsAnEventOnce(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st := eventStream(t, srv, "?events=user.*,**,user.registered", srv.Token("ann", allEvents))
	for _, id := range []string{"1", "2", "1", "3"} {
		publish(t, srv, herald.Event{ID: id, Payload: herald.UserRegistered{UserID: "ann"}})
	}
	for _, want := range []string{"1", "2", "3"} {
		if got := st.Next().ID; got != want {
			t.Errorf("got event %s, want %s", got, want)
		}
	}
}

// A payload cannot say anything in the stream's own words.
func TestEventStreamPayloadsStayInTheirLine(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st := eventStream(t, srv, "", srv.Token("ann", allEvents))
	publish(t, srv, herald.Event{ID: "1", Type: "a", Timestamp: at, Payload: "x\n\nevent: b\rid: 2\r\n\r\ndata: y\u2028"})
	want := "event: a\nid: 1\n" +
		`data: {"id":"1","type":"a","timestamp":"2026-02-16T12:00:00.123Z","payload":"x\n\nevent: b\rid: 2\r\n\r\ndata: y\u2028"}`
	if got := st.Next().Raw; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// An event is its user's, and that of whom its payload names as userId: no other name will do.
func TestEventStreamTakesTheOwnersNameByTheLetter(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st := eventStream(t, srv, "", srv.Token("bob"))
	for i, payload := range []string{`{"USERID":"bob"}`, `{"userid":"bob","UserId":"bob"}`, `{"userId":"bob"}`} {
		publish(t, srv, herald.Event{ID: fmt.Sprint("evt-", i), Type: "a", UserID: "alice", Payload: json.RawMessage(payload)})
	}
	if got := st.Next().ID; got != "evt-2" {
		t.Errorf("bob got %s, want evt-2 alone", got)
	}
}
