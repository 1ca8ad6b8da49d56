package sqlstore

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/herald-events/herald"
)

// errContent marks an error of what was given that is found before the database is asked.
var errContent = errors.New("it cannot be read")

// isOfContent reports whether a database has refused what it was given: another content, or the same content alone,
// may do. Everything else says that the database itself cannot serve.
func isOfContent(err error) bool {
	if errors.Is(err, errContent) {
		return true
	}
	if e, ok := errors.AsType[*driver.Error](err); ok {
		switch e.Code() & 0xff {
		case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH:
			return true
		}
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok { // the classes of data and of constraints
		return strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "23")
	}
	return false
}

// isOfOthers reports whether Postgres has undone a transaction because of others that ran at the same time, so that the
// same one may succeed a moment later: they have locked each other out (deadlock_detected), or cannot be put in an order
// (serialization_failure).
func isOfOthers(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40P01" || e.Code == "40001")
}

// storeError is what callers are told: that the store cannot serve, or that it cannot take what they have.
func storeError(err error) error {
	var known *herald.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case isOfContent(err):
		return &herald.Error{Code: herald.CodeInternal, Message: "the store does not take this", Err: err}
	}
	return &herald.Error{Code: herald.CodeUnavailable, Message: "the store is unavailable", Err: err}
}

// illness is what an error says of the store's health: nothing, where it is the caller's, or the content's.
func illness(err error) error {
	if errors.Is(err, context.Canceled) || isOfContent(err) {
		return nil
	}
	return err
}
