package herald_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

func TestWebSocketSubscribePublic(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t)
	for range 2 { // the second time changes nothing and is answered as the first
		c.Send(`{"type":"subscribe","channel":"orders"}`)
		c.Expect(`{"type":"subscription_succeeded","channel":"orders"}`)
	}
	if got := must(srv.SubscriberCount(t.Context(), "orders")); got != 1 {
		t.Errorf("got %d subscribers, want 1", got)
	}
	if err := srv.Broadcast(t.Context(), "orders", "created", 1); err != nil {
		t.Fatal(err)
	}
	c.Expect(`{"type":"event","channel":"orders","event":"created","data":1}`)
	c.Quiet()
	for range 2 { // nor does it matter whether there is something to leave
		c.Send(`{"type":"unsubscribe","channel":"orders"}`)
		c.Expect(`{"type":"unsubscribed","channel":"orders"}`)
	}
	if must(srv.HasSubscribers(t.Context(), "orders")) {
		t.Error("the channel still has subscribers")
	}
	if err := srv.Broadcast(t.Context(), "orders", "created", 2); err != nil {
		t.Fatal(err)
	}
	c.Quiet()
}

func TestWebSocketSinceWithoutHistory(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t)
	for range 2 {
		c.Send(`{"type":"subscribe","channel":"orders","since":{"epoch":"e","offset":41}}`)
		c.Expect(`{"type":"subscription_succeeded","channel":"orders","recovered":false}`)
	}
}

// Section 1's names: 1 to 200 of "A-Z a-z 0-9 _ - = @ , . ;".
func TestWebSocketChannelNames(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t)
	for _, name := range []string{"a", "AZaz09_-=@,.;", strings.Repeat("x", 200), "private", "presence"} {
		c.Send(map[string]string{"type": "subscribe", "channel": name})
		c.Expect(fmt.Sprintf(`{"type":"subscription_succeeded","channel":%q}`, name))
	}
	for _, name := range []string{"", strings.Repeat("x", 201), "a b", "a/b", "a*", "ä", "a\r\nb", "a\x00", "a\n", "#a", "{sub}"} {
		c.Send(map[string]string{"type": "subscribe", "channel": name})
		got := c.ExpectCode("bad_channel")
		if got.Type != "subscription_error" || got.Channel != name || got.Error == "" {
			t.Errorf("%q: got %s, want a subscription_error that names it", name, got.Raw)
		}
		c.Send(map[string]string{"type": "unsubscribe", "channel": name})
		c.ExpectCode("bad_channel")
	}
	if got := must(srv.Channels(t.Context())); len(got) != 5 {
		t.Errorf("got %v, want five channels", got)
	}
}

