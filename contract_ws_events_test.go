package herald_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// wsSubscribed is the answer to a subscribe to, or unsubscribe from, domain events.
type wsSubscribed struct {
	Type      string
	Events    []string
	Position  string
	Recovered *bool
}

func wsNextSubscribed(t *testing.T, c *heraldtest.Client) wsSubscribed {
	t.Helper()
	m := c.Next()
	var s wsSubscribed
	if err := json.Unmarshal([]byte(m.Raw), &s); err != nil || s.Type != "subscribed" || s.Events == nil || s.Position == "" {
		t.Fatalf("got %s, want subscribed with events and a position", m.Raw)
	}
	return s
}

// wsUser dials as a user whose token has those claims.
func wsUser(t *testing.T, srv *heraldtest.Server, user string, claims map[string]any) *heraldtest.Client {
	t.Helper()
	c := srv.Dial(t, heraldtest.WithToken(srv.Token(user, claims)))
	c.Expect(fmt.Sprintf(`{"type":"auth","ok":true,"userId":%q}`, user))
	return c
}

func wsPublish(t *testing.T, srv *heraldtest.Server, payloads ...herald.Payload) {
	t.Helper()
	for _, p := range payloads {
		if err := srv.Publish(t.Context(), p); err != nil {
			t.Fatalf("publish %T: %v", p, err)
		}
	}
}

var wsAll = map[string]any{"events": []string{"**"}}

func TestWebSocketEventsSubscribeAndUnsubscribe(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := wsUser(t, srv, "ann", wsAll)
	steps := []struct {
		kind   string
		events []string
		want   []string
	}{
		{"subscribe", []string{"user.registered", "login.*"}, []string{"user.registered", "login.*"}},
		{"subscribe", []string{"login.*", "logout"}, []string{"user.registered", "login.*", "logout"}},
		{"unsubscribe", []string{"login.*", "never.asked"}, []string{"user.registered", "logout"}},
		{"unsubscribe", []string{"user.*"}, []string{"user.registered", "logout"}},
		{"unsubscribe", []string{"user.registered", "logout"}, []string{}},
		{"unsubscribe", []string{"logout"}, []string{}},
		{"subscribe", []string{"user.*"}, []string{"user.*"}},
	}
	for _, step := range steps {
		c.Send(map[string]any{"type": step.kind, "events": step.events})
		got := wsNextSubscribed(t, c)
		if !slices.Equal(got.Events, step.want) || got.Recovered != nil {
			t.Errorf("%s %q: got %+v, want %q", step.kind, step.events, got, step.want)
		}
	}
	wsPublish(t, srv, herald.LoginFailed{Email: "x"}, herald.UserRegistered{UserID: "u1"}, herald.Logout{UserID: "u1"})
	m := c.Next()
	var event struct{ ID, Timestamp string }
	if err := json.Unmarshal(m.Event, &event); err != nil {
		t.Fatalf("got %s: %v", m.Raw, err)
	}
	want := fmt.Sprintf(`{"type":"event","event":{"id":%q,"type":"user.registered","timestamp":%q,"payload":{"userId":"u1"}}}`, event.ID, event.Timestamp)
	if !heraldtest.SameJSON(m.Raw, want) || !strings.HasPrefix(event.ID, "evt-") {
		t.Errorf("got %s, want %s", m.Raw, want)
	}
	if at, err := time.Parse("2006-01-02T15:04:05.000Z", event.Timestamp); err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("got the timestamp %q (%v), want now in UTC with milliseconds", event.Timestamp, err)
	}
	c.Quiet()
}

func TestWebSocketEventReachesAConnectionOnce(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := wsUser(t, srv, "ann", wsAll)
	c.Send(`{"type":"subscribe","events":["login.failed","login.*","**","*"]}`)
	c.Next()
	wsPublish(t, srv, herald.LoginFailed{Email: "x"})
	if got := c.Settle(); len(got) != 1 {
		t.Errorf("got %v, want one message", got)
	}
}

