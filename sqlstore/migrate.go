package sqlstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// The migrations of each database are applied in the order of their names. Once released they do not change.
//
//go:embed migrations
var migrations embed.FS

// migrationLock is the key of Postgres' advisory lock that one migrating process holds.
const migrationLock = 0x4e7a1d

// migrate brings the schema to this version, in one transaction, and that of the queue.
func migrate(ctx context.Context, db database, dialect string, q queue) error {
	if dialect == postgres { // the queue's migrations have transactions of their own, and this one holds the lock
		return migrateOwn(ctx, db, dialect, func() error { return q.migrate(ctx) })
	}
	if err := migrateOwn(ctx, db, dialect, func() error { return nil }); err != nil {
		return err
	}
	return q.migrate(ctx)
}

func migrateOwn(ctx context.Context, db database, dialect string, last func() error) error {
	names, err := migrationsOf(dialect)
	if err != nil {
		return err
	}
	return db.write(ctx, func(t tx) error {
		if dialect == postgres {
			if _, err := t.exec(ctx, "SELECT pg_advisory_xact_lock(?)", int64(migrationLock)); err != nil {
				return err
			}
		}
		version, err := schemaVersion(ctx, t)
		if err != nil {
			return err
		}
		if version > len(names) {
			return newerSchema(version, len(names))
		}
		for i, name := range names[version:] {
			text, err := migrations.ReadFile(name)
			if err != nil {
				return err
			}
			if err := script(ctx, t, string(text)); err != nil {
				return fmt.Errorf("migrate the store: %s: %w", name, err)
			}
			if _, err := t.exec(ctx, "INSERT INTO herald_schema (version) VALUES (?)", version+i+1); err != nil {
				return err
			}
		}
		return last()
	})
}

// migrationsOf are the migrations of a database, in their order.
func migrationsOf(dialect string) ([]string, error) {
	names, err := fs.Glob(migrations, "migrations/"+dialect+"/*.sql")
	slices.Sort(names)
	return names, err
}

func newerSchema(version, known int) error {
	return fmt.Errorf("the store's schema is version %d, and this program knows %d at most: a newer Herald has used it", version, known)
}

// checkSchema says what keeps this version from reading a store as it is.
func checkSchema(ctx context.Context, db database, dialect string) error {
	names, err := migrationsOf(dialect)
	if err != nil {
		return err
	}
	known := map[string]string{
		sqlite:   "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'herald_schema'",
		postgres: "SELECT 1 WHERE to_regclass('herald_schema') IS NOT NULL",
	}[dialect]
	version := 0
	isThere := false
	if err := db.query(ctx, func(row) error { isThere = true; return nil }, known); err != nil {
		return err
	}
	if isThere {
		err = db.query(ctx, func(r row) error { return r.Scan(&version) }, "SELECT COALESCE(MAX(version), 0) FROM herald_schema")
	}
	switch {
	case err != nil:
		return err
	case version == 0:
		return errors.New("there is no store of Herald: a server makes it when it starts")
	case version > len(names):
		return newerSchema(version, len(names))
	case version < len(names):
		return fmt.Errorf("the store's schema is version %d, and this program reads %d: a server of this version brings it there when it starts", version, len(names))
	}
	return nil
}

// schemaVersion is how many migrations were applied.
func schemaVersion(ctx context.Context, t tx) (version int, err error) {
	if _, err := t.exec(ctx, "CREATE TABLE IF NOT EXISTS herald_schema (version INTEGER PRIMARY KEY)"); err != nil {
		return 0, err
	}
	err = t.query(ctx, func(r row) error { return r.Scan(&version) }, "SELECT COALESCE(MAX(version), 0) FROM herald_schema")
	return version, err
}

// script executes statements, each of which ends with a semicolon at the end of a line outside of a body.
func script(ctx context.Context, t tx, text string) error {
	var statement strings.Builder
	inBody := false
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		if statement.Len() == 0 && (bare == "" || strings.HasPrefix(bare, "--")) {
			continue
		}
		statement.WriteString(line)
		switch {
		case bare == "BEGIN" || strings.HasSuffix(bare, "AS $$"):
			inBody = true
		case bare == "$$;" || bare == "END;":
			inBody = false
		}
		code, _, _ := strings.Cut(bare, "--")
		if !inBody && strings.HasSuffix(strings.TrimSpace(code), ";") {
			if _, err := t.exec(ctx, statement.String()); err != nil {
				return err
			}
			statement.Reset()
		}
	}
	return nil
}
