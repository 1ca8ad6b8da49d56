package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/sqlstore"
)

// users is the application's own table, beside Herald's in the same file.
type users struct{ db *sql.DB }

func openUsers(ctx context.Context, file string) (*users, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE)")
	return &users{db}, err
}

func (u *users) close() error { return u.db.Close() }

// serveSignup registers a user.
func (u *users) serveSignup(w http.ResponseWriter, r *http.Request) {
	var who struct{ Name, Email string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&who); err != nil || who.Name == "" || !strings.Contains(who.Email, "@") {
		http.Error(w, "a name and an e-mail address are needed", http.StatusBadRequest)
		return
	}
	id := "u-" + uuid.NewString()
	if err := u.register(r.Context(), id, who.Name, who.Email); err != nil {
		http.Error(w, "not registered: "+err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintln(w, id)
}

// register inserts the user and publishes the event, in one transaction.
func (u *users) register(ctx context.Context, id, name, email string) error {
	tx, err := u.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing behind Commit
	if _, err := tx.ExecContext(ctx, "INSERT INTO users (id, name, email) VALUES (?, ?, ?)", id, name, email); err != nil {
		return err
	}
	if _, err := sqlstore.PublishTx(ctx, tx, herald.Event{UserID: id, Payload: herald.UserRegistered{UserID: id}}); err != nil {
		return err
	}
	return tx.Commit()
}

// welcome mails a user: it is called as a job, again and again until it succeeds.
func welcome(ctx context.Context, out io.Writer, u *users, e herald.Event) error {
	var name, email string
	if err := u.db.QueryRowContext(ctx, "SELECT name, email FROM users WHERE id = ?", e.UserID).Scan(&name, &email); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "mail to %s: Welcome, %s!\n", email, name)
	return err
}
