package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 2, 16, 13, 0, 0, 999_999, time.FixedZone("", 3600))

func TestFrames(t *testing.T) {
	yes, no := true, false
	var nobody []Member
	members := []Member{{ID: "u1", Info: json.RawMessage(`{"name":"A"}`)}, {ID: "u2"}}
	event := Event{ID: "evt-1", Type: "user.registered", Timestamp: noon, Payload: json.RawMessage(`{"userId":"u"}`)}
	known := event
	known.UserID, known.IP = "u", "::1"

	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"connected", Connected("137204873.482911", 30*time.Second), `{"type":"event","event":"connected","data":{"socketId":"137204873.482911","pingInterval":30000}}`},
		{"stream connected", StreamConnected("sse-1"), `{"type":"event","event":"connected","data":{"connectionId":"sse-1"}}`},
		{"event stream connected", EventStreamConnected("sse-1"), `{"connectionId":"sse-1"}`},
		{"auth", AuthOK("u"), `{"type":"auth","ok":true,"userId":"u"}`},
		{"auth refused", AuthFailed("token expired"), `{"type":"auth","ok":false,"error":"token expired"}`},

		{"subscribed", Subscribed{Channel: "orders"}.Encode(), `{"type":"subscription_succeeded","channel":"orders"}`},
		{"subscribed with members", Subscribed{Channel: "p", Members: &members}.Encode(), `{"type":"subscription_succeeded","channel":"p","data":{"members":[{"id":"u1","info":{"name":"A"}},{"id":"u2"}]}}`},
		{"subscribed with nil members", Subscribed{Channel: "p", Members: &nobody}.Encode(), `{"type":"subscription_succeeded","channel":"p","data":{"members":[]}}`},
		{"subscribed with all", Subscribed{Channel: "c", Members: &members, Recovered: &yes}.Encode(), `{"type":"subscription_succeeded","channel":"c","data":{"members":[{"id":"u1","info":{"name":"A"}},{"id":"u2"}]},"recovered":true}`},
		{"subscribed, not recovered", Subscribed{Channel: "c", Recovered: &no}.Encode(), `{"type":"subscription_succeeded","channel":"c","recovered":false}`},
		{"subscription error", SubscriptionError("c", "forbidden", "no"), `{"type":"subscription_error","channel":"c","error":"no","message":"no","code":"forbidden"}`},
		{"unsubscribed", Unsubscribed("orders"), `{"type":"unsubscribed","channel":"orders"}`},

		{"events", EventsSubscribed([]string{"a", "b.*"}, "evt-1", nil), `{"type":"subscribed","events":["a","b.*"],"position":"evt-1"}`},
		{"events recovered", EventsSubscribed([]string{"a"}, "evt-1", &yes), `{"type":"subscribed","events":["a"],"position":"evt-1","recovered":true}`},
		{"no events left", EventsSubscribed(nil, "", nil), `{"type":"subscribed","events":[]}`},
		{"error", Error("bad_message", "no"), `{"type":"error","code":"bad_message","message":"no","error":"no"}`},
		{"pong", Pong(), `{"type":"pong"}`},

		{"channel event", ChannelEvent("c", "e", []byte(`{"n": 1.0}`)), `{"type":"event","channel":"c","event":"e","data":{"n": 1.0}}`},
		{"channel event without data", ChannelEvent("c", "e", nil), `{"type":"event","channel":"c","event":"e","data":null}`},
		{"member added", MemberAdded("p", members[0]), `{"type":"event","channel":"p","event":"member_added","data":{"id":"u1","info":{"name":"A"}}}`},
		{"member added without info", MemberAdded("p", members[1]), `{"type":"event","channel":"p","event":"member_added","data":{"id":"u2"}}`},
		{"member removed", MemberRemoved("p", "u1"), `{"type":"event","channel":"p","event":"member_removed","data":{"id":"u1"}}`},
		{"draining", Draining(3200 * time.Millisecond), `{"type":"event","event":"draining","data":{"retryAfter":3200}}`},

		{"domain event", DomainEvent(event), `{"type":"event","event":{"id":"evt-1","type":"user.registered","timestamp":"2026-02-16T12:00:00.000Z","payload":{"userId":"u"}}}`},
		{"domain event with identity", DomainEvent(known), `{"type":"event","event":{"id":"evt-1","type":"user.registered","timestamp":"2026-02-16T12:00:00.000Z","payload":{"userId":"u"},"userId":"u","ip":"::1"}}`},
		{"domain event body", DomainEventBody(event), `{"id":"evt-1","type":"user.registered","timestamp":"2026-02-16T12:00:00.000Z","payload":{"userId":"u"}}`},
		{"domain event without payload", DomainEventBody(Event{ID: "i", Type: "t", Timestamp: noon}), `{"id":"i","type":"t","timestamp":"2026-02-16T12:00:00.000Z","payload":null}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if string(tt.got) != tt.want {
				t.Errorf("\n got %s\nwant %s", tt.got, tt.want)
			}
			if err := check(tt.got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFramesEscapeNoMoreThanJSONDemands(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "orders", `orders`},
		{"HTML", "<a href='x'>&/</a>", `<a href='x'>&/</a>`},
		{"quotes", `"\`, `\"\\`},
		{"short escapes", "\b\f\n\r\t", `\b\f\n\r\t`},
		{"control characters", "\x00\x1f\x7f", "\\u0000\\u001f\x7f"},
		{"beyond ASCII", "é😀\u2028\u2029\uFFFD", "é😀\u2028\u2029\uFFFD"},
		{"invalid UTF-8", "a\xffb\xc3", "a\uFFFDb\uFFFD"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := `{"type":"unsubscribed","channel":"` + tt.want + `"}`
			if got := string(Unsubscribed(tt.in)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestFormatTime(t *testing.T) {
	for _, tt := range []struct {
		in   time.Time
		want string
	}{
		{noon, "2026-02-16T12:00:00.000Z"},
		{time.Date(2026, 2, 16, 12, 0, 0, 999_999_999, time.UTC), "2026-02-16T12:00:00.999Z"},
		{time.Time{}, "0001-01-01T00:00:00.000Z"},
	} {
		if got := FormatTime(tt.in); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestFramesOfTheHotPathAllocateOnce(t *testing.T) {
	channel := "presence-" + strings.Repeat("c", 191)
	data := []byte(`"` + strings.Repeat("d", 128) + `"`)
	event := Event{ID: "evt-" + strings.Repeat("0", 60), Type: "user.registered", Timestamp: noon, Payload: data, UserID: "u-1", IP: "2001:db8::1"}
	for _, tt := range []struct {
		name string
		run  func() []byte
	}{
		{"ChannelEvent", func() []byte { return ChannelEvent(channel, "typing", data) }},
		{"DomainEvent", func() []byte { return DomainEvent(event) }},
		{"DomainEventBody", func() []byte { return DomainEventBody(event) }},
		{"Block", func() []byte { return Block("event", "e-1", data) }},
	} {
		var sink []byte
		if got := testing.AllocsPerRun(100, func() { sink = tt.run() }); got != 1 {
			t.Errorf("%s: got %v allocations for %d bytes, want 1", tt.name, got, len(sink))
		}
	}
}

func BenchmarkChannelEvent(b *testing.B) {
	data := []byte(`"` + strings.Repeat("d", 126) + `"`)
	b.ReportAllocs()
	for b.Loop() {
		ChannelEvent("orders", "created", data)
	}
}
