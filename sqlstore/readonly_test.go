package sqlstore

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// overEachKept runs a test over each database that another process can open.
func overEachKept(t *testing.T, test func(t *testing.T, storeURL string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "herald.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, server(t).Database()) })
}

// openToRead opens a store for reading only, until the test ends.
func openToRead(t *testing.T, storeURL string, keys ...ed25519.PublicKey) *Store {
	t.Helper()
	s, err := OpenReadOnly(t.Context(), storeURL, Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), VerifyingKeys: keys})
	if err != nil {
		t.Fatalf("OpenReadOnly: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// TestOpenReadOnlyReads beside a store that runs, and writes nothing.
func TestOpenReadOnlyReads(t *testing.T) {
	overEachKept(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.record(t, event(1))
		s := openToRead(t, storeURL)
		r.record(t, event(2))
		if n, err := s.Verify(t.Context(), nil); n != 2 || err != nil {
			t.Errorf("Verify: got %d, %v, want 2", n, err)
		}
		if got, err := s.Audit(t.Context(), herald.AuditQuery{Limit: 9}); len(got) != 2 || err != nil {
			t.Errorf("Audit: got %v, %v", got, err)
		}
		for what, err := range map[string]error{
			"Run":        s.Run(t.Context(), newNode()),
			"WriteAudit": s.WriteAudit(t.Context(), herald.AuditEntry{Action: "login"}),
			"a transaction": s.db.write(t.Context(), func(tx tx) error {
				_, err := tx.exec(t.Context(), "UPDATE herald_probe SET at = 1")
				return err
			}),
		} {
			if err == nil {
				t.Errorf("%s: it is possible", what)
			}
		}
	})
}

// TestOpenReadOnlyMakesNothing: where there is no store, or none of this version, it says so and leaves it as it is.
func TestOpenReadOnlyMakesNothing(t *testing.T) {
	overEachKept(t, func(t *testing.T, storeURL string) {
		fails := func(storeURL, why string) {
			t.Helper()
			s, err := OpenReadOnly(t.Context(), storeURL, Config{})
			if err == nil {
				t.Errorf("it is open, want %q", why)
				_ = s.Close()
			} else if !strings.Contains(err.Error(), why) {
				t.Errorf("got %v, want %q", err, why)
			}
		}
		path, isFile := sqlitePath(storeURL)
		if isFile {
			fails("sqlite::memory:", "what another process has in memory cannot be read")
			fails(storeURL, "there is no SQLite file "+path)
			if _, err := os.Stat(path); err == nil {
				t.Error("there is a file now")
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		fails(storeURL, "there is no store of Herald")
		fails(storeURL, "there is no store of Herald") // nor is there one now

		s := open1(t, storeURL)
		change := func(statement string) {
			t.Helper()
			err := s.db.write(t.Context(), func(tx tx) error {
				_, err := tx.exec(t.Context(), statement)
				return err
			})
			if err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		change("INSERT INTO herald_schema (version) VALUES (1000)")
		fails(storeURL, "the store's schema is version 1000, and this program knows")
		change("DELETE FROM herald_schema WHERE version > 2")
		fails(storeURL, "the store's schema is version 2, and this program reads")
		fails(storeURL, "the store's schema is version 2, and this program reads")
		if isFile {
			if err := os.WriteFile(path+".txt", bytes.Repeat([]byte("no database\n"), 100), 0o600); err != nil {
				t.Fatal(err)
			}
			fails(storeURL+".txt", "file is not a database")
		}
	})
}

// TestACopyOfAFileIsRead: what a process that was killed has left, and what was closed in order.
func TestACopyOfAFileIsRead(t *testing.T) {
	dir := t.TempDir()
	r := run(t, "sqlite:"+filepath.Join(dir, "herald.db"))
	for n := range 3 {
		r.record(t, event(n))
	}
	check := func(files ...string) {
		t.Helper()
		there := t.TempDir()
		was := map[string][]byte{}
		for _, name := range files {
			body, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(there, name), body, 0o600); err != nil {
				t.Fatal(err)
			}
			was[name] = body
		}
		s, err := OpenReadOnly(t.Context(), "sqlite:"+filepath.Join(there, "herald.db"), Config{})
		if err != nil {
			t.Fatalf("%q: %v", files, err)
		}
		if n, err := s.Verify(t.Context(), nil); n != 3 || err != nil {
			t.Errorf("%q: got %d, %v, want 3", files, n, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for name, body := range was {
			if now, err := os.ReadFile(filepath.Join(there, name)); err != nil || !bytes.Equal(now, body) {
				t.Errorf("%s is another now, %v", name, err)
			}
		}
	}
	check("herald.db", "herald.db-wal")
	r.stop()
	if err := r.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	check("herald.db")
}

// TestEveryCheckpointIsChecked with the keys that are known, whichever has signed it.
func TestEveryCheckpointIsChecked(t *testing.T) {
	overEachKept(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		old, key := newKey(t), newKey(t)
		public := func(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }
		prune := func(k ed25519.PrivateKey, want uint64) {
			t.Helper()
			r.key = k
			if n, err := r.Prune(t.Context(), time.Now().Add(time.Hour)); n != want || err != nil {
				t.Fatalf("removed %d, %v, want %d", n, err, want)
			}
		}
		fill(t, r.Store, 5000)
		prune(old, 5000)
		r.others = []ed25519.PublicKey{public(old)}
		fill(t, r.Store, 5000)
		prune(key, 5000)
		fill(t, r.Store, 5000)
		check := func(name string, breaks uint64, keys ...ed25519.PublicKey) {
			t.Helper()
			s := openToRead(t, storeURL, keys...)
			n, err := s.Verify(t.Context(), nil)
			broken, _ := errors.AsType[*herald.AuditBreak](err)
			switch {
			case breaks == 0 && (n != 5000 || err != nil):
				t.Errorf("%s: got %d, %v, want 5000", name, n, err)
			case breaks > 0 && (broken == nil || broken.Seq != breaks):
				t.Errorf("%s: got %v, want that the checkpoint at %d breaks the chain", name, err, breaks)
			}
		}
		check("with both keys", 0, public(key), public(old))
		check("without a key", 0)
		check("without the old one", 1000, public(key))
		check("without the new one", 6000, public(old))
		if n, err := openToRead(t, storeURL).Checkpoints(t.Context()); n != 10 || err != nil {
			t.Errorf("got %d checkpoints, %v, want 10", n, err)
		}
		// One in the middle that somebody has written.
		r.past(t, "UPDATE herald_audit_checkpoints SET at = at + 1 WHERE seq = 7000")
		check("with one that was changed", 7000, public(key), public(old))
	})
}

func TestKeysThatAreNone(t *testing.T) {
	for _, config := range []Config{{SigningKey: []byte("short")}, {VerifyingKeys: []ed25519.PublicKey{[]byte("short")}}} {
		if s, err := Open(t.Context(), "sqlite::memory:", config); err == nil || !strings.Contains(err.Error(), "no key of ed25519") {
			t.Errorf("got %v, %v, want that it is no key", s, err)
		}
	}
}

// TestWhoMayOnlySelectCanVerify: a user of Postgres that judges the log needs no more.
func TestWhoMayOnlySelectCanVerify(t *testing.T) {
	storeURL := server(t).Database()
	r := run(t, storeURL)
	r.record(t, event(1))
	role := "judge_" + strings.ToLower(rand.Text())
	r.past(t, "CREATE ROLE "+role)
	defer func() {
		r.past(t, "DROP OWNED BY "+role)
		r.past(t, "DROP ROLE "+role)
	}()
	r.past(t, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+role)
	sign := "?"
	if strings.Contains(storeURL, "?") {
		sign = "&"
	}
	s := openToRead(t, storeURL+sign+"options=-c%20role%3D"+role)
	if n, err := s.Verify(t.Context(), nil); n != 1 || err != nil {
		t.Errorf("got %d, %v, want 1", n, err)
	}
}
