package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

var entry = Entry{
	Seq: 7, ID: "aud-1", OccurredAt: time.UnixMilli(1_700_000_000_123), RecordedAt: time.UnixMilli(1_700_000_000_456),
	Actor: "ann", Action: "user.registered", Target: "user/7", IP: "203.0.113.7", UserAgent: "curl/8 \"x\"\\\t",
	RequestID: "r-1", Outcome: "success", EventID: "evt-1", Payload: []byte(`{"b":1,"a":"<é\u2028>"}`), PrevHash: Start,
}

// canonical is the same form made in another way: encoding/json sorts the names of a map.
func canonical(t *testing.T, e Entry) []byte {
	t.Helper()
	payload := sha256.Sum256(e.Payload)
	fields := map[string]any{"seq": e.Seq}
	for name, value := range map[string]string{
		"id": e.ID, "occurredAt": FormatTime(e.OccurredAt), "recordedAt": FormatTime(e.RecordedAt), "actor": e.Actor,
		"action": e.Action, "target": e.Target, "ip": e.IP, "userAgent": e.UserAgent, "requestId": e.RequestID,
		"outcome": e.Outcome, "eventId": e.EventID, "payloadHash": hex.EncodeToString(payload[:]), "prevHash": e.PrevHash,
	} {
		if value != "" {
			fields[name] = value
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(fields); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

func TestCanonicalForm(t *testing.T) {
	without := entry
	without.Target, without.IP, without.UserAgent, without.RequestID, without.EventID = "", "", "", "", ""
	for name, e := range map[string]Entry{"everything": entry, "what must be": without} {
		t.Run(name, func(t *testing.T) {
			if got, want := string(e.appendCanonical(nil)), string(canonical(t, e)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestText has the examples of RFC 8785, section 3.2.2.2: what encoding/json writes otherwise.
func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"€$\u000f\nA'B\"\\\\\"/": `"€$\u000f\nA'B\"\\\\\"/"`,
		"\b\f\r\x1f\x7f":         `"\b\f\r\u001f` + "\x7f" + `"`,
		"<>&\u2028\u2029":        `"<>&` + "\u2028\u2029" + `"`,
	} {
		if got := string(appendText(nil, text)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func chain(n int) []Entry {
	entries := make([]Entry, n)
	prev := Start
	for i := range entries {
		entries[i] = entry
		entries[i].Seq = uint64(i + 1)
		entries[i].Seal(prev)
		prev = entries[i].Hash
	}
	return entries
}

func TestVerifierNamesTheFirstBreak(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(e []Entry) []Entry
		seq   uint64
		why   string
	}{
		"changed":  {func(e []Entry) []Entry { e[1].Actor = "bob"; return e }, 2, "not that of what it says"},
		"payload":  {func(e []Entry) []Entry { e[1].Payload = []byte("1"); return e }, 2, "not that of what it says"},
		"sealed":   {func(e []Entry) []Entry { e[1].Actor = "bob"; e[1].Seal(e[0].Hash); return e }, 3, "prevHash"},
		"removed":  {func(e []Entry) []Entry { return append(e[:1:1], e[2:]...) }, 2, "missing"},
		"replaced": {func(e []Entry) []Entry { e[0].Hash = strings.Repeat("a", 64); return e }, 1, "not that of what it says"},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewVerifier(0, Start)
			var err error
			for _, e := range test.spoil(chain(4)) {
				if err = v.Next(&e); err != nil {
					break
				}
			}
			var broken *Break
			if !errors.As(err, &broken) || broken.Seq != test.seq || !strings.Contains(broken.Why, test.why) {
				t.Errorf("got %v, want a break at %d because of %q", err, test.seq, test.why)
			}
		})
	}
}

func TestVerifierAcceptsAChain(t *testing.T) {
	v := NewVerifier(0, Start)
	for _, e := range chain(100) {
		if err := v.Next(&e); err != nil {
			t.Fatal(err)
		}
	}
}
