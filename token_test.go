package herald

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/herald-events/herald/internal/wire"
)

const (
	testSecret = "0123456789abcdef"
	testSocket = "137204873.482911"
)

func ExampleSignChannel() {
	// A backend that knows the secret lets one connection into one channel.
	token, err := SignChannel("0123456789abcdef", "137204873.482911", "private-user.1", "")
	fmt.Println(token, err)
	// Output: 137204873.482911:c9d6d56fc71223ca3e75fd19457f07f01eb8183b954d4bfdf4e58c4093e339ea <nil>
}

// The vectors come from openssl dgst -sha256 -hmac; the last is the one of Pusher's documentation.
var tokenVectors = []struct {
	name, secret, socketID, channel, data, want string
}{
	{
		name: "private", secret: testSecret, socketID: testSocket, channel: "private-user.1",
		want: testSocket + ":c9d6d56fc71223ca3e75fd19457f07f01eb8183b954d4bfdf4e58c4093e339ea",
	},
	{
		name: "presence", secret: testSecret, socketID: testSocket, channel: "presence-room.1",
		data: `{"id":"1","info":{"name":"Ann"}}`,
		want: testSocket + ":1b4c39e18435d943fc8c00a3daa7c785aa420a7444c8104349ea79c4d5e40171",
	},
	{
		name: "documented", secret: "7ad3773142a6692b25b8", socketID: "1234.1234", channel: "private-foobar",
		want: "1234.1234:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
	},
}

func mustChannel(t testing.TB, name string) Channel {
	t.Helper()
	ch, err := ParseChannel(name)
	if err != nil {
		t.Fatalf("parse channel %q: %v", name, err)
	}
	return ch
}

func TestChannelTokenVectors(t *testing.T) {
	for _, tt := range tokenVectors {
		t.Run(tt.name, func(t *testing.T) {
			got, err := SignChannel(tt.secret, tt.socketID, tt.channel, tt.data)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
			ch := mustChannel(t, tt.channel)
			if err := (channelKeys{tt.secret}).verify(tt.want, tt.socketID, ch, tt.data, tt.data != ""); err != nil {
				t.Errorf("verify: got %v, want nil", err)
			}
		})
	}
}

func TestChannelTokenIsGoodForItsOwnSocketAndChannelOnly(t *testing.T) {
	v := tokenVectors[1]
	upper := testSocket + ":" + strings.ToUpper(strings.TrimPrefix(v.want, testSocket+":"))
	tests := []struct {
		name, auth, socketID, channel, data string
		hasData                             bool
	}{
		{"another socket", v.want, "137204873.482912", v.channel, v.data, true},
		{"another channel", v.want, v.socketID, "presence-room.2", v.data, true},
		{"other data", v.want, v.socketID, v.channel, `{"id":"2"}`, true},
		{"no data", v.want, v.socketID, v.channel, "", false},
		{"empty data", v.want, v.socketID, v.channel, "", true},
		{"data moved into the channel", v.want, v.socketID, "presence-room.1", "", false},
		{"empty", "", v.socketID, v.channel, v.data, true},
		{"cut", v.want[:len(v.want)-1], v.socketID, v.channel, v.data, true},
		{"upper case", upper, v.socketID, v.channel, v.data, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := channelKeys{testSecret}.verify(tt.auth, tt.socketID, mustChannel(t, tt.channel), tt.data, tt.hasData)
			if !errors.Is(err, &Error{Code: CodeForbidden}) {
				t.Errorf("got %v, want a refusal with %s", err, CodeForbidden)
			}
		})
	}
}

func TestFirstSecretSignsAllVerify(t *testing.T) {
	const older = "fedcba9876543210"
	ch := mustChannel(t, "private-user.1")
	keys := channelKeys{testSecret, older}
	if got, want := keys.sign(testSocket, ch, "", false), tokenVectors[0].want; got != want {
		t.Errorf("sign: got %q, want that of the first secret, %q", got, want)
	}
	for _, secret := range keys {
		if err := keys.verify(channelKeys{secret}.sign(testSocket, ch, "", false), testSocket, ch, "", false); err != nil {
			t.Errorf("verify a token of %q: %v", secret, err)
		}
	}
	if err := (channelKeys{older}).verify(tokenVectors[0].want, testSocket, ch, "", false); err == nil {
		t.Error("a token of a secret that is gone was accepted")
	}
	if err := (channelKeys)(nil).verify(tokenVectors[0].want, testSocket, ch, "", false); err == nil {
		t.Error("a token was accepted without any secret")
	}
}

