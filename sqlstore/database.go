package sqlstore

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
)

// database is SQLite or Postgres. Its queries have a ? for each argument, and no other question mark.
type database interface {
	reader
	// write runs do in a transaction that writes. Postgres may run several at once, SQLite runs one. Where Postgres has
	// undone the transaction because of another, do is called again: it forgets first what it has collected.
	write(ctx context.Context, do func(tx) error) error
	// listen calls woken when another process has written events, until ctx ends; where the database cannot
	// tell it only waits for that.
	listen(ctx context.Context, woken func())
	// queue is the job queue in this database.
	queue(log *slog.Logger) (queue, error)
	// obstacle says what keeps everybody from writing now; nil: nothing, as far as is known.
	obstacle(ctx context.Context) error
	close() error
}

// reader answers queries.
type reader interface {
	// query calls each for every row.
	query(ctx context.Context, each func(row) error, query string, args ...any) error
}

// tx is a transaction.
type tx interface {
	reader
	// exec returns how many rows it has changed.
	exec(ctx context.Context, query string, args ...any) (int64, error)
}

// row is one row of an answer.
type row interface {
	Scan(dest ...any) error
}

// insert inserts rows of a table with as few statements as the database takes. The tail follows the values, such as
// ON CONFLICT.
func insert(ctx context.Context, t tx, table, columns string, rows [][]any, tail string) error {
	const maxArgs = 2000
	for len(rows) > 0 {
		width := len(rows[0])
		n := min(len(rows), maxArgs/width)
		var (
			query strings.Builder
			args  []any
		)
		query.WriteString("INSERT INTO " + table + " (" + columns + ") VALUES ")
		for i, values := range rows[:n] {
			if i > 0 {
				query.WriteByte(',')
			}
			query.WriteString(marks(width))
			args = append(args, values...)
		}
		query.WriteString(tail)
		if _, err := t.exec(ctx, query.String(), args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// marks is a list of so many arguments: "(?,?)".
func marks(n int) string { return "(" + strings.Repeat("?,", n-1) + "?)" }

// anyOf is strings as arguments.
func anyOf(texts []string) []any {
	args := make([]any, len(texts))
	for i, t := range texts {
		args[i] = t
	}
	return args
}

// numbered has every query with ? in the form of Postgres.
type numbered struct{ known sync.Map }

func (n *numbered) of(query string) string {
	if known, ok := n.known.Load(query); ok {
		return known.(string)
	}
	var b strings.Builder
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	n.known.Store(query, b.String())
	return b.String()
}
