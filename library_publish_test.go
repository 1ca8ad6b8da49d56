package herald_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// What an application writes, checked by the compiler.
var (
	_ herald.Payload    = herald.UserRegistered{}
	_ herald.Payload    = (*herald.UserRegistered)(nil)
	_ herald.Payload    = herald.Event{}
	_ herald.Payload    = orderPlaced{}
	_ herald.Authorizer = herald.AuthorizerFunc(nil)
	_ error             = (*herald.Error)(nil)
	_ error             = (*herald.FieldError)(nil)
	_                   = herald.On[orderPlaced]
	_                   = []herald.OverflowPolicy{herald.Wait, herald.DropOldest, herald.DropNewest}

	_ func(context.Context, herald.Typed[herald.UserRegistered]) error = func(_ context.Context, e herald.Typed[herald.UserRegistered]) error {
		_ = e.ID + e.Payload.UserID
		return nil
	}
)

// orderPlaced is a type of an application's own.
type orderPlaced struct {
	OrderID string  `json:"orderId"`
	Total   float64 `json:"total"`
}

func (orderPlaced) EventType() string { return "shop.order_placed" }

var catalogue = []struct {
	payload   herald.Payload
	eventType string
	json      string
}{
	{herald.UserRegistered{UserID: "u"}, "user.registered", `{"userId":"u"}`},
	{herald.UserDeleted{UserID: "u"}, "user.deleted", `{"userId":"u"}`},
	{herald.UserUpdated{UserID: "u", Fields: []string{"name", "email"}}, "user.updated", `{"userId":"u","fields":["name","email"]}`},
	{herald.LoginSuccess{UserID: "u", Email: "e"}, "login.success", `{"userId":"u","email":"e"}`},
	{herald.LoginFailed{Email: "e"}, "login.failed", `{"email":"e"}`},
	{herald.Logout{UserID: "u"}, "logout", `{"userId":"u"}`},
	{herald.PasswordChanged{UserID: "u"}, "password.changed", `{"userId":"u"}`},
	{herald.PasswordReset{UserID: "u"}, "password.reset", `{"userId":"u"}`},
	{herald.EmailVerified{UserID: "u"}, "email.verified", `{"userId":"u"}`},
	{herald.MFAEnabled{UserID: "u"}, "mfa.enabled", `{"userId":"u"}`},
	{herald.MFADisabled{UserID: "u"}, "mfa.disabled", `{"userId":"u"}`},
	{herald.APIKeyCreated{UserID: "u", KeyID: "k"}, "api_key.created", `{"userId":"u","keyId":"k"}`},
	{herald.APIKeyRevoked{UserID: "u", KeyID: "k"}, "api_key.revoked", `{"userId":"u","keyId":"k"}`},
	{herald.AccountLocked{Email: "e"}, "account.locked", `{"email":"e"}`},
	{herald.AccountUnlocked{Email: "e"}, "account.unlocked", `{"email":"e"}`},
	{herald.ChannelOccupied{Channel: "c"}, "channel.occupied", `{"channel":"c"}`},
	{herald.ChannelVacated{Channel: "c"}, "channel.vacated", `{"channel":"c"}`},
	{herald.MemberJoined{Channel: "presence-c", Member: herald.Member{ID: "m", Info: json.RawMessage(`1`)}}, "member.added", `{"channel":"presence-c","member":{"id":"m","info":1}}`},
	{herald.MemberLeft{Channel: "presence-c", Member: herald.Member{ID: "m"}}, "member.removed", `{"channel":"presence-c","member":{"id":"m"}}`},
	{herald.ConnectionOpened{ConnectionID: "1.2", Transport: "websocket"}, "connection.opened", `{"connectionId":"1.2","transport":"websocket"}`},
	{herald.ConnectionClosed{ConnectionID: "1.2", Transport: "sse", UserID: "u", Code: 1006}, "connection.closed", `{"connectionId":"1.2","transport":"sse","userId":"u","code":1006}`},
	{orderPlaced{OrderID: "o", Total: 1.5}, "shop.order_placed", `{"orderId":"o","total":1.5}`},
	{&herald.UserRegistered{UserID: "u"}, "user.registered", `{"userId":"u"}`},
	{herald.Event{Payload: herald.Logout{UserID: "u"}}, "logout", `{"userId":"u"}`},
	{&herald.Event{Payload: &herald.Logout{UserID: "u"}}, "logout", `{"userId":"u"}`},
	{herald.Event{Type: "other", Payload: herald.Logout{UserID: "u"}}, "other", `{"userId":"u"}`},
	{herald.Event{Type: "none"}, "none", `null`},
	{herald.Event{Type: "raw", Payload: json.RawMessage(`{ "n": 12345678901234567890, "m": 1.0 }`)}, "raw", `{"n":12345678901234567890,"m":1.0}`},
}

