package sqlstore

import (
	"errors"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestSecretsAreEncrypted: they cannot be read in the database, nor without one of the keys, and keys can be changed.
func TestSecretsAreEncrypted(t *testing.T) {
	storeURL := "sqlite:" + filepath.Join(t.TempDir(), "herald.db")
	const first, second = "the first key, long enough", "the second key, long enough"
	open := func(keys ...string) *Store {
		t.Helper()
		s, err := Open(t.Context(), storeURL, Config{Logger: slog.New(slog.DiscardHandler), EncryptionKeys: keys})
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		return s
	}
	stored := func(s *Store) (raw string) {
		t.Helper()
		if err := s.db.query(t.Context(), func(r row) error { return r.Scan(&raw) }, "SELECT secrets FROM herald_webhooks"); err != nil {
			t.Fatal(err)
		}
		return raw
	}
	s := open()
	if err := s.AddWebhook(t.Context(), hook("wh-1")); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stored(s), "whsec_new") {
		t.Errorf("without a key got %s", stored(s))
	}
	before := ""
	for _, keys := range [][]string{{first}, {second, first}, {second}} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(keys...)
		if err := s.SealSecrets(t.Context()); err != nil {
			t.Fatalf("%q: SealSecrets: %v", keys, err)
		}
		if raw := stored(s); strings.Contains(raw, "whsec") || raw == before && len(keys) > 1 {
			t.Errorf("%q: got %s", keys, raw)
		}
		before = stored(s)
		if w, _, err := s.Webhook(t.Context(), "wh-1"); err != nil || !reflect.DeepEqual(w.Secrets, hook("").Secrets) {
			t.Errorf("%q: got %+v, %v", keys, w.Secrets, err)
		}
	}
	for _, keys := range [][]string{{first}, nil} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(keys...)
		if err := s.SealSecrets(t.Context()); !errors.Is(err, ErrEncryptionKey) {
			t.Errorf("%q: got %v, want %v", keys, err, ErrEncryptionKey)
		}
		if err := s.Run(t.Context(), newNode()); !errors.Is(err, ErrEncryptionKey) {
			t.Errorf("%q: Run: got %v, want %v", keys, err, ErrEncryptionKey)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), storeURL, Config{EncryptionKeys: []string{first, "short"}}); err == nil || !strings.Contains(err.Error(), "key 2 has 5 characters") {
		t.Errorf("a short key: got %v", err)
	}
}

// TestSealsAreOfTheirOwner: a secret that somebody copies to another endpoint's row is not read there.
func TestSealsAreOfTheirOwner(t *testing.T) {
	keys, err := newSeals([]string{"a key that is long enough"})
	if err != nil {
		t.Fatal(err)
	}
	closed := keys.close("whsec_x", "wh-1")
	if again := keys.close("whsec_x", "wh-1"); closed == again {
		t.Error("two are the same: the nonce is")
	}
	if _, err := keys.open(closed, "wh-2"); err == nil {
		t.Error("another owner can read it")
	}
	for _, text := range []string{closed[:len(closed)-4] + "AAAA", sealed, sealed + "x:?", closed[:len(sealed)+9]} {
		if got, err := keys.open(text, "wh-1"); err == nil {
			t.Errorf("%s is read as %q", text, got)
		}
	}
}
