package herald_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/herald-events/herald"
)

// A program runs Herald beside its HTTP server, and ends them in order: first Herald, which tells its
// clients when to come back, then the HTTP server below it.
func ExampleServer_Run() {
	// signal.NotifyContext, in an application
	ctx, stop := context.WithCancel(context.Background())

	srv, err := herald.New(herald.Config{DrainTimeout: 20 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	web := &http.Server{Handler: srv.Handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()

	stop() // SIGTERM, some day
	fmt.Println("run:", srv.Run(ctx))

	rest, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fmt.Println("shutdown:", web.Shutdown(rest))
	fmt.Println("serve:", errors.Is(<-served, http.ErrServerClosed))
	// Output:
	// run: <nil>
	// shutdown: <nil>
	// serve: true
}

// Close drains from anywhere in a program, and waits until Run has returned.
func ExampleServer_Close() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = srv.Run(context.Background()) }()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(srv.Close(ctx))

	err = srv.Broadcast(ctx, "orders", "created", 1)
	fmt.Println(errors.Is(err, &herald.Error{Code: herald.CodeUnavailable}))
	// Output:
	// <nil>
	// true
}

// A secret is rotated without cutting anybody: the first signs, all verify.
func ExampleServer_Reload() {
	config := herald.Config{AuthSecrets: []string{"the secret of the old days"}}
	srv, err := herald.New(config)
	if err != nil {
		log.Fatal(err)
	}
	config.AuthSecrets = []string{"the secret of the new days", "the secret of the old days"}
	fmt.Println(srv.Reload(config))

	config.AuthSecrets = []string{"too short"}
	fmt.Println(srv.Reload(config)) // and everything stays as it was
	// Output:
	// <nil>
	// AuthSecrets: secret 1 has 9 characters; at least 16 are needed
}
