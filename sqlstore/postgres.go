package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// postgresDB is a Postgres.
type postgresDB struct {
	pool     *pgxpool.Pool
	numbered numbered
}

// newsChannel is the channel of NOTIFY on which it is told that there are events.
const newsChannel = "herald_events"

// poolSize is how many connections a node has where the URL does not say: one commits, and the queue, which ends jobs
// while it looks for others, and readers need some too.
const poolSize = 10

func openPostgres(ctx context.Context, storeURL string, to access) (*postgresDB, error) {
	config, err := pgxpool.ParseConfig(storeURL)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(storeURL, "pool_max_conns") {
		config.MaxConns = max(config.MaxConns, poolSize)
	}
	config.AfterConnect = isolate
	if to == reading {
		config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	return &postgresDB{pool: pool}, nil
}

// readCommitted is what everything here is written for: who has waited for a row sees what it has become. A database or
// a user may have another default.
var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

// isolate has transactions of a connection be so that are not begun here: those of the queue.
func isolate(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SET default_transaction_isolation = 'read committed'")
	return err
}

const (
	// maxTries is how often a transaction is tried: one that has lost against another as often has lost against many.
	maxTries = 5
	// tryPause is half the longest pause before the second try; before each other it is twice as long.
	tryPause = 5 * time.Millisecond
)

func (d *postgresDB) write(ctx context.Context, do func(tx) error) error {
	for try := 1; ; try++ {
		err := pgx.BeginTxFunc(ctx, d.pool, readCommitted, func(t pgx.Tx) error { return do(pgxTx{t, &d.numbered}) })
		if !isOfOthers(err) || try == maxTries || !pause(ctx, rand.N(tryPause<<try)) {
			return err
		}
	}
}

func (d *postgresDB) query(ctx context.Context, each func(row) error, query string, args ...any) error {
	rows, err := d.pool.Query(ctx, d.numbered.of(query), args...)
	return eachOf(rows, err, each)
}

// postgresPoll is how often a node looks for jobs of which it was not told: notifications are left out where many jobs
// are inserted, and those whose time has come have none.
const postgresPoll = 100 * time.Millisecond

func (d *postgresDB) queue(log *slog.Logger) (queue, error) {
	return newQueue(&riverQueue[pgx.Tx]{
		newDriver: func() riverdriver.Driver[pgx.Tx] { return riverpgxv5.New(d.pool) },
		raw:       func(t tx) pgx.Tx { return t.(pgxTx).Tx },
		poll:      postgresPoll,
		log:       log,
	})
}

func (d *postgresDB) obstacle(context.Context) error { return nil }

func (d *postgresDB) close() error {
	d.pool.Close()
	return nil
}

// listen holds a connection, and makes it anew when it is lost.
func (d *postgresDB) listen(ctx context.Context, woken func()) {
	for ctx.Err() == nil {
		_ = d.listenOnce(ctx, woken) // what was missed meanwhile is found by looking
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

func (d *postgresDB) listenOnce(ctx context.Context, woken func()) error {
	own, err := d.listener(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = step(context.WithoutCancel(ctx), own.Close) }()
	for {
		if _, err := own.WaitForNotification(ctx); err != nil {
			return err
		}
		woken()
	}
}

// listener is a connection that listens, and is not for others.
func (d *postgresDB) listener(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	own := conn.Hijack()
	if _, err := own.Exec(ctx, "LISTEN "+newsChannel); err != nil {
		return nil, errors.Join(err, own.Close(ctx))
	}
	return own, nil
}

// pgxTx is a transaction of pgx.
type pgxTx struct {
	pgx.Tx
	numbered *numbered
}

func (t pgxTx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := t.Exec(ctx, t.numbered.of(query), args...)
	return tag.RowsAffected(), err
}

func (t pgxTx) query(ctx context.Context, each func(row) error, query string, args ...any) error {
	rows, err := t.Query(ctx, t.numbered.of(query), args...)
	return eachOf(rows, err, each)
}

func eachOf(rows pgx.Rows, err error, each func(row) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	rows.Close()
	return errors.Join(rows.Err())
}
