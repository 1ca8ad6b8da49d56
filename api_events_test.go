package herald

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestPublishAndSee(t *testing.T) {
	f := newAPIFixture(t, Config{})
	got := f.call(t, "POST", "/api/v1/events", `{"type":"order.paid","id":"e-1","userId":"u-7","ip":"2001:DB8::1",
		"timestamp":"2026-02-16T13:00:00.1239+01:00","payload":{"amount": 1.0,"big":[1e400,12345678901234567890]}}`)
	if want := `202 {"id":"e-1"}`; got.String() != want {
		t.Fatalf("publish: got %v, want %s", got, want)
	}
	want := `200 {"event":{"id":"e-1","type":"order.paid","timestamp":"2026-02-16T12:00:00.123Z","userId":"u-7",` +
		`"payload":{"amount":1.0,"big":[1e400,12345678901234567890]},"ip":"2001:db8::1"},` +
		`"audit":null,"webhooks":[],"jobs":[],"delivered":{"websocket":0,"sse":0}}`
	if got := f.call(t, "GET", "/api/v1/events/e-1", ""); got.String() != want {
		t.Errorf("see:  got %v\nwant %s", got, want)
	}
}

func TestPublishFillsIn(t *testing.T) {
	f := newAPIFixture(t, Config{})
	got := f.call(t, "POST", "/api/v1/events", `{"type":"a"}`)
	var done publishAnswer
	got.decode(t, &done)
	if got.status != 202 || !strings.HasPrefix(done.ID, "evt-") || done.Duplicate {
		t.Fatalf("publish: got %v, want 202 with an id of Herald's", got)
	}
	see := f.call(t, "GET", "/api/v1/events/"+done.ID, "")
	form := regexp.MustCompile(`^200 \{"event":\{"id":"` + done.ID + `","type":"a","timestamp":"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z","payload":null\},`)
	if !form.MatchString(see.String()) {
		t.Errorf("see: got %v, want %s", see, form)
	}
}

func TestAKnownIDChangesNothing(t *testing.T) {
	f := newAPIFixture(t, Config{})
	handled := 0
	if _, err := f.Subscribe("a", func(context.Context, Event) error { handled++; return nil }, Synchronously()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{`202 {"id":"e-1"}`, `202 {"id":"e-1","duplicate":true}`} {
		got := f.call(t, "POST", "/api/v1/events", fmt.Sprintf(`{"type":"a","id":"e-1","payload":%d}`, i))
		if got.String() != want {
			t.Errorf("try %d: got %v, want %s", i, got, want)
		}
	}
	if see := f.call(t, "GET", "/api/v1/events/e-1", ""); !strings.Contains(see.body, `"payload":0`) {
		t.Errorf("see: got %v, want the first payload", see)
	}
	if got := f.counter(t, "herald_events_published_total"); got != 1 || handled != 1 {
		t.Errorf("%v events were published and %d handled, want 1", got, handled)
	}
}

func TestAHandlersErrorIsNotThePublishers(t *testing.T) {
	f := newAPIFixture(t, Config{})
	fails := func(context.Context, Event) error { return errors.New("the handler's own trouble") }
	if _, err := f.Subscribe("a", fails, Synchronously()); err != nil {
		t.Fatal(err)
	}
	if got, want := f.call(t, "POST", "/api/v1/events", `{"type":"a","id":"e-1"}`).String(), `202 {"id":"e-1"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

var badEvents = []struct {
	name, body string
	status     int
	paths      string
}{
	{"nothing", ``, 400, ""},
	{"a list", `[]`, 400, ""},
	{"two values", `{"type":"a"}{"type":"a"}`, 400, ""},
	{"a key twice", `{"type":"a","type":"b"}`, 400, ""},
	{"too deep", `{"type":"a","payload":` + deep(64) + `}`, 400, ""},
	{"empty", `{}`, 400, "type"},
	{"an unknown field", `{"type":"a","data":{},"userid":"u"}`, 400, "data userid"},
	{"all that can be wrong", `{"type":"A","userId":"","id":"","timestamp":"now","ip":"here"}`, 400, "type userId id timestamp ip"},
	{"other types", `{"type":1,"userId":2,"id":[],"timestamp":1771243200,"ip":{}}`, 400, "type userId id timestamp ip"},
	{"a type with an empty segment", `{"type":"a..b"}`, 400, "type"},
	{"a long type", `{"type":"` + strings.Repeat("a", 101) + `"}`, 400, "type"},
	{"LF in a type", `{"type":"a\nb"}`, 400, "type"},
	{"a long user", `{"type":"a","userId":"` + strings.Repeat("a", 201) + `"}`, 400, "userId"},
	{"NUL in a user", `{"type":"a","userId":"a\u0000"}`, 400, "userId"},
	{"the id of the stream", `{"type":"a","id":"stream"}`, 400, "id"},
	{"a long id", `{"type":"a","id":"` + strings.Repeat("a", 65) + `"}`, 400, "id"},
	{"CR and LF in an id", `{"type":"a","id":"a\r\nb"}`, 400, "id"},
	{"a date", `{"type":"a","timestamp":"2026-02-16"}`, 400, "timestamp"},
	{"a time without zone", `{"type":"a","timestamp":"2026-02-16T12:00:00"}`, 400, "timestamp"},
	{"a day that is none", `{"type":"a","timestamp":"2026-02-30T12:00:00Z"}`, 400, "timestamp"},
	{"a time in the year 10000", `{"type":"a","timestamp":"9999-12-31T23:59:59-01:00"}`, 400, "timestamp"},
	{"the time that is none", `{"type":"a","timestamp":"0001-01-01T00:00:00Z"}`, 400, "timestamp"},
	{"an address with a port", `{"type":"a","ip":"203.0.113.7:80"}`, 400, "ip"},
	{"an address with a zone", `{"type":"a","ip":"fe80::1%eth0\r\n"}`, 400, "ip"},
	{"too much payload", `{"type":"a","payload":"` + strings.Repeat("x", 1023) + `"}`, 413, "payload"},
}

func TestBadEvents(t *testing.T) {
	f := newAPIFixture(t, Config{Limits: Limits{MaxPayloadSize: 1024}})
	for _, tt := range badEvents {
		t.Run(tt.name, func(t *testing.T) {
			checkRefused(t, f.call(t, "POST", "/api/v1/events", tt.body), tt.status, tt.paths)
		})
	}
	if got := f.counter(t, "herald_events_published_total"); got != 0 {
		t.Errorf("%v events were published, want none", got)
	}
}

func TestEventsThatAreNotKnown(t *testing.T) {
	f := newAPIFixture(t, Config{})
	for _, id := range []string{"e-1", "a%0D%0Ab", "a%00", "%2e%2e", "a%2Fb", strings.Repeat("a", 1000)} {
		got := f.call(t, "GET", "/api/v1/events/"+id, "")
		if got.status != 404 || got.refusal(t).Code != CodeNotFound {
			t.Errorf("%s: got %v, want 404", id, got)
		}
	}
}
