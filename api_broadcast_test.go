package herald

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/herald-events/herald/internal/wire"
)

// checkRefused wants 400 BAD_REQUEST, or the status given, and details for exactly these paths.
func checkRefused(t *testing.T, got apiAnswer, status int, paths string) {
	t.Helper()
	if got.status != status {
		t.Fatalf("got %v, want %d", got, status)
	}
	e := got.refusal(t)
	wantCode := map[int]Code{400: CodeBadRequest, 413: CodeTooLarge}[status]
	var named []string
	for _, d := range e.Details {
		named = append(named, d.Path)
		if d.Message == "" {
			t.Errorf("%s has no message in %v", d.Path, got)
		}
	}
	if list := strings.Join(named, " "); e.Code != wantCode || list != paths {
		t.Errorf("got %s for %q, want %s for %q", e.Code, list, wantCode, paths)
	}
}

// quotedList is a JSON list of n copies of an item.
func quotedList(item string, n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
}

func deep(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

var badBroadcasts = []struct {
	name, body string
	status     int
	paths      string // of the details, in order
}{
	{"nothing", ``, 400, ""},
	{"no JSON", `{"channel":`, 400, ""},
	{"a form", `channel=orders&event=created`, 400, ""},
	{"two values", `{"channel":"a","event":"e"} {}`, 400, ""},
	{"a list", `[]`, 400, ""},
	{"null", `null`, 400, ""},
	{"a byte order mark", "\ufeff" + `{"channel":"a","event":"e"}`, 400, ""},
	{"no UTF-8", `{"channel":"a","event":"` + "\xff" + `"}`, 400, ""},
	{"a key twice", `{"channel":"a","channel":"b","event":"e"}`, 400, ""},
	{"a key twice, escaped", `{"event":"a","\u0065vent":"b","channel":"a"}`, 400, ""},
	{"too deep", `{"channel":"a","event":"e","data":` + deep(wire.MaxDepth) + `}`, 400, ""},
	{"very deep", `{"channel":"a","event":"e","data":` + deep(100_000) + `}`, 400, ""},
	{"empty", `{}`, 400, "event channel"},
	{"nulls", `{"channel":null,"event":null}`, 400, "event channel"},
	{"an unknown field", `{"channel":"a","event":"e","exclude":"1.2"}`, 400, "exclude"},
	{"a field in another case", `{"Channel":"a","event":"e"}`, 400, "Channel channel"},
	{"all that can be wrong", `{"channel":"a b","event":"","except":"x","x":1}`, 400, "channel event except x"},
	{"no event", `{"channel":"a"}`, 400, "event"},
	{"no channel", `{"event":"e"}`, 400, "channel"},
	{"channel and channels", `{"channel":"a","channels":["b"],"event":"e"}`, 400, "channel"},
	{"a channel that is a number", `{"channel":1,"event":"e"}`, 400, "channel"},
	{"an empty channel", `{"channel":"","event":"e"}`, 400, "channel"},
	{"a long channel", `{"channel":"` + strings.Repeat("a", 201) + `","event":"e"}`, 400, "channel"},
	{"CR and LF in a channel", `{"channel":"a\r\nb","event":"e"}`, 400, "channel"},
	{"NUL in a channel", `{"channel":"a\u0000b","event":"e"}`, 400, "channel"},
	{"a letter of another alphabet", `{"channel":"а","event":"e"}`, 400, "channel"},
	{"channels that are none", `{"channels":"a","event":"e"}`, 400, "channels"},
	{"no channels", `{"channels":[],"event":"e"}`, 400, "channels"},
	{"a bad one among channels", `{"channels":["a","b c",1,null,["d"]],"event":"e"}`, 400, "channels[1] channels[2] channels[3] channels[4]"},
	{"1001 channels", `{"channels":` + quotedList(`"a"`, 1001) + `,"event":"e"}`, 400, "channels"},
	{"an event that is a number", `{"channel":"a","event":1}`, 400, "event"},
	{"an empty event", `{"channel":"a","event":""}`, 400, "event"},
	{"a long event", `{"channel":"a","event":"` + strings.Repeat("é", 201) + `"}`, 400, "event"},
	{"CR and LF in an event", `{"channel":"a","event":"a\r\nb"}`, 400, "event"},
	{"NUL in an event", `{"channel":"a","event":"a\u0000"}`, 400, "event"},
	{"an exception that is no id", `{"channel":"a","event":"e","except":"me"}`, 400, "except"},
	{"an empty exception", `{"channel":"a","event":"e","except":""}`, 400, "except"},
	{"LF after an exception", `{"channel":"a","event":"e","except":"1.2\n"}`, 400, "except"},
	{"an exception that is a list", `{"channel":"a","event":"e","except":["1.2"]}`, 400, "except"},
	{"too much data", `{"channel":"a","event":"e","data":"` + strings.Repeat("x", 1023) + `"}`, 413, "data"},
	{"too much data and more", `{"channel":"","event":"e","data":"` + strings.Repeat("x", 1023) + `"}`, 400, "channel data"},
	{"more and too much data", `{"data":"` + strings.Repeat("x", 1023) + `","event":"e"}`, 400, "data channel"},
	{"a field without a name", `{"channel":"a","event":"e","":1}`, 400, `""`},
	{"a long unknown field", `{"channel":"a","event":"e","` + strings.Repeat("é", 40) + `":1}`, 400, strings.Repeat("é", 32) + "…"},
}

func TestBadBroadcasts(t *testing.T) {
	f := newAPIFixture(t, Config{Limits: Limits{MaxPayloadSize: 1024}})
	for _, tt := range badBroadcasts {
		t.Run(tt.name, func(t *testing.T) {
			checkRefused(t, f.call(t, "POST", "/api/v1/broadcast", tt.body), tt.status, tt.paths)
		})
	}
}

func TestBroadcast(t *testing.T) {
	f := newAPIFixture(t, Config{Limits: Limits{MaxPayloadSize: 1024}})
	l := f.listen(t, "", "orders")
	tests := []struct{ name, body, want string }{
		{"no data", `{"channel":"orders","event":"e"}`, `null`},
		{"null data", `{"channel":"orders","event":"e","data":null,"except":null,"channels":null}`, `null`},
		{"numbers", `{"channel":"orders","event":"e","data":[1e400, 12345678901234567890, 1.0, -0, 1E+2]}`, `[1e400,12345678901234567890,1.0,-0,1E+2]`},
		{"text", `{"channel":"orders","event":"e","data":"\u003c<\u2028\ud800"}`, `"\u003c<\u2028\ud800"`},
		{"as much as is allowed", `{"channel":"orders","event":"e","data":"` + strings.Repeat("x", 1022) + `"}`, `"` + strings.Repeat("x", 1022) + `"`},
		{"as deep as is allowed", `{"channel":"orders","event":"e","data":` + deep(wire.MaxDepth-1) + `}`, deep(wire.MaxDepth - 1)},
		{"several channels", `{"channels":["other","orders"],"event":"e","data":1}`, `1`},
		{"1000 channels", `{"channels":` + quotedList(`"other"`, 999)[:len(quotedList(`"other"`, 999))-1] + `,"orders"],"event":"e","data":2}`, `2`},
		{"except another", `{"channel":"orders","event":"e","data":3,"except":"1.2"}`, `3`},
		{"except a stream", `{"channel":"orders","event":"e","data":4,"except":"` + newConnectionID() + `"}`, `4`},
		{"white space", " \r\n{\t\"channel\" : \"orders\",\"event\":\"e\"\n} ", `null`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, want := f.call(t, "POST", "/api/v1/broadcast", tt.body).String(), `200 {"ok":true}`; got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			want := `{"type":"event","channel":"orders","event":"e","data":` + tt.want + `}`
			if got := l.next(t); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestBroadcastSkipsTheException(t *testing.T) {
	f := newAPIFixture(t, Config{})
	one, two := f.listen(t, "", "orders"), f.listen(t, "", "orders")
	f.call(t, "POST", "/api/v1/broadcast", `{"channel":"orders","event":"first","except":"`+one.id+`"}`)
	f.call(t, "POST", "/api/v1/broadcast", `{"channel":"orders","event":"second"}`)
	if got := one.next(t); !strings.Contains(got, `"second"`) {
		t.Errorf("the exception got %s, want the second message", got)
	}
	if got := two.next(t); !strings.Contains(got, `"first"`) {
		t.Errorf("the other got %s, want the first message", got)
	}
}

func TestAnyContentTypeIsRead(t *testing.T) {
	f := newAPIFixture(t, Config{})
	for _, contentType := range []string{"", "application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded", "nonsense;;"} {
		header := withKey(apiKeyFor(ScopeBroadcast))
		header.Set("Content-Type", contentType)
		header.Set("Accept", "text/html")
		if got := f.callWith(t, "POST", "/api/v1/broadcast", `{"channel":"a","event":"e"}`, header); got.status != 200 {
			t.Errorf("Content-Type %q: got %v, want 200", contentType, got)
		}
	}
}

func TestBatchOfManyMessages(t *testing.T) {
	f := newAPIFixture(t, Config{})
	l := f.listen(t, "", "a")
	var messages []string
	for i := range 1000 {
		messages = append(messages, fmt.Sprintf(`{"channel":"a","event":"e","data":%d}`, i))
	}
	body := `{"messages":[` + strings.Join(messages, ",") + `]}`
	if got := f.call(t, "POST", "/api/v1/broadcast/batch", body); got.String() != `200 {"ok":true}` {
		t.Fatalf("got %v, want 200", got)
	}
	for i := range 1000 {
		want := fmt.Sprintf(`{"type":"event","channel":"a","event":"e","data":%d}`, i)
		if got := l.next(t); got != want {
			t.Fatalf("message %d is %s, want %s", i, got, want)
		}
	}
}

// The order holds on each channel; of several, a connection may be written one before the other.
func TestBatchKeepsTheOrderOfAChannel(t *testing.T) {
	f := newAPIFixture(t, Config{})
	l := f.listen(t, "", "a")
	body := `{"messages":[{"channel":"a","event":"e","data":0},{"channels":["b","a"],"event":"e","data":1},{"channel":"a","event":"e","data":2}]}`
	if got := f.call(t, "POST", "/api/v1/broadcast/batch", body); got.status != http.StatusOK {
		t.Fatalf("got %v, want 200", got)
	}
	for i := range 3 {
		want := fmt.Sprintf(`{"type":"event","channel":"a","event":"e","data":%d}`, i)
		if got := l.next(t); got != want {
			t.Errorf("message %d is %s, want %s", i, got, want)
		}
	}
}

func TestOneBadMessageAndNoneOfTheBatchIsSaid(t *testing.T) {
	const good = `{"channel":"orders","event":"e","data":1}`
	tests := []struct {
		name, messages string
		status         int
		paths          string
	}{
		{"no list", `1`, 400, "messages"},
		{"none", `[]`, 400, "messages"},
		{"missing", `null`, 400, "messages"},
		{"1001", quotedList(good, 1001), 400, "messages"},
		{"no object", `[` + good + `,1,"a",[],null]`, 400, "messages[1] messages[2] messages[3] messages[4]"},
		{"no channel", `[` + good + `,{"event":"e"}]`, 400, "messages[1].channel"},
		{"two kinds of channel", `[` + good + `,{"channel":"a","channels":["a"],"event":"e"}]`, 400, "messages[1].channel"},
		{"a bad channel", `[` + good + `,` + good + `,` + good + `,{"channel":"a b","event":"e"}]`, 400, "messages[3].channel"},
		{"a bad one of channels", `[` + good + `,{"channels":["a",""],"event":"e"}]`, 400, "messages[1].channels[1]"},
		{"a key twice", `[` + good + `,{"channel":"a","channel":"b","event":"e"}]`, 400, "messages[1]"},
		{"an unknown field", `[` + good + `,{"channel":"a","event":"e","name":"x"}]`, 400, "messages[1].name"},
		{"several", `[{"channel":"a"},` + good + `,{"event":"e","except":1}]`, 400, "messages[0].event messages[2].except messages[2].channel"},
		{"too much data", `[` + good + `,{"channel":"a","event":"e","data":"` + strings.Repeat("x", 1024) + `"}]`, 413, "messages[1].data"},
	}
	f := newAPIFixture(t, Config{Limits: Limits{MaxPayloadSize: 1024}})
	l := f.listen(t, "", "orders")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := f.call(t, "POST", "/api/v1/broadcast/batch", `{"messages":`+tt.messages+`}`)
			checkRefused(t, got, tt.status, tt.paths)
			if err := f.Broadcast(t.Context(), "orders", "marker", tt.name); err != nil {
				t.Fatal(err)
			}
			if got := l.next(t); !strings.Contains(got, `"marker"`) {
				t.Errorf("got %s, want the marker and nothing before it", got)
			}
		})
	}
}

func TestMistakesThatAreToldAreBounded(t *testing.T) {
	f := newAPIFixture(t, Config{})
	body := `{"messages":` + quotedList(`{"channel":"","event":"","except":""}`, 1000) + `}`
	got := f.call(t, "POST", "/api/v1/broadcast/batch", body)
	if e := got.refusal(t); got.status != 400 || len(e.Details) != maxDetails {
		t.Errorf("got %d with %d details, want 400 with %d", got.status, len(e.Details), maxDetails)
	}
}
