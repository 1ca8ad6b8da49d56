package herald

import (
	"bytes"
	"testing"
)

// FuzzMessageBody: what one node makes of a message another reads, and what is none is read as something
// harmless.
func FuzzMessageBody(f *testing.F) {
	f.Add("created", "1.2", []byte(`{"id":1}`))
	f.Add("", "", []byte{})
	f.Add(string(make([]byte, 300)), string(make([]byte, 130)), []byte{0xff, 0x80, 1})
	f.Fuzz(func(t *testing.T, event, except string, data []byte) {
		channel := Channel{"orders"}
		got := messageOf("orders", message{channel: channel, event: event, except: except, data: data}.body())
		if got.channel != channel || got.event != event || got.except != except || !bytes.Equal(got.data, data) {
			t.Errorf("got %q except %q: %q, want %q except %q: %q", got.event, got.except, got.data, event, except, data)
		}
		hostile := messageOf("orders", data)
		if len(hostile.event)+len(hostile.except)+len(hostile.data) > len(data) {
			t.Errorf("%q has become more than it is: %+v", data, hostile)
		}
	})
}

// FuzzEventBody: an event comes back as it was, but for times finer than the protocol's.
func FuzzEventBody(f *testing.F) {
	f.Add([]byte(`{"id":"evt-1","type":"user.seen","timestamp":"2026-02-16T12:00:00.000Z","payload":{"n":1.0},"userId":"ann","ip":"192.0.2.7"}`))
	f.Add([]byte(`{"payload":null}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e := eventOfBody(body)
		if checkEventID(e.ID) != nil || checkEventType(e.Type) != nil || e.Timestamp.IsZero() {
			t.Skip("no event that Publish has checked")
		}
		if _, err := parseTimestamp(e.Timestamp.UTC().Format("2006-01-02T15:04:05Z")); err != nil {
			t.Skip("nor this time")
		}
		once := e.body()
		if again := eventOfBody(once).body(); !bytes.Equal(once, again) {
			t.Errorf("%s has become %s", once, again)
		}
	})
}

func TestEventPositions(t *testing.T) {
	for _, at := range []Position{{"K3V9QZJ2MX4A", 0}, {"K3V9QZJ2MX4A", 1<<64 - 1}, {"with-hyphen", 7}} {
		text := eventPosition(at)
		if got, ok := parseEventPosition(text); !ok || got != at {
			t.Errorf("%v: got %v, %v of %q", at, got, ok, text)
		}
		if checkEventID(text) == nil {
			t.Errorf("%q could be an event's id", text)
		}
	}
	for _, text := range []string{"", "at:", "at:x", "at:-1", "x-1", "evt-1", "start:X"} {
		if got, ok := parseEventPosition(text); ok {
			t.Errorf("%q: got %v, want no position", text, got)
		}
	}
}
