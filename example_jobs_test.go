package herald_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/sqlstore"
)

// runExample runs a server with a store in memory around example, and prepares it before.
func runExample(prepare func(*herald.Server) error, example func(context.Context, *herald.Server)) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store, err := sqlstore.Open(ctx, "sqlite::memory:", sqlstore.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	srv, err := herald.New(herald.Config{Store: store, DrainTimeout: time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	if err := prepare(srv); err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	example(ctx, srv)
	stop()
	if err := errors.Join(<-ended, store.Close()); err != nil {
		log.Fatal(err)
	}
}

// A handler gets the payloads of its type of jobs. Submit returns when the job is kept.
func ExampleHandle() {
	type mail struct {
		To string `json:"to"`
	}
	done := make(chan bool)
	runExample(func(srv *herald.Server) error {
		return herald.Handle(srv, "email.send", func(_ context.Context, m mail) error {
			fmt.Println("mail to", m.To)
			close(done)
			return nil
		}, herald.MaxAttempts(10), herald.JobTimeout(20*time.Second))
	}, func(ctx context.Context, srv *herald.Server) {
		j, err := srv.Submit(ctx, "email.send", mail{To: "ann@example.com"})
		if err != nil {
			log.Fatal(err)
		}
		<-done
		fmt.Println("tried up to", j.MaxAttempts, "times")
	})
	// Output:
	// mail to ann@example.com
	// tried up to 10 times
}

// A job may wait for its time, and be the only one with its key.
func ExampleServer_Submit() {
	runExample(func(*herald.Server) error { return nil }, func(ctx context.Context, srv *herald.Server) {
		for range 2 {
			j, err := srv.Submit(ctx, "report.make", 2026, herald.RunAfter(time.Hour), herald.UniqueKey("2026"))
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("job", j.ID, j.Status)
		}
		j, err := srv.CancelJob(ctx, 1)
		fmt.Println("job", j.ID, j.Status, err)
	})
	// Output:
	// job 1 pending
	// job 1 pending
	// job 1 dead <nil>
}

// The call of a durable handler is a job, which is tried again until it succeeds. A handler may say when.
func ExampleOnDurable() {
	done := make(chan bool)
	calls := 0
	runExample(func(srv *herald.Server) error {
		return herald.OnDurable(srv, "user.*", "send-welcome", func(_ context.Context, e herald.Event) error {
			calls++
			fmt.Println(calls, e.Type, string(e.Payload.(json.RawMessage)))
			if calls == 1 {
				return herald.RetryAfter(10*time.Millisecond, errors.New("the mail server is away"))
			}
			close(done)
			return nil
		})
	}, func(ctx context.Context, srv *herald.Server) {
		event := herald.Event{Type: "user.registered", Payload: map[string]string{"name": "Ann"}}
		if err := srv.Publish(ctx, event); err != nil {
			log.Fatal(err)
		}
		<-done
	})
	// Output:
	// 1 user.registered {"name":"Ann"}
	// 2 user.registered {"name":"Ann"}
}

// A schedule submits a job at the times of a cron expression.
func ExampleServer_Every() {
	runExample(func(srv *herald.Server) error {
		if err := srv.Every("nightly", "every night", "report.make", nil); err != nil {
			fmt.Println(err)
		}
		return srv.Every("nightly", "CRON_TZ=Europe/Berlin 0 3 * * *", "report.make", nil)
	}, func(context.Context, *herald.Server) {})
	// Output:
	// "every night" is no cron expression: expected exactly 5 fields, found 2: [every night]
}

// A queue that is paused keeps its jobs.
func ExampleServer_PauseQueue() {
	done := make(chan bool)
	runExample(func(srv *herald.Server) error {
		return herald.Handle(srv, "count", func(_ context.Context, n int) error {
			fmt.Println("job", n)
			close(done)
			return nil
		})
	}, func(ctx context.Context, srv *herald.Server) {
		if err := srv.PauseQueue(ctx, "default"); err != nil {
			log.Fatal(err)
		}
		if _, err := srv.Submit(ctx, "count", 1); err != nil {
			log.Fatal(err)
		}
		fmt.Println("resume")
		if err := srv.ResumeQueue(ctx, "default"); err != nil {
			log.Fatal(err)
		}
		<-done
	})
	// Output:
	// resume
	// job 1
}
