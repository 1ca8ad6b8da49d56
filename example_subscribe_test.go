package herald_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/herald-events/herald"
)

func ExampleServer_SubscribeAll() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	sub, err := srv.SubscribeAll(func(_ context.Context, e herald.Event) error {
		fmt.Println(e.Type)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	_ = srv.Publish(ctx, herald.UserRegistered{UserID: "u-1"})
	_ = srv.Publish(ctx, herald.Logout{UserID: "u-1"})
	_ = srv.Close(ctx) // waits for the handlers
	fmt.Printf("%+v\n", sub.Stats())
	// Output:
	// user.registered
	// logout
	// {Delivered:2 Failed:0 Panicked:0 Dropped:0 Discarded:0 Queued:0}
}

// What has to be done before Publish returns is done synchronously; its error is Publish's.
func ExampleSynchronously() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	errFull := errors.New("the disk is full")
	journal := func(context.Context, herald.Event) error { return errFull }
	if _, err := srv.SubscribeAll(journal, herald.Synchronously(), herald.Named("journal")); err != nil {
		log.Fatal(err)
	}
	err = srv.Publish(context.Background(), herald.Logout{UserID: "u-1"})
	fmt.Println(err)
	fmt.Println(errors.Is(err, errFull))
	// Output:
	// subscription "journal": the disk is full
	// true
}

// A handler that shows the newest state has no use for old events.
func ExampleWhenFull() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	begun, release := make(chan struct{}, 10), make(chan struct{})
	show := func(_ context.Context, e herald.Event) error {
		begun <- struct{}{}
		<-release // the screen is slow
		fmt.Println(e.ID)
		return nil
	}
	sub, err := srv.Subscribe("price.*", show, herald.Queue(1), herald.WhenFull(herald.DropOldest))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	_ = srv.Publish(ctx, herald.Event{ID: "1", Type: "price.changed"})
	<-begun
	_ = srv.Publish(ctx, herald.Event{ID: "2", Type: "price.changed"}) // makes room for the next
	_ = srv.Publish(ctx, herald.Event{ID: "3", Type: "price.changed"})
	close(release)
	_ = srv.Close(ctx) // waits for the handler
	fmt.Println(sub.Stats().Dropped, "dropped")
	// Output:
	// 1
	// 3
	// 1 dropped
}

func ExampleSubscription_Unsubscribe() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	var sub *herald.Subscription
	sub, err = srv.Subscribe("user.*", func(_ context.Context, e herald.Event) error {
		fmt.Println(e.Type)
		sub.Unsubscribe() // one is enough
		return nil
	}, herald.Synchronously())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	_ = srv.Publish(ctx, herald.UserRegistered{UserID: "u-1"})
	_ = srv.Publish(ctx, herald.UserDeleted{UserID: "u-1"})
	// Output: user.registered
}

// The application is asked who may join; here it knows its users by a cookie of its own.
func ExampleByCallback() {
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Channel string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil { // after its signature was verified
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Println("asked for", asked.Channel)
		fmt.Fprint(w, `{"authorized":true}`)
	}))
	defer application.Close()

	config := herald.Config{Authorizer: herald.ByCallback(application.URL, "a secret of both of them")}
	withStream(config, "private-orders", func(srv *herald.Server, _ string) {
		n, err := srv.SubscriberCount(context.Background(), "private-orders")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(n, "subscribed")
	})
	// Output:
	// asked for private-orders
	// 1 subscribed
}
