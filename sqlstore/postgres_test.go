package sqlstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// TestIsolationIsOurOwn, whatever the database has for others.
func TestIsolationIsOurOwn(t *testing.T) {
	storeURL := server(t).Database()
	conn, err := pgx.Connect(t.Context(), storeURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	name := pgx.Identifier{conn.Config().Database}.Sanitize()
	if _, err := conn.Exec(t.Context(), "ALTER DATABASE "+name+" SET default_transaction_isolation = 'serializable'"); err != nil {
		t.Fatal(err)
	}
	s := open1(t, storeURL)
	expect := func(from reader, query string) {
		t.Helper()
		got := ""
		if err := from.query(t.Context(), func(r row) error { return r.Scan(&got) }, query); err != nil || got != "read committed" {
			t.Errorf("%s: %q, %v", query, got, err)
		}
	}
	expect(s.db, "SHOW default_transaction_isolation") // which the queue has
	if err := s.db.write(t.Context(), func(t tx) error { expect(t, "SHOW transaction_isolation"); return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestADeadlockIsTriedAgain: of two that wait for each other Postgres undoes one.
func TestADeadlockIsTriedAgain(t *testing.T) {
	s := open1(t, server(t).Database())
	err := s.db.write(t.Context(), func(tx tx) error {
		_, err := tx.exec(t.Context(), "INSERT INTO herald_schedules (name, cron, next_at) VALUES ('a', '', 0), ('b', '', 0)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var (
		tries              atomic.Int32
		both, transactions sync.WaitGroup
	)
	both.Add(2)
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		hasFirst := sync.OnceFunc(both.Done)
		transactions.Go(func() {
			err := s.db.write(t.Context(), func(tx tx) error {
				tries.Add(1)
				for _, name := range names {
					if _, err := tx.exec(t.Context(), "UPDATE herald_schedules SET next_at = next_at + 1 WHERE name = ?", name); err != nil {
						return err
					}
					hasFirst()
					both.Wait()
				}
				return nil
			})
			if err != nil {
				t.Errorf("a transaction has failed: %v", err)
			}
		})
	}
	transactions.Wait()
	if n := tries.Load(); n != 3 {
		t.Errorf("they were tried %d times, want twice for the one that was undone", n)
	}
}

func TestTriesAreBounded(t *testing.T) {
	s := open1(t, server(t).Database())
	tries := 0
	lost := &pgconn.PgError{Code: "40001"}
	if err := s.db.write(t.Context(), func(tx) error { tries++; return lost }); !errors.Is(err, lost) || tries != maxTries {
		t.Errorf("got %v in %d tries, want %v in %d", err, tries, lost, maxTries)
	}
	tries = 0
	other := &pgconn.PgError{Code: "23505"}
	if err := s.db.write(t.Context(), func(tx) error { tries++; return other }); !errors.Is(err, other) || tries != 1 {
		t.Errorf("got %v in %d tries, want %v in one", err, tries, other)
	}
}
