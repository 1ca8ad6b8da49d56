package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		want Request
	}{
		{"auth", `{"type":"auth","token":"a.b.c"}`, Request{Kind: Auth, Token: "a.b.c"}},
		{"ping", `{"type":"ping"}`, Request{Kind: Ping}},
		{"blanks and order", " { \"token\" : \"t\" , \"type\" : \"auth\" } \n", Request{Kind: Auth, Token: "t"}},
		{"escapes", `{"\u0074ype":"\u0061uth","token":"\ud83d\ude00\n"}`, Request{Kind: Auth, Token: "😀\n"}},
		{"unknown fields", `{"type":"ping","x":{"type":1},"channel":5}`, Request{Kind: Ping}},

		{"channel", `{"type":"subscribe","channel":"orders"}`, Request{Kind: SubscribeChannel, Channel: "orders"}},
		{"unchecked channel", `{"type":"subscribe","channel":""}`, Request{Kind: SubscribeChannel}},
		{
			"private channel", `{"type":"subscribe","channel":"private-user.1","auth":"1.2:ab"}`,
			Request{Kind: SubscribeChannel, Channel: "private-user.1", Auth: "1.2:ab"},
		},
		{
			"presence channel", `{"type":"subscribe","channel":"presence-room.1","auth":"1.2:ab","channel_data":"{\"id\":\"u\"}"}`,
			Request{Kind: SubscribeChannel, Channel: "presence-room.1", Auth: "1.2:ab", ChannelData: `{"id":"u"}`, HasChannelData: true},
		},
		{
			"the other name of channel_data", `{"type":"subscribe","channel":"c","channelData":"x"}`,
			Request{Kind: SubscribeChannel, Channel: "c", ChannelData: "x", HasChannelData: true},
		},
		{
			"both names, one text", `{"type":"subscribe","channel":"c","channelData":"\u0078","channel_data":"x"}`,
			Request{Kind: SubscribeChannel, Channel: "c", ChannelData: "x", HasChannelData: true},
		},
		{
			"both names, one null", `{"type":"subscribe","channel":"c","channelData":"x","channel_data":null}`,
			Request{Kind: SubscribeChannel, Channel: "c", ChannelData: "x", HasChannelData: true},
		},
		{
			"empty channel_data", `{"type":"subscribe","channel":"c","channel_data":""}`,
			Request{Kind: SubscribeChannel, Channel: "c", HasChannelData: true},
		},
		{
			"nulls are absent", `{"type":"subscribe","channel":"c","auth":null,"channel_data":null,"channelData":null,"since":null,"data":null}`,
			Request{Kind: SubscribeChannel, Channel: "c"},
		},
		{
			"own member data", `{"type":"subscribe","channel":"c","data":{ "id": "u", "n": 1.0 }}`,
			Request{Kind: SubscribeChannel, Channel: "c", Data: json.RawMessage(`{"id":"u","n":1.0}`)},
		},
		{
			"since", `{"type":"subscribe","channel":"c","since":{"epoch":"e","offset":41,"x":0}}`,
			Request{Kind: SubscribeChannel, Channel: "c", Since: &Position{Epoch: "e", Offset: 41}},
		},
		{
			"greatest offset", `{"type":"subscribe","channel":"c","since":{"offset":18446744073709551615,"epoch":""}}`,
			Request{Kind: SubscribeChannel, Channel: "c", Since: &Position{Offset: 1<<64 - 1}},
		},
		{"leave a channel", `{"type":"unsubscribe","channel":"c","since":5}`, Request{Kind: UnsubscribeChannel, Channel: "c"}},

		{
			"events", `{"type":"subscribe","events":["user.registered", "login.*" ]}`,
			Request{Kind: SubscribeEvents, Events: []string{"user.registered", "login.*"}},
		},
		{
			"events since", `{"type":"subscribe","events":["\u002a"],"since":"evt-1"}`,
			Request{Kind: SubscribeEvents, Events: []string{"*"}, SinceID: "evt-1", HasSinceID: true},
		},
		{"events since null", `{"type":"subscribe","events":["a"],"since":null}`, Request{Kind: SubscribeEvents, Events: []string{"a"}}},
		{"leave events", `{"type":"unsubscribe","events":["a"]}`, Request{Kind: UnsubscribeEvents, Events: []string{"a"}}},

		{
			"client event", `{"type":"message","channel":"c","event":"e","data":{"a" : 1.50}}`,
			Request{Kind: ClientEvent, Channel: "c", Event: "e", Data: json.RawMessage(`{"a":1.50}`)},
		},
		{
			"client event without data", `{"type":"message","channel":"c","event":"e"}`,
			Request{Kind: ClientEvent, Channel: "c", Event: "e", Data: json.RawMessage(`null`)},
		},
		{
			"client event of null", `{"type":"message","channel":"c","event":"e","data":null}`,
			Request{Kind: ClientEvent, Channel: "c", Event: "e", Data: json.RawMessage(`null`)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode([]byte(tt.in))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Decode(%s)\n got %+v, error %v\nwant %+v", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestDecodeBadMessage(t *testing.T) {
	var extras strings.Builder
	for i := range maxMembers {
		extras.WriteString(`,"x` + strconv.Itoa(i) + `":0`)
	}
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", ``, "invalid JSON at byte 0: unexpected end where an object is due"},
		{"no JSON", `hello`, "invalid JSON at byte 0: unexpected 'h' where an object is due"},
		{"no object", `["type"]`, "invalid JSON at byte 0: unexpected '[' where an object is due"},
		{"two objects", `{"type":"ping"}{}`, "invalid JSON at byte 15: unexpected '{' after the value"},
		{"repeated key", `{"type":"ping","type":"auth"}`, `invalid JSON at byte 28: duplicate key "type"`},
		{"repeated unknown key", `{"type":"ping","x":1,"\u0078":2}`, `invalid JSON at byte 31: duplicate key "x"`},
		{"too deep", `{"type":"ping","x":` + nested(MaxDepth) + `}`, "invalid JSON at byte 82: nested deeper than 64"},
		{"too many members", `{"type":"ping"` + extras.String() + `}`, "invalid JSON at byte 509: more than 64 members"},

		{"no type", `{}`, `"type" is missing`},
		{"type null", `{"type":null}`, `"type" must be a string`},
		{"unknown type", `{"type":"Auth"}`, `unknown "type" "Auth": it is one of auth, subscribe, unsubscribe, message, ping`},

		{"no token", `{"type":"auth"}`, `"token" is missing`},
		{"token number", `{"type":"auth","token":5}`, `"token" must be a string`},
		{"token null", `{"type":"auth","token":null}`, `"token" must be a string`},

		{"neither", `{"type":"subscribe"}`, `"channel" or "events" is missing`},
		{"both", `{"type":"subscribe","channel":"c","events":["e"]}`, `"channel" and "events" cannot stand in one message`},
		{"leave neither", `{"type":"unsubscribe"}`, `"channel" or "events" is missing`},
		{"leave both", `{"type":"unsubscribe","channel":"c","events":["e"]}`, `"channel" and "events" cannot stand in one message`},
		{"channel number", `{"type":"subscribe","channel":1}`, `"channel" must be a string`},
		{"channel null", `{"type":"unsubscribe","channel":null}`, `"channel" must be a string`},
		{"auth object", `{"type":"subscribe","channel":"c","auth":{}}`, `"auth" must be a string`},
		{"channel_data object", `{"type":"subscribe","channel":"c","channel_data":{"id":"u"}}`, `"channel_data" must be a string`},
		{"channelData number", `{"type":"subscribe","channel":"c","channelData":1}`, `"channelData" must be a string`},
		{"two channel data", `{"type":"subscribe","channel":"c","channelData":"a","channel_data":"b"}`, `"channel_data" and "channelData" differ`},

		{"since text on a channel", `{"type":"subscribe","channel":"c","since":"e-1"}`, `"since" must be an object of "epoch" and "offset"`},
		{"since without epoch", `{"type":"subscribe","channel":"c","since":{"offset":1}}`, `"epoch" in "since" must be a string`},
		{"since with null epoch", `{"type":"subscribe","channel":"c","since":{"epoch":null,"offset":1}}`, `"epoch" in "since" must be a string`},
		{"since without offset", `{"type":"subscribe","channel":"c","since":{"epoch":"e"}}`, `"offset" in "since" must be a whole number, 0 or more`},
		{"since with text offset", `{"type":"subscribe","channel":"c","since":{"epoch":"e","offset":"1"}}`, `"offset" in "since" must be a whole number, 0 or more`},
		{"negative offset", `{"type":"subscribe","channel":"c","since":{"epoch":"e","offset":-1}}`, `"offset" in "since" must be a whole number, 0 or more`},
		{"broken offset", `{"type":"subscribe","channel":"c","since":{"epoch":"e","offset":1.5}}`, `"offset" in "since" must be a whole number, 0 or more`},
		{"offset over 64 bits", `{"type":"subscribe","channel":"c","since":{"epoch":"e","offset":18446744073709551616}}`, `"offset" in "since" must be a whole number, 0 or more`},
		{"since with a repeated key", `{"type":"subscribe","channel":"c","since":{"offset":1,"offset":2}}`, `"since": invalid JSON at byte 22: duplicate key "offset"`},

		{"events text", `{"type":"subscribe","events":"e"}`, `"events" must be an array of strings`},
		{"events null", `{"type":"subscribe","events":null}`, `"events" must be an array of strings`},
		{"events with null", `{"type":"subscribe","events":["a",null]}`, `"events" must be an array of strings`},
		{"events nested", `{"type":"unsubscribe","events":[["a"]]}`, `"events" must be an array of strings`},
		{"events empty", `{"type":"subscribe","events":[ ]}`, `"events" is empty`},
		{"since object on events", `{"type":"subscribe","events":["e"],"since":{"epoch":"e","offset":1}}`, `"since" must be a string`},

		{"message without channel", `{"type":"message","event":"e"}`, `"channel" is missing`},
		{"message without event", `{"type":"message","channel":"c"}`, `"event" is missing`},
		{"message with event object", `{"type":"message","channel":"c","event":{}}`, `"event" must be a string`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode([]byte(tt.in))
			refused, ok := errors.AsType[*BadMessage](err)
			if !ok {
				t.Fatalf("Decode(%s) = %+v, %v; want a *BadMessage", tt.in, got, err)
			}
			if refused.Message != tt.want || refused.Error() != tt.want {
				t.Errorf("Decode(%s)\n got %q\nwant %q", tt.in, refused.Message, tt.want)
			}
			if !reflect.DeepEqual(got, Request{}) {
				t.Errorf("Decode(%s): got %+v beside the error, want nothing", tt.in, got)
			}
		})
	}
}

func TestDecodeLeavesTheNumberOfPatternsToTheDoor(t *testing.T) {
	in := `{"type":"subscribe","events":[` + strings.Repeat(`"a.*",`, 100) + `"b"]}`
	got, err := Decode([]byte(in))
	if err != nil || len(got.Events) != 101 {
		t.Errorf("got %d patterns, error %v; want 101", len(got.Events), err)
	}
}

func TestKindString(t *testing.T) {
	for _, tt := range []struct {
		kind Kind
		want string
	}{
		{0, "Kind(0)"},
		{Auth, "auth"},
		{ClientEvent, "message"},
		{Ping, "ping"},
		{Ping + 1, "Kind(8)"},
	} {
		if got := tt.kind.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func BenchmarkDecodeClientEvent(b *testing.B) {
	msg := []byte(`{"type":"message","channel":"private-room.1","event":"typing","data":{"user":"u-1","at":1739700000}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(msg); err != nil {
			b.Fatal(err)
		}
	}
}
