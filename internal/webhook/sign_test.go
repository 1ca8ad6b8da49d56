package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// signed are the headers of a message.
func signed(id string, at time.Time, body []byte, secrets ...Secret) http.Header {
	h := http.Header{}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	h.Set(HeaderSignature, Sign(id, at, body, secrets...))
	return h
}

func parse(t testing.TB, text string) Secret {
	t.Helper()
	s, err := ParseSecret(text)
	if err != nil {
		t.Fatalf("ParseSecret: %v", err)
	}
	return s
}

// TestSignatureOfTheSpecification: the vector that all libraries of Standard Webhooks have.
func TestSignatureOfTheSpecification(t *testing.T) {
	s := parse(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	got := Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), s)
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestStandardWebhooksAgrees: what is signed here the library verifies, and the other way round.
func TestStandardWebhooksAgrees(t *testing.T) {
	for _, body := range []string{"", `{}`, `{"type":"a","data":"ä\n"}`, strings.Repeat("x", 100_000)} {
		s, now := NewSecret(), time.Now()
		other, err := standardwebhooks.NewWebhook(s.Text())
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Verify([]byte(body), signed("evt-1", now, []byte(body), NewSecret(), s)); err != nil {
			t.Errorf("a body of %d bytes: the library does not verify: %v", len(body), err)
		}
		signature, err := other.Sign("evt-1", now, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		h := signed("evt-1", now, nil, s)
		h.Set(HeaderSignature, signature)
		if err := Verify(s, h, []byte(body), now); err != nil {
			t.Errorf("a body of %d bytes: its signature is refused: %v", len(body), err)
		}
	}
}

func TestVerify(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	body := []byte(`{"type":"a"}`)
	s, old := NewSecret(), NewSecret()
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	good := Sign("evt-1", now, body, s)
	tests := []struct {
		name   string
		change func(http.Header)
		at     time.Time
		want   error
	}{
		{"as it was sent", func(http.Header) {}, now, nil},
		{"five minutes later", func(http.Header) {}, now.Add(Tolerance), nil},
		{"later", func(http.Header) {}, now.Add(Tolerance + time.Second), ErrTooOld},
		{"five minutes before", func(http.Header) {}, now.Add(-Tolerance), nil},
		{"before", func(http.Header) {}, now.Add(-Tolerance - time.Second), ErrTooNew},
		{"another id", set(HeaderID, "evt-2"), now, ErrSignature},
		{"another timestamp", set(HeaderTimestamp, "1700000001"), now, ErrSignature},
		{"no id", set(HeaderID, ""), now, ErrNoSignature},
		{"no timestamp", set(HeaderTimestamp, ""), now, ErrNoSignature},
		{"no signature", set(HeaderSignature, ""), now, ErrNoSignature},
		{"no base64", set(HeaderSignature, "v1,???"), now, ErrSignature},
		{"a piece of it", set(HeaderSignature, good[:20]), now, ErrSignature},
		{"another scheme", set(HeaderSignature, "v2"+good[2:]), now, ErrSignature},
		{"of another secret", set(HeaderSignature, Sign("evt-1", now, body, old)), now, ErrSignature},
		{"the second of two", set(HeaderSignature, Sign("evt-1", now, body, old, s)), now, nil},
		{"beside one of another scheme", set(HeaderSignature, "v1a,abc "+good), now, nil},
		{"in a header of its own", func(h http.Header) { h[http.CanonicalHeaderKey(HeaderSignature)] = []string{"v1,abc", good} }, now, nil},
	}
	for _, tt := range tests {
		h := signed("evt-1", now, body, s)
		tt.change(h)
		if err := Verify(s, h, body, tt.at); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if err := Verify(s, signed("evt-1", now, body, s), []byte(`{"type":"b"}`), now); !errors.Is(err, ErrSignature) {
		t.Errorf("another body: got %v, want %v", err, ErrSignature)
	}
	h := http.Header{}
	h.Set(HeaderID, "evt-1")
	h.Set(HeaderTimestamp, "soon")
	h.Set(HeaderSignature, Sign("evt-1", now, body, s))
	if err := Verify(s, h, body, now); err == nil {
		t.Error("a timestamp that is no number is taken")
	}
}

func TestSecrets(t *testing.T) {
	a, b := NewSecret(), NewSecret()
	if bytes.Equal(a.key, b.key) || len(a.key) != newKey {
		t.Errorf("two secrets of %d bytes: the same %v", len(a.key), bytes.Equal(a.key, b.key))
	}
	if got := parse(t, a.Text()); !bytes.Equal(got.key, a.key) {
		t.Error("a secret does not survive its text")
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, a); strings.Contains(got, a.Text()) || !strings.Contains(got, prefix) {
			t.Errorf("%s prints %s", format, got)
		}
	}
	for text, want := range map[string]string{
		"":                                         "begins with",
		"whsec":                                    "begins with",
		"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw":         "begins with",
		"whsec_":                                   "24 to 64 bytes, not 0",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La":       "24 to 64 bytes, not 21",
		"whsec_" + strings.Repeat("AAAA", 22):      "24 to 64 bytes, not 66",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS":    "no base64",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa_-":   "no base64",
		"whsec_MfKQ9r8GKYqrTwjU\nPD8ILPZIo2LaLaSw": "no base64",
	} {
		if _, err := ParseSecret(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add("whsec_")
	f.Add("whsec_====")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(text)
		if err != nil {
			return
		}
		if s.Text() != text {
			t.Errorf("%q is read as %q", text, s.Text())
		}
		if _, err := standardwebhooks.NewWebhook(text); err != nil {
			t.Errorf("the library refuses %q: %v", text, err)
		}
	})
}

// FuzzVerify: what is taken the library takes too, and what was signed is taken.
func FuzzVerify(f *testing.F) {
	s := Secret{[]byte(strings.Repeat("k", 24))}
	now := time.Unix(1_700_000_000, 0)
	good := Sign("evt-1", now, []byte("{}"), s)
	f.Add("evt-1", "1700000000", good, []byte("{}"))
	f.Add("evt-1", "1700000000", "v1,x "+good+" v1a,y", []byte("{}"))
	f.Add("", "", "", []byte(nil))
	f.Add("a.b", "-1", "v1,", []byte("."))
	other, err := standardwebhooks.NewWebhook(s.Text())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		h := http.Header{}
		h.Set(HeaderID, id)
		h.Set(HeaderTimestamp, timestamp)
		h.Set(HeaderSignature, signature)
		if Verify(s, h, body, now) == nil {
			if err := other.VerifyIgnoringTimestamp(body, h); err != nil {
				t.Errorf("the library does not take what is taken here: %v", err)
			}
		}
		h.Set(HeaderTimestamp, "1700000000")
		h.Set(HeaderSignature, signature+" "+Sign(id, now, body, s))
		if err := Verify(s, h, body, now); err != nil && id != "" {
			t.Errorf("what was signed is refused: %v", err)
		}
	})
}