func TestSignedChannelDataMustBeAnObject(t *testing.T) {
	ch := mustChannel(t, "private-user.1")
	keys := channelKeys{testSecret}
	for _, data := range []string{"", "1", "[]", `"text"`, "null", `{"id":"1"`, `{"id":"1","id":"2"}`} {
		err := keys.verify(keys.sign(testSocket, ch, data, true), testSocket, ch, data, true)
		if !errors.Is(err, &Error{Code: CodeBadMember}) {
			t.Errorf("channel_data %q: got %v, want a refusal with %s", data, err, CodeBadMember)
		}
	}
}

func TestSignChannelRefuses(t *testing.T) {
	tests := []struct{ name, secret, socketID, channel, data string }{
		{"a short secret", "0123456789abcde", testSocket, "private-a", ""},
		{"a bad socket id", testSecret, "sse-1", "private-a", ""},
		{"a bad channel", testSecret, testSocket, "private-a b", ""},
		{"a public channel", testSecret, testSocket, "a", ""},
		{"presence without a member", testSecret, testSocket, "presence-a", ""},
		{"a member without an id", testSecret, testSocket, "presence-a", `{"info":1}`},
		{"data that is no object", testSecret, testSocket, "private-a", "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := SignChannel(tt.secret, tt.socketID, tt.channel, tt.data); err == nil {
				t.Errorf("got %q, want an error", got)
			}
		})
	}
}

func TestIDsOfConnections(t *testing.T) {
	streams := regexp.MustCompile(`^sse-[A-Za-z0-9_-]{22,}$`)
	seen := map[string]bool{}
	for range 1000 {
		id, stream := newSocketID(), newConnectionID()
		if !validSocketID(id) {
			t.Errorf("socket id %q has not the form of one", id)
		}
		if !streams.MatchString(stream) {
			t.Errorf("connection id %q does not match %v", stream, streams)
		}
		if seen[id] || seen[stream] {
			t.Errorf("%q or %q came twice", id, stream)
		}
		seen[id], seen[stream] = true, true
	}
}

func TestValidSocketID(t *testing.T) {
	twenty := strings.Repeat("9", 20)
	for id, want := range map[string]bool{
		"1.2": true, twenty + "." + twenty: true,
		"": false, ".": false, "1.": false, ".1": false, "1": false, "1.2.3": false, "-1.2": false, "1,2": false,
		twenty + "9.1": false, "1.2\n": false, "1.2 ": false, "١.٢": false, "sse-ABC": false,
	} {
		if got := validSocketID(id); got != want {
			t.Errorf("%q: got %v, want %v", id, got, want)
		}
	}
}

