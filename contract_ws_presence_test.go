package herald_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

const wsRoom = "presence-room.1"

func TestWebSocketSubscribePresence(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	tests := []struct {
		name           string
		signed, member string // as JSON texts; empty: left out
		as             string // what the signed text is called
		want           string
	}{
		{name: "channel_data", signed: `{"id":"1","info":{"name":"Ann"}}`, as: "channel_data", want: `{"id":"1","info":{"name":"Ann"}}`},
		{name: "channelData", signed: `{"id":"1"}`, as: "channelData", want: `{"id":"1"}`},
		{name: "info of any kind", signed: `{"id":"1","info":[1.0,1e400]}`, as: "channel_data", want: `{"id":"1","info":[1.0,1e400]}`},
		{name: "other fields of the signed text", signed: `{"id":"1","x":2}`, as: "channel_data", want: `{"id":"1"}`},
		{name: "signed before own", signed: `{"id":"1"}`, as: "channel_data", member: `{"id":"2"}`, want: `{"id":"1"}`},
		{name: "own with rest", member: `{"id":"1","name":"Ann","age":1.50}`, want: `{"id":"1","info":{"name":"Ann","age":1.50}}`},
		{name: "own with info", member: `{"id":"1","info":{"name":"Ann"}}`, want: `{"id":"1","info":{"name":"Ann"}}`},
		{name: "own with id alone", member: `{"id":"1"}`, want: `{"id":"1"}`},
		{name: "id of any script", member: `{"id":"Ω \u2028 😀"}`, want: `{"id":"Ω \u2028 😀"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := srv.Dial(t)
			request := fmt.Sprintf(`{"type":"subscribe","channel":%q`, wsRoom)
			if tt.signed != "" {
				request += fmt.Sprintf(`,"auth":%q,%q:%q`, c.Sign(wsRoom, tt.signed), tt.as, tt.signed)
			} else {
				request += fmt.Sprintf(`,"auth":%q`, wsSignBare(c, wsRoom))
			}
			if tt.member != "" {
				request += `,"data":` + tt.member
			}
			want := fmt.Sprintf(`{"type":"subscription_succeeded","channel":%q,"data":{"members":[%s]}}`, wsRoom, tt.want)
			for range 2 { // the second time as the first
				c.Send(request + "}")
				c.Expect(want)
			}
			c.Quiet()
			c.Close()
			wsEventually(t, "the room is empty", func() bool { return len(must(srv.PresenceMembers(t.Context(), wsRoom))) == 0 })
		})
	}
}

func TestWebSocketPresenceRefusals(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t)
	const ann = `{"id":"ann","info":{"role":"user"}}`
	good := c.Sign(wsRoom, ann)
	tests := []struct {
		name string
		with map[string]any
		code string
	}{
		{"no token", map[string]any{"channel_data": ann}, "forbidden"},
		{"tampered channel_data", map[string]any{"auth": good, "channel_data": strings.Replace(ann, "user", "root", 1)}, "forbidden"},
		{"re-encoded channel_data", map[string]any{"auth": good, "channel_data": ann + " "}, "forbidden"},
		{"channel_data left out", map[string]any{"auth": good, "data": map[string]string{"id": "ann"}}, "forbidden"},
		{"member left out", map[string]any{"auth": wsSignBare(c, wsRoom)}, "bad_member"},
		{"own member without id", map[string]any{"auth": wsSignBare(c, wsRoom), "data": map[string]string{"name": "Ann"}}, "bad_member"},
		{"own member with empty id", map[string]any{"auth": wsSignBare(c, wsRoom), "data": map[string]string{"id": ""}}, "bad_member"},
		{"own member with a number", map[string]any{"auth": wsSignBare(c, wsRoom), "data": map[string]int{"id": 1}}, "bad_member"},
		{"own member is text", map[string]any{"auth": wsSignBare(c, wsRoom), "data": "ann"}, "bad_member"},
		{"own member is null", map[string]any{"auth": wsSignBare(c, wsRoom), "data": nil}, "bad_member"},
		{"id with a control character", map[string]any{"auth": wsSignBare(c, wsRoom), "data": map[string]string{"id": "a\nb"}}, "bad_member"},
		{"id too long", map[string]any{"auth": wsSignBare(c, wsRoom), "data": map[string]string{"id": strings.Repeat("ä", 201)}}, "bad_member"},
		{"two texts that differ", map[string]any{"auth": good, "channel_data": ann, "channelData": "{}"}, "bad_message"},
		{"channel_data is no text", map[string]any{"auth": good, "channel_data": map[string]string{"id": "ann"}}, "bad_message"},
	}
	for _, signed := range []string{``, `null`, `[]`, `"ann"`, `{}`, `{"id":""}`, `{"id":1}`, `{"id":null}`, `{"id":"a","id":"b"}`, `{"id":"a"`} {
		tests = append(tests, struct {
			name string
			with map[string]any
			code string
		}{"well signed " + signed, map[string]any{"auth": wsSignAnyhow(c, wsRoom, signed), "channel_data": signed}, "bad_member"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.with["type"], tt.with["channel"] = "subscribe", wsRoom
			c.Send(tt.with)
			c.ExpectCode(tt.code)
			if got := must(srv.PresenceMembers(t.Context(), wsRoom)); len(got) > 0 || must(srv.HasSubscribers(t.Context(), wsRoom)) {
				t.Fatalf("got the members %v, want none", got)
			}
		})
	}
	c.Subscribe(wsRoom, herald.Member{ID: "ann"}) // a refused join leaves the way open
}

func TestWebSocketPresenceIDHeldBySignedMember(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	ann, thief, again := srv.Dial(t), srv.Dial(t), srv.Dial(t)
	ann.Subscribe(wsRoom, herald.Member{ID: "ann"})
	claim := fmt.Sprintf(`{"type":"subscribe","channel":%q,"auth":%q,"data":{"id":"ann","name":"not Ann"}}`, wsRoom, wsSignBare(thief, wsRoom))
	thief.Send(claim)
	if got := thief.ExpectCode("bad_member"); got.Type != "subscription_error" || got.Channel != wsRoom {
		t.Errorf("got %s, want a subscription_error", got.Raw)
	}
	again.Subscribe(wsRoom, herald.Member{ID: "ann"}) // who is signed may come twice
	ann.Quiet()
	for _, c := range []*heraldtest.Client{ann, again} {
		thief.Send(claim)
		thief.ExpectCode("bad_member")
		c.Close()
	}
	wsEventually(t, "the room is empty", func() bool {
		return !must(srv.HasSubscribers(t.Context(), wsRoom)) && len(must(srv.PresenceMembers(t.Context(), wsRoom))) == 0
	})
	thief.Send(claim)
	if got := thief.Next(); got.Type != "subscription_succeeded" {
		t.Errorf("got %s, want the id to be free again", got.Raw)
	}
}

func TestWebSocketPresenceMembersOnce(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	watcher := srv.Dial(t)
	watcher.Subscribe(wsRoom, herald.Member{ID: "watcher"})
	member := func(event, data string) string {
		return fmt.Sprintf(`{"type":"event","channel":%q,"event":%q,"data":%s}`, wsRoom, event, data)
	}
	first, second, third := srv.Dial(t), srv.Dial(t), srv.Dial(t)
	got := first.Subscribe(wsRoom, herald.Member{ID: "ann", Info: []byte(`{"n":1}`)})
	want := fmt.Sprintf(`{"type":"subscription_succeeded","channel":%q,"data":{"members":[{"id":"watcher"},{"id":"ann","info":{"n":1}}]}}`, wsRoom)
	if !heraldtest.SameJSON(got.Raw, want) {
		t.Errorf("got %s, want %s", got.Raw, want)
	}
	first.Quiet() // its own arrival is not sent to itself
	watcher.Expect(member("member_added", `{"id":"ann","info":{"n":1}}`))

	got = second.Subscribe(wsRoom, herald.Member{ID: "ann", Info: []byte(`{"n":2}`)})
	if !strings.Contains(got.Raw, `{"id":"ann","info":{"n":2}}`) || strings.Count(got.Raw, `"id":"ann"`) != 1 {
		t.Errorf("got %s, want ann once, with the newest info", got.Raw)
	}
	third.Subscribe(wsRoom, herald.Member{ID: "ann", Info: []byte(`{"n":3}`)})
	for _, c := range []*heraldtest.Client{watcher, first, second, third} {
		c.Quiet() // a further connection and a change of info are no events
	}
	if got := must(srv.PresenceMembers(t.Context(), wsRoom)); len(got) != 2 || string(got[1].Info) != `{"n":3}` {
		t.Errorf("got the members %v, want two with the newest info", got)
	}

	first.Close() // by closing
	second.Send(fmt.Sprintf(`{"type":"unsubscribe","channel":%q}`, wsRoom))
	second.Expect(fmt.Sprintf(`{"type":"unsubscribed","channel":%q}`, wsRoom))
	watcher.Quiet()
	third.Send(fmt.Sprintf(`{"type":"unsubscribe","channel":%q}`, wsRoom))
	third.Next()
	watcher.Expect(member("member_removed", `{"id":"ann"}`))
	third.Send(fmt.Sprintf(`{"type":"unsubscribe","channel":%q}`, wsRoom))
	third.Next()
	third.Quiet()
	watcher.Quiet()
}

func TestWebSocketPresenceMemberOfADeadConnectionLeaves(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	watcher, ann := srv.Dial(t), srv.Dial(t)
	watcher.Subscribe(wsRoom, herald.Member{ID: "watcher"})
	ann.Subscribe(wsRoom, herald.Member{ID: "ann"})
	watcher.Next()
	_ = ann.Conn().Close() // without a word
	if got := watcher.Next(); got.Name() != "member_removed" {
		t.Errorf("got %s, want member_removed", got.Raw)
	}
	watcher.Quiet()
}
