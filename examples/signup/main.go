// Command signup is an application that registers users: the user, the domain event, its audit entry and the job that
// mails are written in one transaction, so that none is there without the others, whatever crashes when.
//
//	go run ./examples/signup
//	curl http://127.0.0.1:8090/signup -d '{"name":"Ada","email":"ada@example.com"}'
//
// The mail is a job, tried again until it is sent; here it is printed. Another service hears of the user by a signed
// webhook; here that is a handler of the same program. Everything is in a SQLite file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/sqlstore"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8090", "where it listens")
	file := flag.String("file", "signup.db", "where it keeps everything")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *file, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "signup:", err)
		os.Exit(1)
	}
}

// apiKey opens the server API to the application itself.
const apiKey = "only-for-this-example"

func run(ctx context.Context, addr, file string, out io.Writer) (err error) {
	store, err := sqlstore.Open(ctx, "sqlite:"+file, sqlstore.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	srv, err := herald.New(herald.Config{
		Store:    store,
		APIKeys:  []herald.APIKey{{Name: "signup", Key: apiKey, Scopes: []herald.Scope{herald.ScopeAll}}},
		Webhooks: herald.WebhookConfig{AllowPrivate: true}, // the other service is on this machine
	})
	if err != nil {
		return err
	}
	users, err := openUsers(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, users.close()) }()
	if err := herald.OnDurable(srv, "user.registered", "send-welcome", func(ctx context.Context, e herald.Event) error {
		return welcome(ctx, out, users, e)
	}); err != nil {
		return err
	}
	crm := &crm{out: out}
	mux := http.NewServeMux()
	mux.Handle("/", srv.Handler())
	mux.HandleFunc("POST /signup", users.serveSignup)
	mux.HandleFunc("POST /crm", crm.serve)
	return serve(ctx, addr, srv, mux, func(url string) error {
		if err := crm.subscribe(ctx, url); err != nil {
			return err
		}
		fmt.Fprintf(out, "sign up at %s/signup\n", url)
		return nil
	})
}

// serve serves until ctx ends; begun is called once everything runs.
func serve(ctx context.Context, addr string, srv *herald.Server, mux http.Handler, begun func(url string) error) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = web.Serve(listener) }() // until it is closed
	defer func() { _ = web.Close() }()      // who is served now is gone anyway
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	<-srv.Started()
	if err := begun("http://" + listener.Addr().String()); err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	return <-ended
}
