package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// examples are the messages of PROTOCOL.md, with those that only tests would send.
var examples = []string{
	`{"type":"auth","token":"<JWT>"}`,
	`{"type":"subscribe","channel":"orders"}`,
	`{"type":"subscribe","channel":"private-user.1","auth":"137204873.482911:00ff"}`,
	`{"type":"subscribe","channel":"presence-room.1","auth":"1.2:0","channel_data":"{\"id\":\"u\",\"info\":{}}"}`,
	`{"type":"subscribe","channel":"presence-room.1","channelData":"x","data":{"id":"u","name":"A"}}`,
	`{"type":"subscribe","channel":"orders","since":{"epoch":"e","offset":41}}`,
	`{"type":"unsubscribe","channel":"orders"}`,
	`{"type":"subscribe","events":["user.registered","login.*"],"since":"evt-0199"}`,
	`{"type":"unsubscribe","events":["**"]}`,
	`{"type":"message","channel":"private-a","event":"typing","data":{"n":1.50e+3}}`,
	` { "type" : "message" , "channel":"c","event":"e" , "data" : [ 1 , { } ] } `,
	`{"type":"ping"}`,
	`{"type":"event","event":"connected","data":{"socketId":"137204873.482911","pingInterval":30000}}`,
	`{"type":"event","event":{"id":"evt-0199","type":"user.registered","timestamp":"2026-02-16T12:00:00.000Z","payload":{"userId":"u"}}}`,
	`{"a":1,"\u0061":2}`,
	"\"\u2028\u2029<&>\\ud800\\ud83d\\ude00\"",
	"\"\xff\"",
	"\uFEFF{}",
	nested(MaxDepth), nested(MaxDepth + 1),
	`[-0,0.10,1E-7,12345678901234567890123]`,
	`[1,]`, `{"a":}`, `01`, `"\u00`, ``, `nul`, `{} {}`,
}

func seed(f *testing.F) {
	f.Helper()
	for _, e := range examples {
		f.Add([]byte(e))
	}
}

// depth counts brackets of valid JSON.
func depth(data []byte) int {
	deepest, open := 0, 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = stringEnd(data, i) - 1
		case '[', '{':
			open++
			deepest = max(deepest, open)
		case ']', '}':
			open--
		}
	}
	return deepest
}

func FuzzCompact(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		got, err := Compact(data)
		if want := json.Valid(data) && utf8.Valid(data) && depth(data) <= MaxDepth; want != (err == nil) {
			t.Fatalf("Compact(%q): error %v, want accepted: %v", data, err, want)
		}
		if err != nil {
			if refused, ok := errors.AsType[*SyntaxError](err); !ok || refused.Offset < 0 || refused.Offset > len(data) {
				t.Errorf("Compact(%q): error %#v is no *SyntaxError inside the text", data, err)
			}
			return
		}
		if !bytes.Equal(data, before) {
			t.Fatalf("Compact changed its input %q to %q", before, data)
		}
		var want bytes.Buffer
		if err := json.Compact(&want, data); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("Compact(%q) = %q, want %q (%v)", data, got, want.Bytes(), err)
		}
		if a, b := value(t, data), value(t, got); !reflect.DeepEqual(a, b) {
			t.Errorf("Compact(%q) = %q, another value", data, got)
		}
		if again, err := Compact(got); err != nil || !bytes.Equal(again, got) {
			t.Errorf("Compact of %q = %q, %v", got, again, err)
		}
	})
}

// value reads JSON with the text of its numbers.
func value(t *testing.T, data []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decode %q: %v", data, err)
	}
	return v
}

func FuzzObject(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		fields, err := Object(data)
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("Object took %q: %v", data, err)
		}
		if len(fields) != len(want) {
			t.Fatalf("Object(%q): got %d members, want %d", data, len(fields), len(want))
		}
		for _, field := range fields {
			if !bytes.Equal(field.Value, want[field.Name]) {
				t.Errorf("Object(%q): %q is %q, want %q", data, field.Name, field.Value, want[field.Name])
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		r, err := Decode(msg)
		if err != nil {
			refused, ok := errors.AsType[*BadMessage](err)
			if !ok || refused.Message == "" || !utf8.ValidString(refused.Message) {
				t.Fatalf("Decode(%q): error %#v, want a *BadMessage fit for the client", msg, err)
			}
			return
		}
		if err := check(msg); err != nil {
			t.Errorf("Decode took %q: %v", msg, err)
		}
		if compact, err := Compact(r.Data); r.Data != nil && (err != nil || len(compact) != len(r.Data)) {
			t.Errorf("Decode(%q): data %q is not compact JSON (%v)", msg, r.Data, err)
		}
		again, err := Decode(encode(r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("Decode(%q) = %+v\nencoded as %s\nis %+v, %v", msg, r, encode(r), again, err)
		}
	})
}