// wsJoin is a subscribe with everything that a test wants to get wrong.
func wsJoin(channel, auth string, more ...string) map[string]any {
	m := map[string]any{"type": "subscribe", "channel": channel, "auth": auth}
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

func TestWebSocketSubscribePrivate(t *testing.T) {
	const first, second = "first-secret-of-two", "second-secret-of-two"
	srv := heraldtest.Start(t, herald.Config{AuthSecrets: []string{first, second}})
	c, other := srv.Dial(t), srv.Dial(t)
	sign := func(secret, socketID, channel, data string) string {
		t.Helper()
		auth, err := herald.SignChannel(secret, socketID, channel, data)
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	good := sign(first, c.SocketID, "private-user.1", "")
	wrong := map[string]map[string]any{
		"no token":                {"type": "subscribe", "channel": "private-user.1"},
		"null token":              {"type": "subscribe", "channel": "private-user.1", "auth": nil},
		"empty token":             wsJoin("private-user.1", ""),
		"another socket's":        wsJoin("private-user.1", sign(first, other.SocketID, "private-user.1", "")),
		"another socket's hash":   wsJoin("private-user.1", c.SocketID+strings.TrimPrefix(sign(first, other.SocketID, "private-user.1", ""), other.SocketID)),
		"another channel's":       wsJoin("private-user.1", sign(first, c.SocketID, "private-user.11", "")),
		"another secret's":        wsJoin("private-user.1", sign("a-secret-of-nobody", c.SocketID, "private-user.1", "")),
		"upper case":              wsJoin("private-user.1", strings.ToUpper(good)),
		"cut":                     wsJoin("private-user.1", good[:len(good)-1]),
		"longer":                  wsJoin("private-user.1", good+"0"),
		"blank behind":            wsJoin("private-user.1", good+" "),
		"the hash alone":          wsJoin("private-user.1", strings.TrimPrefix(good, c.SocketID+":")),
		"unsigned channel_data":   wsJoin("private-user.1", good, "channel_data", "{}"),
		"empty channel_data":      wsJoin("private-user.1", good, "channel_data", ""),
		"signed data left out":    wsJoin("private-user.1", sign(first, c.SocketID, "private-user.1", "{}")),
		"signed data is not JSON": wsJoin("private-user.1", good, "channelData", "x"),
		"a presence token":        wsJoin("private-user.1", sign(first, c.SocketID, "presence-user.1", `{"id":"1"}`)),
	}
	for name, request := range wrong {
		t.Run(name, func(t *testing.T) {
			c.Send(request)
			if got := c.ExpectCode("forbidden"); got.Type != "subscription_error" || got.Channel != "private-user.1" {
				t.Errorf("got %s, want a subscription_error of the channel", got.Raw)
			}
			if must(srv.HasSubscribers(t.Context(), "private-user.1")) {
				t.Fatal("it is subscribed all the same")
			}
		})
	}
	right := map[string]map[string]any{
		"private-user.1": wsJoin("private-user.1", good),
		"private-user.2": wsJoin("private-user.2", sign(second, c.SocketID, "private-user.2", "")),
		"private-user.3": wsJoin("private-user.3", sign(first, c.SocketID, "private-user.3", `{"a":1}`), "channel_data", `{"a":1}`),
	}
	for channel, request := range right {
		c.Send(request)
		c.Expect(fmt.Sprintf(`{"type":"subscription_succeeded","channel":%q}`, channel))
	}
	c.Send(`{"type":"subscribe","channel":"private-user.1"}`) // again, and it needs no token to stay
	c.Expect(`{"type":"subscription_succeeded","channel":"private-user.1"}`)
	other.Send(wsJoin("private-user.1", good))
	other.ExpectCode("forbidden")
}

func TestWebSocketSubscriptionErrorSaysItTwice(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t)
	c.Send(`{"type":"subscribe","channel":"private-x"}`)
	const text = "private-x needs a channel token: POST /ws/auth with this socket id"
	c.Expect(fmt.Sprintf(`{"type":"subscription_error","channel":"private-x","error":%q,"message":%q,"code":"forbidden"}`, text, text))
}

func TestWebSocketWithoutAuthSecret(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{AuthSecrets: []string{}})
	c := srv.Dial(t)
	for _, request := range []map[string]any{
		wsJoin("private-x", ""),
		wsJoin("private-x", c.SocketID+":"),
		wsJoin("private-x", c.SocketID+":"+strings.Repeat("0", 64)),
		wsJoin("presence-x", c.SocketID+":", "channel_data", `{"id":"1"}`),
	} {
		c.Send(request)
		if got := c.ExpectCode("forbidden").Error; got != "private channels need an auth secret, and none is configured" {
			t.Errorf("got %q, want to be told what is missing", got)
		}
	}
	c.Subscribe("public")
}

func TestWebSocketChannelLimit(t *testing.T) {
	for _, limit := range []int{0, 3} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			srv := heraldtest.Start(t, herald.Config{Limits: herald.Limits{MaxChannels: limit}})
			c := srv.Dial(t)
			if limit == 0 {
				limit = 200
			}
			for i := range limit {
				c.Subscribe(fmt.Sprintf("orders.%d", i))
			}
			c.Send(`{"type":"subscribe","channel":"one-more"}`)
			if got := c.ExpectCode("limit_reached"); got.Type != "subscription_error" || got.Channel != "one-more" {
				t.Errorf("got %s, want a subscription_error of the channel", got.Raw)
			}
			const member = `{"id":"ann"}`
			c.Send(wsJoin("presence-one-more", c.Sign("presence-one-more", member), "channel_data", member))
			c.ExpectCode("limit_reached")
			if got := must(srv.PresenceMembers(t.Context(), "presence-one-more")); len(got) > 0 {
				t.Errorf("got the members %v, want none", got)
			}
			c.Subscribe("orders.0") // a channel that it has is no new one
			c.Send(`{"type":"unsubscribe","channel":"orders.0"}`)
			c.Next()
			c.Subscribe("one-more")
		})
	}
}