func TestPublishTheCatalogue(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st := eventStream(t, srv, "", srv.Token("ann", allEvents))
	var seen []herald.Event
	keep := func(_ context.Context, e herald.Event) error {
		seen = append(seen, e)
		return nil
	}
	if _, err := srv.SubscribeAll(keep, herald.Synchronously()); err != nil {
		t.Fatal(err)
	}
	for i, tt := range catalogue {
		t.Run(fmt.Sprintf("%T %s", tt.payload, tt.eventType), func(t *testing.T) {
			publish(t, srv, tt.payload)
			e := seen[len(seen)-1]
			raw, ok := e.Payload.(json.RawMessage)
			if e.Type != tt.eventType || !ok || string(raw) != tt.json || len(seen) != i+1 {
				t.Errorf("a handler got %s %s, want %s %s", e.Type, raw, tt.eventType, tt.json)
			}
			if !regexp.MustCompile(`^evt-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(e.ID) {
				t.Errorf("id: got %q, want evt- and a UUIDv7", e.ID)
			}
			if e.Timestamp.IsZero() || e.Timestamp.Location() != time.UTC || !e.Timestamp.Equal(e.Timestamp.Truncate(time.Millisecond)) {
				t.Errorf("timestamp: got %v, want UTC in milliseconds", e.Timestamp)
			}
			on := st.Next()
			if on.Event != tt.eventType || on.ID != e.ID || !strings.HasSuffix(on.Data, `,"payload":`+tt.json+`}`) {
				t.Errorf("a stream got %s, want %s %s", on.Raw, tt.eventType, tt.json)
			}
		})
	}
}

func TestPublishKeepsWhatTheEventSays(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	var got herald.Event
	if _, err := srv.SubscribeAll(func(_ context.Context, e herald.Event) error { got = e; return nil }, herald.Synchronously()); err != nil {
		t.Fatal(err)
	}
	publish(t, srv, herald.Event{ID: "my_Event-1", UserID: "ann", IP: "192.0.2.1", Timestamp: at, Payload: herald.Logout{UserID: "bob"}})
	want := herald.Event{ID: "my_Event-1", Type: "logout", UserID: "ann", IP: "192.0.2.1", Timestamp: time.Date(2026, 2, 16, 12, 0, 0, 123_000_000, time.UTC)}
	got.Payload = nil
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestPublishRefuses(t *testing.T) {
	srv := startQuiet(t, herald.Config{Limits: herald.Limits{MaxPayloadSize: 128}})
	var nobody *herald.Event
	tests := []struct {
		name    string
		payload herald.Payload
		code    herald.Code
	}{
		{"nothing", nil, herald.CodeBadRequest},
		{"no event", nobody, herald.CodeBadRequest},
		{"no type", herald.Event{Payload: 1}, herald.CodeBadRequest},
		{"a bad type", herald.Event{Type: "User.registered"}, herald.CodeBadRequest},
		{"an empty segment", herald.Event{Type: "user..registered"}, herald.CodeBadRequest},
		{"a long type", herald.Event{Type: strings.Repeat("a", 101)}, herald.CodeBadRequest},
		{"a pattern", herald.Event{Type: "user.*"}, herald.CodeBadRequest},
		{"a bad id", herald.Event{ID: "a b", Type: "a"}, herald.CodeBadRequest},
		{"a long id", herald.Event{ID: strings.Repeat("a", 65), Type: "a"}, herald.CodeBadRequest},
		{"the id stream", herald.Event{ID: "stream", Type: "a"}, herald.CodeBadRequest},
		{"what is no JSON", herald.Event{Type: "a", Payload: func() {}}, herald.CodeBadRequest},
		{"broken JSON", herald.Event{Type: "a", Payload: json.RawMessage(`{"a":`)}, herald.CodeBadRequest},
		{"text that is not UTF-8", herald.Event{Type: "a", Payload: json.RawMessage("\"\xff\"")}, herald.CodeBadRequest},
		{"a NUL in the user id", herald.Event{Type: "a", UserID: "ann\x00"}, herald.CodeBadRequest},
		{"a user id that is not UTF-8", herald.Event{Type: "a", UserID: "ann\xff"}, herald.CodeBadRequest},
		{"a long user id", herald.Event{Type: "a", UserID: strings.Repeat("ü", 201)}, herald.CodeBadRequest},
		{"a NUL in the IP address", herald.Event{Type: "a", IP: "192.0.2.1\x00"}, herald.CodeBadRequest},
		{"an IP address that is not UTF-8", herald.Event{Type: "a", IP: "192.0.2.1\xff"}, herald.CodeBadRequest},
		{"too much", herald.Event{Type: "a", Payload: strings.Repeat("x", 127)}, herald.CodeTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := srv.Publish(t.Context(), tt.payload); !errors.Is(err, &herald.Error{Code: tt.code}) {
				t.Errorf("got %v, want %s", err, tt.code)
			}
		})
	}
	if err := srv.Publish(t.Context(), herald.Event{Payload: (*herald.Logout)(nil)}); err != nil {
		t.Errorf("a nil pointer knows its type: got %v", err)
	}
}

func TestPublishAKnownIDChangesNothing(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	calls := 0
	if _, err := srv.Subscribe("logout", func(context.Context, herald.Event) error { calls++; return nil }, herald.Synchronously()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		publish(t, srv, herald.Event{ID: "1", Payload: herald.Logout{UserID: "ann"}})
	}
	if calls != 1 {
		t.Errorf("got %d calls, want 1", calls)
	}
	if got := metricsOf(t, srv)["herald_events_published_total"]; got != 1 {
		t.Errorf("got %v published, want 1", got)
	}
}

// A synchronous handler's error comes back to the publisher, after everybody has been told.
func TestPublishReturnsErrorsOfSynchronousHandlers(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	errNo := errors.New("no")
	told := 0
	for _, handler := range []herald.Handler{
		func(context.Context, herald.Event) error { return errNo },
		func(context.Context, herald.Event) error { panic("a defect") },
		func(context.Context, herald.Event) error { told++; return nil },
	} {
		if _, err := srv.Subscribe("**", handler, herald.Synchronously(), herald.Named("mail")); err != nil {
			t.Fatal(err)
		}
	}
	st := eventStream(t, srv, "", srv.Token("ann", allEvents))
	err := srv.Publish(t.Context(), herald.Logout{UserID: "ann"})
	if !errors.Is(err, errNo) || !strings.Contains(err.Error(), "mail") || !strings.Contains(err.Error(), "a defect") {
		t.Errorf("got %v, want the error and the panic under the subscription's name", err)
	}
	if told != 1 || st.Next().Event != "logout" {
		t.Errorf("got %d calls, want the others to be told", told)
	}
}

func TestBroadcastRefuses(t *testing.T) {
	srv := startQuiet(t, herald.Config{Limits: herald.Limits{MaxPayloadSize: 128}})
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=a"))
	expectStream(t, st, succeeded("a"))
	many := slices.Repeat([]string{"a"}, 1001)
	tests := []struct {
		name     string
		channels []string
		event    string
		data     any
		code     herald.Code
	}{
		{"no channel", nil, "e", 1, herald.CodeBadRequest},
		{"too many", many, "e", 1, herald.CodeBadRequest},
		{"an empty name", []string{""}, "e", 1, herald.CodeBadChannel},
		{"one bad name of two", []string{"a", "b c"}, "e", 1, herald.CodeBadChannel},
		{"a long name", []string{strings.Repeat("a", 201)}, "e", 1, herald.CodeBadChannel},
		{"no event", []string{"a"}, "", 1, herald.CodeBadMessage},
		{"a line end in the event", []string{"a"}, "e\nid: 1", 1, herald.CodeBadMessage},
		{"a long event", []string{"a"}, strings.Repeat("ü", 201), 1, herald.CodeBadMessage},
		{"no JSON", []string{"a"}, "e", make(chan int), herald.CodeBadRequest},
		{"broken JSON", []string{"a"}, "e", json.RawMessage(`[1,]`), herald.CodeBadRequest},
		{"too much", []string{"a"}, "e", strings.Repeat("x", 127), herald.CodeTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := srv.BroadcastToMany(t.Context(), tt.channels, tt.event, tt.data); !errors.Is(err, &herald.Error{Code: tt.code}) {
				t.Errorf("got %v, want %s", err, tt.code)
			}
		})
	}
	broadcast(t, srv, "a", strings.Repeat("ü", 200), strings.Repeat("x", 126))
	if m := st.NextMessage(); m.Name() != strings.Repeat("ü", 200) {
		t.Errorf("got %s, want nothing of what was refused", m.Raw)
	}
}

func TestBroadcastToMany(t *testing.T) {
	srv := startQuiet(t, herald.Config{})
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=a,b"))
	expectStream(t, st, succeeded("a"), succeeded("b"))
	if err := srv.BroadcastToMany(t.Context(), []string{"b", "nobody-s", "a"}, "e", 1); err != nil {
		t.Fatal(err)
	}
	got := []string{st.NextMessage().Channel, st.NextMessage().Channel}
	slices.Sort(got)
	if !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v, want the message on both channels", got)
	}
	if !must(srv.HasSubscribers(t.Context(), "a")) || must(srv.SubscriberCount(t.Context(), "b")) != 1 || must(srv.HasSubscribers(t.Context(), "nobody-s")) || must(srv.HasSubscribers(t.Context(), "no channel's name")) {
		t.Error("the counts are wrong")
	}
}