func TestWebSocketEventsPosition(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{EventHistory: herald.Retention{Count: -1}})
	c := wsUser(t, srv, "ann", wsAll)
	ask := func(since string) wsSubscribed {
		t.Helper()
		c.Send(`{"type":"subscribe","events":["**"]` + since + "}")
		return wsNextSubscribed(t, c)
	}
	since := func(position string) string { return fmt.Sprintf(`,"since":%q`, position) }
	recovered := func(s wsSubscribed) bool {
		t.Helper()
		if s.Recovered == nil {
			t.Fatal("got no recovered, want one beside since")
		}
		return *s.Recovered
	}
	start := ask("")
	if again := ask(since(start.Position)); !recovered(again) || again.Position != start.Position {
		t.Errorf("got %+v, want to be where it was", again)
	}
	wsPublish(t, srv, herald.Event{ID: "evt-1", Payload: herald.LoginFailed{Email: "x"}})
	c.Next()
	if got := ask(""); got.Position != "evt-1" {
		t.Errorf("got the position %q, want the newest event's id", got.Position)
	}
	if !recovered(ask(since("evt-1"))) {
		t.Error("got recovered:false with nothing missed")
	}
	for _, position := range []string{start.Position, "evt-0", "", "x"} {
		if recovered(ask(since(position))) {
			t.Errorf("since %q: got recovered:true without a history", position)
		}
	}
	c.Send(`{"type":"unsubscribe","events":["**"]}`)
	if got := wsNextSubscribed(t, c); got.Position != "evt-1" || got.Recovered != nil {
		t.Errorf("got %+v, want the position and no recovered", got)
	}
}

func TestWebSocketEventsNeedAUser(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{EventAccess: herald.EventsByAuthentication})
	c := srv.Dial(t)
	c.Send(`{"type":"subscribe","events":["login.*"]}`)
	c.Expect(`{"type":"error","message":"Authentication required","error":"Authentication required","code":"unauthenticated"}`)
	c.Send(`{"type":"unsubscribe","events":["login.*"]}`) // there is nothing to refuse
	if got := wsNextSubscribed(t, c); len(got.Events) > 0 {
		t.Errorf("got %q, want nothing", got.Events)
	}
}

func TestWebSocketForbiddenPatternIsNamedAndNothingApplied(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := wsUser(t, srv, "ann", map[string]any{"events": []string{"login.*", "user.*", "mine.{sub}.**"}})
	c.Send(`{"type":"subscribe","events":["user.updated","mine.ann.a.b"]}`)
	wsNextSubscribed(t, c)
	for _, bad := range []string{"logout", "**", "*", "login.**", "user.*.x", "mine.bob.a", "mine.*.a"} {
		c.Send(map[string]any{"type": "subscribe", "events": []string{"login.failed", bad}})
		if got := c.ExpectCode("forbidden"); !strings.Contains(got.Error, fmt.Sprintf("%q", bad)) {
			t.Errorf("got %s, want it to name %q", got.Raw, bad)
		}
	}
	wsPublish(t, srv, herald.LoginFailed{Email: "x"}, herald.UserUpdated{UserID: "u"})
	if got := c.Settle(); len(got) != 1 || !strings.Contains(got[0].Raw, "user.updated") {
		t.Errorf("got %v, want only what was granted before", got)
	}
}

func TestWebSocketEventPatternLimit(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := wsUser(t, srv, "ann", wsAll)
	patterns := make([]string, 101)
	for i := range patterns {
		patterns[i] = fmt.Sprintf("type.%d", i)
	}
	c.Send(map[string]any{"type": "subscribe", "events": patterns})
	c.ExpectCode("limit_reached")
	c.Send(map[string]any{"type": "subscribe", "events": patterns[:100]})
	if got := wsNextSubscribed(t, c); len(got.Events) != 100 {
		t.Errorf("got %d patterns, want 100: nothing of the refused ones", len(got.Events))
	}
	c.Send(map[string]any{"type": "subscribe", "events": patterns[100:]})
	c.ExpectCode("limit_reached")
	c.Send(map[string]any{"type": "subscribe", "events": patterns[50:60]}) // it has them
	wsNextSubscribed(t, c)
	c.Send(map[string]any{"type": "unsubscribe", "events": patterns})
	c.ExpectCode("limit_reached")
	c.Send(map[string]any{"type": "unsubscribe", "events": patterns[:1]})
	wsNextSubscribed(t, c)
	c.Send(map[string]any{"type": "subscribe", "events": patterns[100:]})
	if got := wsNextSubscribed(t, c); len(got.Events) != 100 {
		t.Errorf("got %d patterns, want 100", len(got.Events))
	}
}