// encode writes a request as a client would.
func encode(r Request) []byte {
	switch r.Kind {
	case Auth:
		return frame("auth", 0).text("token", r.Token).done()
	case SubscribeChannel:
		o := frame("subscribe", 0).text("channel", r.Channel).text("auth", r.Auth)
		if r.HasChannelData {
			o = o.text("channel_data", r.ChannelData)
		}
		if r.Since != nil {
			o = o.in("since").text("epoch", r.Since.Epoch).raw("offset", strconv.AppendUint(nil, r.Since.Offset, 10)).out()
		}
		return o.raw("data", r.Data).done()
	case SubscribeEvents:
		o := frame("subscribe", 0).texts("events", r.Events)
		if r.HasSinceID {
			o = o.text("since", r.SinceID)
		}
		return o.done()
	case UnsubscribeChannel:
		return frame("unsubscribe", 0).text("channel", r.Channel).done()
	case UnsubscribeEvents:
		return frame("unsubscribe", 0).texts("events", r.Events).done()
	case ClientEvent:
		return frame("message", 0).text("channel", r.Channel).text("event", r.Event).raw("data", r.Data).done()
	default:
		return frame("ping", 0).done()
	}
}

func FuzzFrames(f *testing.F) {
	for _, s := range []string{"", "orders", `"\</script>`, "\x00\r\n\t\x1f\x7f", "\xff\xc3", "\u2028\u2029é😀", "\ufffd"} {
		for _, data := range []string{`{"n":1.0}`, `null`, ``, `[1,`, `[ "<" ]`} {
			f.Add(s, "e", []byte(data), int64(30_000))
		}
	}
	f.Fuzz(func(t *testing.T, s, other string, data []byte, ms int64) {
		// What frames wrap around data may take it past the depth that is taken in.
		if len(data) > 0 && (check(data) != nil || depth(data) > MaxDepth-3) {
			return
		}
		for name, got := range everyFrame(s, other, data, ms) {
			if err := check(got); err != nil {
				t.Fatalf("%s: %v in %q", name, err, got)
			}
			if len(s) > 0 && !holds(value(t, got), string([]rune(s))) {
				t.Errorf("%s: %q does not say %q", name, got, s)
			}
			if len(data) > 0 && strings.Contains(name, "data") && !bytes.Contains(got, data) {
				t.Errorf("%s: %q does not hold %q as it was", name, got, data)
			}
		}
	})
}

// everyFrame returns each server message that has a text, saying s.
func everyFrame(s, other string, data []byte, ms int64) map[string][]byte {
	yes, d := true, time.Duration(ms)*time.Millisecond
	member, at := Member{ID: s, Info: data}, Position{other, uint64(ms)}
	event := Event{
		ID: s, Type: other, Payload: data, UserID: s, IP: other,
		// RFC 3339 has years of four digits.
		Timestamp: time.UnixMilli(int64(uint64(ms) % 253_402_300_800_000)),
	}
	return map[string][]byte{
		"connected":           Connected(s, d),
		"stream connected":    StreamConnected(s),
		"event stream":        EventStreamConnected(s),
		"auth":                AuthOK(s),
		"auth refused":        AuthFailed(s),
		"subscribed":          Subscribed{Channel: s}.Encode(),
		"subscribed, data":    Subscribed{s, &[]Member{member, {ID: other}}, &at, &yes}.Encode(),
		"subscription error":  SubscriptionError(other, s, s),
		"unsubscribed":        Unsubscribed(s),
		"events":              EventsSubscribed([]string{other, s}, s, &yes),
		"error":               Error(other, s),
		"channel event, data": ChannelEvent(s, other, data),
		"kept event, data":    KeptEvent(at, s, other, data),
		"gap":                 Gap(s, at),
		"event gap":           EventGap(s),
		"stream gap":          StreamGap{s, other, s, s}.Encode(),
		"for good":            StreamConnectedForGood(s),
		"member added, data":  MemberAdded(other, member),
		"member removed":      MemberRemoved(other, s),
		"domain event, data":  DomainEvent(event),
		"event body, data":    DomainEventBody(event),
	}
}

// holds reports whether text is a string anywhere in v.
func holds(v any, text string) bool {
	switch v := v.(type) {
	case string:
		return v == text
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return holds(e, text) })
	case map[string]any:
		for _, e := range v {
			if holds(e, text) {
				return true
			}
		}
	}
	return false
}

func FuzzBlock(f *testing.F) {
	for _, e := range examples {
		f.Add("event", "evt-1", []byte(e))
	}
	f.Add("", "", []byte(""))
	f.Add("e\r\ndata: x\n\n", "1\x00\n2", []byte("a\rb\nc\r\nd\n\nid: evil\n\nretry: 1\n"))
	f.Add("\uFEFF", " id", []byte("\n"))
	f.Fuzz(func(t *testing.T, event, id string, data []byte) {
		text := Block(event, id, data)
		es := readStream(text)

		wantID := strings.ToValidUTF8(oneLine(id), "\uFFFD")
		if es.lastID != wantID || es.retry != "" || es.data.Len() > 0 {
			t.Fatalf("%q: got id %q, retry %q, open data %q; want id %q", text, es.lastID, es.retry, es.data.String(), wantID)
		}
		var want []message
		if len(data) > 0 {
			name := strings.ToValidUTF8(oneLine(event), "\uFFFD")
			if name == "" {
				name = "message"
			}
			want = []message{{name, wantID, asRead(data)}}
		}
		if !reflect.DeepEqual(es.messages, want) {
			t.Errorf("%q: got %q, want %q", text, es.messages, want)
		}
	})
}
