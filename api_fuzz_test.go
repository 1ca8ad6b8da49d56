package herald

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/herald-events/herald/internal/wire"
)

const fuzzMaxData = 256

// checkFuzzRefusal wants a refusal with a code of the caller's, that names what is wrong.
func checkFuzzRefusal(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != CodeBadRequest && e.Code != CodeTooLarge || e.Message == "" {
		t.Fatalf("got %#v, want a refusal", err)
	}
	for _, d := range e.Details {
		if d.Path == "" || d.Message == "" || !utf8.ValidString(d.Path) {
			t.Errorf("the detail %q says nothing", d)
		}
	}
}

// checkFuzzJSON wants data as it may be sent on.
func checkFuzzJSON(t *testing.T, data []byte) {
	t.Helper()
	if _, err := wire.Compact(data); err != nil || len(data) > fuzzMaxData {
		t.Errorf("accepted %q: %v", data, err)
	}
}

func checkFuzzMessages(t *testing.T, messages []message, most int) {
	t.Helper()
	if len(messages) == 0 || len(messages) > most {
		t.Errorf("accepted %d messages, want 1 to %d", len(messages), most)
	}
	for _, m := range messages {
		if _, err := ParseChannel(m.channel.String()); err != nil {
			t.Errorf("accepted the channel %q: %v", m.channel, err)
		}
		if err := checkEventName(m.event); err != nil {
			t.Errorf("accepted the event %q: %v", m.event, err)
		}
		if m.except != "" && checkConnectionID(m.except) != nil {
			t.Errorf("accepted the exception %q", m.except)
		}
		checkFuzzJSON(t, m.data)
	}
}

func FuzzReadBroadcast(f *testing.F) {
	for _, tt := range badBroadcasts {
		f.Add([]byte(tt.body))
	}
	f.Add([]byte(`{"channels":["a","presence-b"],"event":"e","data":[1e400,1.0],"except":"1.2"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		messages, err := readBroadcast(body, fuzzMaxData)
		if err != nil {
			checkFuzzRefusal(t, err)
			return
		}
		checkFuzzMessages(t, messages, maxTargets)
	})
}

func FuzzReadBatch(f *testing.F) {
	for _, tt := range badBroadcasts {
		f.Add([]byte(`{"messages":[` + tt.body + `]}`))
	}
	f.Add([]byte(`{"messages":[{"channel":"a","event":"e"},{"channels":["a","b"],"event":"f","data":{}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		messages, err := readBatch(body, fuzzMaxData)
		if err != nil {
			checkFuzzRefusal(t, err)
			return
		}
		checkFuzzMessages(t, messages, maxTargets*maxTargets)
	})
}

func FuzzReadEvent(f *testing.F) {
	for _, tt := range badEvents {
		f.Add([]byte(tt.body))
	}
	f.Add([]byte(`{"type":"a.b","payload":{"n":1e400},"userId":"u","id":"e-1","timestamp":"2026-02-16T12:00:00Z","ip":"::1"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := readEvent(body, fuzzMaxData)
		if err != nil {
			checkFuzzRefusal(t, err)
			return
		}
		e, err = e.checked(testNow, fuzzMaxData)
		if err != nil {
			t.Fatalf("accepted what is no event: %v", err)
		}
		checkFuzzJSON(t, e.Payload.(json.RawMessage))
		if text := wire.FormatTime(e.Timestamp); len(text) != len("2026-02-16T12:00:00.000Z") {
			t.Errorf("accepted the time %s", text)
		}
		if strings.ContainsAny(e.IP+e.UserID+e.ID+e.Type, "\r\n\x00") {
			t.Errorf("accepted control characters in %+v", e)
		}
	})
}

func FuzzCursor(f *testing.F) {
	channels := listQuery{list: "channels"}
	for _, name := range []string{"orders", "", "\xff", "a\x00"} {
		f.Add(channels.cursor(name))
	}
	f.Add("QR")
	f.Add("b3J\nkZXJz")
	f.Fuzz(func(t *testing.T, text string) {
		q := channels
		switch err := q.setCursor(text); {
		case err == nil && q.cursor(q.after) != text:
			t.Errorf("%q is taken for the cursor of %q, which is %q", text, q.after, q.cursor(q.after))
		case err == nil && (q.after == "" || !utf8.ValidString(q.after) || strings.Contains(q.after, "\x00")):
			t.Errorf("accepted the cursor of %q", q.after)
		}
	})
}

func FuzzReadJobQuery(f *testing.F) {
	known := jobRequest{Status: JobDead, Type: "email.send"}
	f.Add("status=dead&type=email.send&limit=7&cursor=" + known.cursor(Job{ID: 42}))
	f.Add("status=lost&limit=0")
	f.Add("cursor=%zz")
	f.Add("cursor=AAAA%0AAAAA&cursor=")
	f.Fuzz(func(t *testing.T, query string) {
		q, err := readJobQuery(&http.Request{URL: &url.URL{RawQuery: query}})
		if err != nil {
			checkFuzzRefusal(t, err)
			return
		}
		if q.Limit < 1 || q.Limit > maxPage || q.Before < 0 || q.Status != "" && !slices.Contains(jobStatuses, q.Status) {
			t.Errorf("accepted %+v", q)
		}
		if q.Before > 0 { // a cursor leads to where it was made
			again := jobRequest{Status: q.Status, Type: q.Type}
			if err := again.setCursor(q.cursor(Job{ID: q.Before})); err != nil || again.Before != q.Before {
				t.Errorf("the cursor of %d leads to %d, %v", q.Before, again.Before, err)
			}
		}
	})
}
