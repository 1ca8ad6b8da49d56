package herald_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

func wsSay(channel, event, data string) string {
	return fmt.Sprintf(`{"type":"message","channel":%q,"event":%q,"data":%s}`, channel, event, data)
}

func wsSaid(channel, event, data string) string {
	return fmt.Sprintf(`{"type":"event","channel":%q,"event":%q,"data":%s}`, channel, event, data)
}

func TestWebSocketClientEvent(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	for _, channel := range []string{"private-chat", "presence-chat"} {
		t.Run(channel, func(t *testing.T) {
			from, to, elsewhere := srv.Dial(t), srv.Dial(t), srv.Dial(t)
			for i, c := range []*heraldtest.Client{from, to} {
				if strings.HasPrefix(channel, "presence-") {
					c.Subscribe(channel, herald.Member{ID: fmt.Sprint(i)})
				} else {
					c.Subscribe(channel)
				}
			}
			elsewhere.Subscribe("private-other")
			from.Settle()
			from.Send(wsSay(channel, "typing", `{"a":1}`))
			to.Expect(wsSaid(channel, "typing", `{"a":1}`))
			from.Quiet() // not to who said it
			elsewhere.Quiet()
			to.Quiet()
		})
	}
}

// What was sent arrives byte for byte, in its numbers and texts; only white space between goes.
func TestWebSocketClientEventDataFidelity(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{ClientEvents: herald.ClientEvents{Rate: 1000}})
	from, to := srv.Dial(t), srv.Dial(t)
	from.Subscribe("private-chat")
	to.Subscribe("private-chat")
	tests := []struct{ data, want string }{
		{`1.0`, `1.0`},
		{`1e400`, `1e400`},
		{`-0`, `-0`},
		{`1E+2`, `1E+2`},
		{`123456789012345678901234567890`, `123456789012345678901234567890`},
		{`9007199254740993`, `9007199254740993`},
		{`0.1000`, `0.1000`},
		{`"ä😀"`, `"ä😀"`},
		{`"\u00e4\ud83d\ude00\/"`, `"\u00e4\ud83d\ude00\/"`},
		{"\"\u2028\u2029\"", "\"\u2028\u2029\""},
		{`"\u0000\u2028</script>&"`, `"\u0000\u2028</script>&"`},
		{`"\ud800"`, `"\ud800"`},
		{`{"b":1,"a":2,"":3}`, `{"b":1,"a":2,"":3}`},
		{` [ 1 , { "a b" : " x " } ] `, `[1,{"a b":" x "}]`},
		{`null`, `null`},
		{`""`, `""`},
		{`false`, `false`},
		{`{}`, `{}`},
	}
	for _, tt := range tests {
		from.Send(wsSay("private-chat", "e", tt.data))
		got := to.Next()
		if string(got.Data) != tt.want || !strings.Contains(got.Raw, `"data":`+tt.want) {
			t.Errorf("%s: got %s, want the data %s", tt.data, got.Raw, tt.want)
		}
	}
	from.Send(`{"type":"message","channel":"private-chat","event":"e"}`)
	to.Expect(wsSaid("private-chat", "e", "null"))
	from.Send(`{"data":[1],"event":"\u0065\u00e4","channel":"private\u002dchat","type":"\u006dessage"}`)
	to.Expect(wsSaid("private-chat", "eä", "[1]"))
}