// Without an "events" claim any pattern is accepted and only the user's own events arrive.
func TestWebSocketOwnEventsOnly(t *testing.T) {
	for _, user := range []string{"ann", "*", "**", "{sub}"} {
		t.Run(user, func(t *testing.T) {
			srv := heraldtest.Start(t, herald.Config{})
			c := wsUser(t, srv, user, nil)
			c.Send(`{"type":"subscribe","events":["**","user.registered"]}`)
			wsNextSubscribed(t, c)
			wsPublish(t, srv,
				herald.UserRegistered{UserID: "bob"},
				herald.LoginFailed{Email: user},
				herald.Event{ID: "evt-nobody", UserID: "", Payload: herald.UserDeleted{UserID: ""}},
				herald.Event{ID: "evt-payload", Payload: herald.UserRegistered{UserID: user}},
				herald.Event{ID: "evt-event", UserID: user, Payload: herald.LoginFailed{Email: "x"}},
				herald.Event{ID: "evt-both", UserID: user, Payload: herald.UserDeleted{UserID: user}},
				herald.Event{ID: "evt-either", UserID: "bob", Payload: herald.UserDeleted{UserID: user}},
			)
			var got []string
			for _, m := range c.Settle() {
				var event struct{ ID string }
				if err := json.Unmarshal(m.Event, &event); err != nil {
					t.Fatalf("got %s: %v", m.Raw, err)
				}
				got = append(got, event.ID)
			}
			if want := []string{"evt-payload", "evt-event", "evt-both", "evt-either"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestWebSocketEventsOfAnEmptyClaim(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := wsUser(t, srv, "ann", map[string]any{"events": []string{}})
	c.Send(`{"type":"subscribe","events":["user.registered"]}`)
	c.ExpectCode("forbidden")
}

func TestWebSocketEventsByAuthentication(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{EventAccess: herald.EventsByAuthentication})
	none, narrow := wsUser(t, srv, "ann", nil), wsUser(t, srv, "bob", map[string]any{"events": []string{"login.*"}})
	for _, c := range []*heraldtest.Client{none, narrow} {
		c.Send(`{"type":"subscribe","events":["user.*"]}`)
		wsNextSubscribed(t, c)
	}
	wsPublish(t, srv, herald.UserRegistered{UserID: "someone else"})
	for _, c := range []*heraldtest.Client{none, narrow} {
		if got := c.Next(); !strings.Contains(got.Raw, "user.registered") {
			t.Errorf("got %s, want everybody's events", got.Raw)
		}
	}
}

func TestWebSocketIdentityScope(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	at := time.Date(2026, 2, 16, 12, 0, 0, 123_900_000, time.FixedZone("", 3600))
	event := herald.Event{ID: "evt-1", UserID: "bob", IP: "192.0.2.1", Timestamp: at, Payload: herald.LoginFailed{Email: "x"}}
	const plain = `{"type":"event","event":{"id":"evt-1","type":"login.failed","timestamp":"2026-02-16T11:00:00.123Z","payload":{"email":"x"}}}`
	full := strings.Replace(plain, `"payload"`, `"userId":"bob","ip":"192.0.2.1","payload"`, 1)
	wants := map[*heraldtest.Client]string{}
	for scope, want := range map[string]string{
		"":                                  plain,
		"events:identity":                   full,
		"read events:identity write":        full,
		"events:identity2 xevents:identity": plain,
		"EVENTS:IDENTITY":                   plain,
	} {
		c := wsUser(t, srv, "ann", map[string]any{"events": []string{"**"}, "scope": scope})
		c.Send(`{"type":"subscribe","events":["*"]}`)
		wsNextSubscribed(t, c)
		wants[c] = want
	}
	wsPublish(t, srv, event)
	for c, want := range wants {
		c.Expect(want)
	}
}

func TestWebSocketPatternsThatAreNone(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	for user, claims := range map[string]map[string]any{"limited": wsAll, "own": nil} {
		c := wsUser(t, srv, user, claims)
		for _, bad := range []string{"", "a b", "a\nb", "a\r\n\r\nb", "\x00", "{sub}", "ä", strings.Repeat("x", 201)} {
			c.Send(map[string]any{"type": "subscribe", "events": []string{"login.*", bad}})
			c.ExpectCode("bad_message")
		}
		c.Send(`{"type":"unsubscribe","events":["x"]}`)
		if got := wsNextSubscribed(t, c); len(got.Events) > 0 {
			t.Errorf("got %q, want nothing of the refused messages", got.Events)
		}
	}
}
