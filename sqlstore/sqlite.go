package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"
	"github.com/riverqueue/river/riverdriver"
	driver "modernc.org/sqlite" // which it is for database/sql, too
	lib "modernc.org/sqlite/lib"
)

// sqliteDB is a SQLite file with one writer and a pool of readers.
type sqliteDB struct {
	name            string // of the data source
	writer, readers *sql.DB
	lock            *flock.Flock // of the file, as long as it is open; nil: it is in memory, or only read
}

// pragmas go into the data source's name, so that every connection of a pool has them. With WAL readers and the writer
// do not wait for each other; synchronous=FULL writes a commit to the disk before it is one.
const pragmas = "_pragma=busy_timeout(2000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=temp_store(MEMORY)"

// openSQLite opens a file, or ":memory:".
func openSQLite(ctx context.Context, path string) (*sqliteDB, error) {
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + pragmas
	if path == ":memory:" { // named, so that readers and the writer have the same
		name = "file:/" + uuid.NewString() + "?vfs=memdb&" + pragmas
	}
	d := &sqliteDB{name: name}
	err := d.open(ctx, path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the SQLite file %s: %w", path, err), d.close())
	}
	return d, nil
}

func (d *sqliteDB) open(ctx context.Context, path string) (err error) {
	if path != ":memory:" {
		if err := d.lockFile(path); err != nil {
			return err
		}
		if err := makePrivate(path); err != nil {
			return err
		}
	}
	if d.writer, err = sql.Open("sqlite", d.name+"&_txlock=immediate"); err != nil {
		return err
	}
	d.writer.SetMaxOpenConns(1)
	d.writer.SetConnMaxIdleTime(0)
	if err := d.writer.PingContext(ctx); err != nil {
		return err
	}
	d.readers, err = openReaders(ctx, d.name+"&_pragma=query_only(1)")
	return err
}

// lockFile keeps other servers from the file, who would take this one for dead and give its jobs to theirs. Its own lock
// SQLite holds only while it writes.
func (d *sqliteDB) lockFile(path string) error {
	lock := flock.New(path+"-lock", flock.SetPermissions(0o600))
	mine, err := lock.TryLock()
	if err != nil {
		return err
	}
	if !mine {
		return errors.New("another server uses it; several servers share a Postgres")
	}
	d.lock = lock
	return nil
}

// makePrivate makes a file that is not there, for nobody but who runs this process: it has secrets in it. SQLite would let
// everybody read it. The files that it puts beside have the mode of this one, and one that is there keeps its own.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// readPragmas are those of a file that is only read. How its journal is written is not for who reads it to say.
const readPragmas = "_pragma=busy_timeout(2000)&_pragma=query_only(1)&_pragma=temp_store(MEMORY)"

// readSQLite opens a file that is there to read it.
func readSQLite(ctx context.Context, path string) (*sqliteDB, error) {
	if path == ":memory:" {
		return nil, errors.New("what another process has in memory cannot be read")
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no SQLite file %s", path)
	}
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=ro&" + readPragmas
	readers, err := openReaders(ctx, name)
	if e, ok := errors.AsType[*driver.Error](err); ok && (e.Code() == lib.SQLITE_READONLY_DIRECTORY || e.Code()&0xff == lib.SQLITE_CANTOPEN) {
		// Even who reads needs the files of the log beside it, which cannot be made where nobody may write. Nobody does
		// write then, unless there is a log.
		if _, missing := os.Stat(path + "-wal"); errors.Is(missing, fs.ErrNotExist) {
			readers, err = openReaders(ctx, name+"&immutable=1")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the SQLite file %s: %w", path, err)
	}
	return &sqliteDB{name: name, writer: readers, readers: readers}, nil
}

// openReaders opens connections that read, and has one of them do so.
func openReaders(ctx context.Context, name string) (*sql.DB, error) {
	readers, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	readers.SetMaxOpenConns(max(4, runtime.GOMAXPROCS(0)))
	readers.SetConnMaxIdleTime(0)
	var tables int
	if err := readers.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master").Scan(&tables); err != nil {
		return nil, errors.Join(err, readers.Close())
	}
	return readers, nil
}

func (d *sqliteDB) write(ctx context.Context, do func(tx) error) error {
	t, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(sqlTx{t}); err != nil {
		return errors.Join(err, ignoreDone(t.Rollback()))
	}
	return t.Commit()
}

// ignoreDone is an error of a rollback, but for that of a transaction which is over by itself: where its context has ended,
// or where SQLite has rolled it back, as it does when the disk is full.
func ignoreDone(err error) error {
	if e, ok := errors.AsType[*driver.Error](err); ok && e.Code() == lib.SQLITE_ERROR || errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

func (d *sqliteDB) query(ctx context.Context, each func(row) error, query string, args ...any) error {
	return eachRow(ctx, d.readers, each, query, args)
}

func (d *sqliteDB) listen(ctx context.Context, _ func()) { <-ctx.Done() }

// sqlitePoll is how often jobs are looked for of which nobody is told: those whose time has come, and those that are
// retried. A look costs a queue that is idle a millisecond or so.
const sqlitePoll = 200 * time.Millisecond

func (d *sqliteDB) queue(log *slog.Logger) (queue, error) {
	return newQueue(&riverQueue[*sql.Tx]{
		newDriver: func() riverdriver.Driver[*sql.Tx] { return newSQLiteDriver(d.writer) },
		raw:       func(t tx) *sql.Tx { return t.(sqlTx).Tx },
		poll:      sqlitePoll,
		log:       log,
	})
}

// obstacle asks for the lock on a connection of its own: whoever waits for the writer's does not learn what that waits
// for.
func (d *sqliteDB) obstacle(ctx context.Context) error {
	db, err := sql.Open("sqlite", d.name+"&_pragma=busy_timeout(100)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "ROLLBACK")
	return err
}

func (d *sqliteDB) close() error {
	var errs []error
	for _, db := range []*sql.DB{d.readers, d.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Unlock())
	}
	return errors.Join(errs...)
}

// sqlTx is a transaction of database/sql.
type sqlTx struct{ *sql.Tx }

func (t sqlTx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := t.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t sqlTx) query(ctx context.Context, each func(row) error, query string, args ...any) error {
	return eachRow(ctx, t.Tx, each, query, args)
}

// querier is a [sql.DB] or a [sql.Tx].
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func eachRow(ctx context.Context, q querier, each func(row) error, query string, args []any) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// sqlitePath is the path of "sqlite:path"; ok is false where the URL is of something else.
func sqlitePath(storeURL string) (path string, ok bool) {
	path, ok = strings.CutPrefix(storeURL, "sqlite:")
	return path, ok && path != ""
}