func TestWebSocketClientEventRefusals(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{ClientEvents: herald.ClientEvents{
		Channels: []string{"private-*", "presence-**", "public"}, Rate: 1000,
	}})
	from, to := srv.Dial(t), srv.Dial(t)
	for _, c := range []*heraldtest.Client{from, to} {
		c.Subscribe("public")
		c.Subscribe("private-chat")
		c.Subscribe("private-chat.off")
	}
	to.Subscribe("private-other")
	tests := []struct {
		name, channel, event, code string
	}{
		{"public channel", "public", "e", "forbidden"},
		{"not subscribed", "private-other", "e", "forbidden"},
		{"nobody's channel", "private-nobody", "e", "forbidden"},
		{"client events are off", "private-chat.off", "e", "forbidden"},
		{"bad channel", "private chat", "e", "bad_channel"},
		{"empty channel", "", "e", "bad_channel"},
		{"reserved connected", "private-chat", "connected", "forbidden"},
		{"reserved member_added", "private-chat", "member_added", "forbidden"},
		{"reserved member_removed", "private-chat", "member_removed", "forbidden"},
		{"reserved gap", "private-chat", "gap", "forbidden"},
		{"reserved subscription_", "private-chat", "subscription_succeeded", "forbidden"},
		{"reserved subscription_ alone", "private-chat", "subscription_", "forbidden"},
		{"reserved pusher", "private-chat", "pusher:error", "forbidden"},
		{"reserved pusher_internal", "private-chat", "pusher_internal:x", "forbidden"},
		{"empty event", "private-chat", "", "bad_message"},
		{"long event", "private-chat", strings.Repeat("ä", 201), "bad_message"},
		{"event with CR LF", "private-chat", "a\\r\\nb", "bad_message"},
		{"event with NUL", "private-chat", "\\u0000", "bad_message"},
		{"event with C1", "private-chat", "\\u0085", "bad_message"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from.Send(fmt.Sprintf(`{"type":"message","channel":"%s","event":"%s","data":1}`, tt.channel, tt.event))
			if got := from.ExpectCode(tt.code); got.Type != "error" || got.Error == "" {
				t.Errorf("got %s, want an error", got.Raw)
			}
			to.Quiet()
		})
	}
	for _, event := range []string{strings.Repeat("ä", 200), "subscription", "Connected", "gaps", "draining", "a b", "pushes"} {
		from.Send(wsSay("private-chat", event, "1"))
		to.Expect(wsSaid("private-chat", event, "1"))
	}
	from.Send(`{"type":"unsubscribe","channel":"private-chat"}`)
	from.Next()
	from.Send(wsSay("private-chat", "e", "1"))
	from.ExpectCode("forbidden")
	to.Quiet()
}

func TestWebSocketClientEventsOff(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{ClientEvents: herald.ClientEvents{Channels: []string{}}})
	c := srv.Dial(t)
	c.Subscribe("private-chat")
	c.Send(wsSay("private-chat", "e", "1"))
	c.ExpectCode("forbidden")
}

func TestWebSocketClientEventRate(t *testing.T) {
	srv, k := wsStartAt(t, herald.Config{})
	from, second, to := srv.Dial(t), srv.Dial(t), srv.Dial(t)
	for _, c := range []*heraldtest.Client{from, second, to} {
		c.Subscribe("private-chat")
	}
	arrive := func(c *heraldtest.Client, n int) {
		t.Helper()
		for i := range n {
			c.Send(wsSay("private-chat", "e", fmt.Sprint(i)))
		}
		for i := range n {
			to.Expect(wsSaid("private-chat", "e", fmt.Sprint(i)))
		}
		c.Send(wsSay("private-chat", "e", `"too many"`))
		c.ExpectCode("rate_limited")
		to.Quiet()
	}
	arrive(from, 10) // the default, a second and connection
	k.Advance(500 * time.Millisecond)
	arrive(from, 5)
	k.Advance(time.Hour)
	second.Settle()
	arrive(second, 10)
	from.Settle()
	arrive(from, 10)
	for range 200 { // only bad_message counts toward 4400
		from.Send(wsSay("private-chat", "e", "1"))
		from.ExpectCode("rate_limited")
	}
}

func TestWebSocketPing(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t)
	for _, ping := range []string{`{"type":"ping"}`, " {\t\"type\" :\r\n\"ping\" } ", `{"type":"ping","x":[{}]}`} {
		c.Send(ping)
		c.Expect(`{"type":"pong"}`)
	}
}