func TestParseMember(t *testing.T) {
	long := strings.Repeat("ä", maxPersonID)
	large := `"` + strings.Repeat("i", maxMemberInfo-2) + `"`
	tests := []struct{ name, in, member, client string }{ // want, as JSON; empty: refused
		{"id alone", `{"id":"1"}`, `{"id":"1"}`, `{"id":"1"}`},
		{"id and info", ` { "id" : "1" , "info" : { "a" : [ 1 , 2 ] } } `, `{"id":"1","info":{"a":[1,2]}}`, `{"id":"1","info":{"a":[1,2]}}`},
		{"numbers stay", `{"id":"1","info":1.50e3}`, `{"id":"1","info":1.50e3}`, `{"id":"1","info":1.50e3}`},
		{"null is an info", `{"id":"1","info":null}`, `{"id":"1","info":null}`, `{"id":"1","info":null}`},
		{"the rest is the info", `{"name":"Ann","id":"1","age": 7}`, `{"id":"1"}`, `{"id":"1","info":{"name":"Ann","age":7}}`},
		{"one more field", `{"n":2,"id":"1"}`, `{"id":"1"}`, `{"id":"1","info":{"n":2}}`},
		{"info among the rest", `{"id":"1","info":1,"x":2}`, `{"id":"1","info":1}`, `{"id":"1","info":{"info":1,"x":2}}`},
		{"a longest id", `{"id":"` + long + `"}`, `{"id":"` + long + `"}`, `{"id":"` + long + `"}`},
		{"too long an id", `{"id":"` + long + `ä"}`, "", ""},
		{"a largest info", `{"id":"1","info":` + large + `}`, `{"id":"1","info":` + large + `}`, `{"id":"1","info":` + large + `}`},
		{"too large an info", `{"id":"1","info":[` + large + `]}`, "", ""},
		{"too large a rest", `{"id":"1","x":` + large + `}`, `{"id":"1"}`, ""},
		{"no id", `{"info":1}`, "", ""},
		{"empty id", `{"id":""}`, "", ""},
		{"id is a number", `{"id":1}`, "", ""},
		{"id is null", `{"id":null}`, "", ""},
		{"name of another case", `{"ID":"1"}`, "", ""},
		{"control character", `{"id":"a\u0000"}`, "", ""},
		{"id twice", `{"id":"1","id":"2"}`, "", ""},
		{"id twice, escaped", `{"id":"1","\u0069d":"2"}`, "", ""},
		{"no object", `"1"`, "", ""},
		{"no JSON", `{id:1}`, "", ""},
		{"two texts", `{"id":"1"}{}`, "", ""},
		{"empty", ``, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := parseMember([]byte(tt.in))
			checkMember(t, "parseMember", m, err, tt.member)
			m, err = parseClientMember([]byte(tt.in))
			checkMember(t, "parseClientMember", m, err, tt.client)
		})
	}
}

func checkMember(t *testing.T, parser string, m Member, err error, want string) {
	t.Helper()
	if want == "" {
		if !errors.Is(err, &Error{Code: CodeBadMember}) {
			t.Errorf("%s: got %v, %v, want a refusal with %s", parser, m, err, CodeBadMember)
		}
		return
	}
	got, encodeErr := json.Marshal(m)
	if err != nil || encodeErr != nil || string(got) != want {
		t.Errorf("%s: got %s, %v, %v, want %s", parser, got, err, encodeErr, want)
	}
}

func TestParseMemberKeepsNoBuffer(t *testing.T) {
	buffer := []byte(`{"id":"1","info":{"a":1}}`)
	m, err := parseMember(buffer)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	clear(buffer)
	if got, want := string(m.Info), `{"a":1}`; got != want {
		t.Errorf("info after the buffer was used again: got %q, want %q", got, want)
	}
}

func FuzzParseMember(f *testing.F) {
	for _, seed := range []string{
		`{"id":"1"}`, `{"id":"1","info":{"a":1}}`, `{"id":"1","a":[],"b":"\u003c"}`, `{"id":"1","info":null}`, `{}`, `[]`,
		`{"id":"\ud800"}`, `{"id":"1","id":"2"}`, `{"":0,"id":"0"}`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxMemberInfo {
			return // the two have different infos, one of which may be too large
		}
		signed, err := parseMember(data)
		own, ownErr := parseClientMember(data)
		if (err == nil) != (ownErr == nil) {
			t.Fatalf("parseMember: %v, parseClientMember: %v, want the same verdict", err, ownErr)
		}
		if err != nil {
			return
		}
		for _, m := range []Member{signed, own} {
			if err := checkPersonID(m.ID); err != nil {
				t.Errorf("accepted the id %q, which %v", m.ID, err)
			}
			if _, err := wire.Compact(m.Info); m.Info != nil && err != nil {
				t.Errorf("info %q: %v", m.Info, err)
			}
			if again, err := m.checked(); err != nil || again.ID != m.ID || string(again.Info) != string(m.Info) {
				t.Errorf("checked again: got %v, %v, want %v", again, err, m)
			}
		}
	})
}
