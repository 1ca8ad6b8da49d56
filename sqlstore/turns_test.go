package sqlstore

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/herald-events/herald"
)

// TestATurnIsOfOneNode until it ends, by its end or by its time.
func TestATurnIsOfOneNode(t *testing.T) {
	storeURL := server(t).Database()
	a, b := open1(t, storeURL), open1(t, storeURL)
	if err := a.AddWebhook(t.Context(), hook("wh-1")); err != nil {
		t.Fatal(err)
	}
	take := func(s *Store, d time.Duration, want bool) {
		t.Helper()
		if got, err := s.TakeTurn(t.Context(), "wh-1", d); err != nil || got != want {
			t.Errorf("TakeTurn: got %v, %v, want %v", got, err, want)
		}
	}
	end := func(s *Store) {
		t.Helper()
		if err := s.EndTurn(t.Context(), "wh-1"); err != nil {
			t.Errorf("EndTurn: %v", err)
		}
	}
	take(a, time.Hour, true)
	take(a, time.Hour, true)
	take(b, time.Hour, false)
	end(b) // which is not its own
	take(b, time.Hour, false)
	end(a)
	take(b, -time.Second, true) // it is over already
	take(a, time.Hour, true)
	if got, err := a.TakeTurn(t.Context(), "wh-none", time.Hour); err != nil || got {
		t.Errorf("of no webhook: got %v, %v", got, err)
	}
}

// TestATurnEndsWithItsProcess: the file has no other.
func TestATurnEndsWithItsProcess(t *testing.T) {
	storeURL := "sqlite:" + filepath.Join(t.TempDir(), "herald.db")
	dead := open1(t, storeURL)
	if err := dead.AddWebhook(t.Context(), hook("wh-1")); err != nil {
		t.Fatal(err)
	}
	if mine, err := dead.TakeTurn(t.Context(), "wh-1", time.Hour); err != nil || !mine {
		t.Fatalf("TakeTurn: %v, %v", mine, err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	r := startJobs(t, storeURL, newJobNode(nil))
	eventually(t, func() error {
		if mine, err := r.TakeTurn(t.Context(), "wh-1", time.Hour); err != nil || !mine {
			return fmt.Errorf("TakeTurn: got %v, %v", mine, err)
		}
		return nil
	})
}

// TestDeliveriesAreWoken: the oldest of those that rest, and not what waits for its next try.
func TestDeliveriesAreWoken(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.node.rest = time.Hour
		for _, id := range []string{"wh-1", "wh-2"} {
			w := hook(id)
			w.Ordered = false
			r.addHook(t, w)
		}
		const events = 5
		for n := range events {
			r.record(t, event(n))
		}
		later := herald.Delivered{State: herald.DeliveryWaiting, NextTry: time.Now().Add(time.Hour)}
		if err := r.Tried(t.Context(), herald.WebhookAttempt{ID: "att-1", Key: herald.DeliveryKey{WebhookID: "wh-1", EventID: "evt-0"}, Try: 1, At: occurred}, later); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{2, 2, 0} {
			woken, err := r.WakeDeliveries(t.Context(), map[string]int{"wh-1": 2, "wh-none": 3})
			if err != nil || woken["wh-1"] != want || woken["wh-none"] != 0 {
				t.Errorf("got %v, %v, want %d", woken, err, want)
			}
		}
		jobs, err := r.Jobs(t.Context(), herald.JobQuery{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		awake := map[herald.DeliveryKey]bool{}
		for _, j := range jobs {
			key, ok := herald.DeliveryOf(j)
			if !ok {
				t.Fatalf("%+v is of no delivery", j)
			}
			if awake[key] = j.RunAt.Before(time.Now()); awake[key] != (key.WebhookID == "wh-1" && key.EventID != "evt-0") {
				t.Errorf("%v is awake: %v", key, awake[key])
			}
		}
		if len(awake) != 2*events {
			t.Errorf("%d jobs, want %d", len(awake), 2*events)
		}
	})
}

// TestInOrderNoneIsWokenBeforeTheFirstIsDue: each would find that, again and again.
func TestInOrderNoneIsWokenBeforeTheFirstIsDue(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.node.rest = time.Hour
		inOrder := hook("wh-1")
		inOrder.Ordered = true
		r.addHook(t, inOrder)
		for n := range 5 {
			r.record(t, event(n))
		}
		wake := func(want int) {
			t.Helper()
			if woken, err := r.WakeDeliveries(t.Context(), map[string]int{"wh-1": 100}); err != nil || woken["wh-1"] != want {
				t.Errorf("got %v, %v, want %d", woken, err, want)
			}
		}
		try := func(n int, then herald.Delivered) {
			t.Helper()
			a := herald.WebhookAttempt{ID: fmt.Sprint("att-", n), Key: herald.DeliveryKey{WebhookID: "wh-1", EventID: "evt-0"}, Try: n, At: occurred}
			if err := r.Tried(t.Context(), a, then); err != nil {
				t.Fatal(err)
			}
		}
		pause := func(paused bool) {
			t.Helper()
			if _, _, err := r.ChangeWebhook(t.Context(), "wh-1", func(w *herald.Webhook) error { w.Paused = paused; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		try(1, herald.Delivered{State: herald.DeliveryWaiting, NextTry: time.Now().Add(time.Hour)})
		wake(0)
		try(2, herald.Delivered{State: herald.DeliveryDone})
		pause(true)
		wake(0)
		pause(false)
		wake(wakeInOrder)
	})
}

// TestADeliveryMadeByAnotherEndsItsJob, as the delivery has ended.
func TestADeliveryMadeByAnotherEndsItsJob(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.addHook(t, hook("wh-1"))
		for n, then := range []herald.Delivered{
			{State: herald.DeliveryDone, EndJob: true}, {State: herald.DeliveryDead, EndJob: true}, {State: herald.DeliveryWaiting, EndJob: true}, {State: herald.DeliveryDone},
		} {
			r.record(t, event(n))
			a := herald.WebhookAttempt{ID: fmt.Sprint("att-", n), Key: herald.DeliveryKey{WebhookID: "wh-1", EventID: fmt.Sprint("evt-", n)}, Try: 1, Error: "why", At: occurred}
			if err := r.Tried(t.Context(), a, then); err != nil {
				t.Fatal(err)
			}
		}
		jobs, err := r.Jobs(t.Context(), herald.JobQuery{Limit: 9})
		if err != nil || len(jobs) != 4 {
			t.Fatalf("got %+v, %v", jobs, err)
		}
		for n, want := range []herald.JobStatus{herald.JobCompleted, herald.JobDead, herald.JobPending, herald.JobPending} {
			if j := jobs[3-n]; j.Status != want || (want == herald.JobDead) != (j.LastError == "why") {
				t.Errorf("job %d: got %+v, want it %s", n, j, want)
			}
		}
	})
}

// TestARemovedWebhookLeavesNothing, also where an event for it is recorded at the same time.
func TestARemovedWebhookLeavesNothing(t *testing.T) {
	storeURL := server(t).Database()
	r := run(t, storeURL)
	r.addHook(t, hook("wh-1"))
	conn, err := pgx.Connect(t.Context(), storeURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	own, err := conn.Begin(t.Context()) // has the next delivery wait in the middle of its transaction
	if err != nil {
		t.Fatal(err)
	}
	_, err = own.Exec(t.Context(), "INSERT INTO herald_webhook_deliveries ("+deliveryColumns+") VALUES ('wh-1', 'evt-1', 0, 'done', 0, 0, 0, 0)")
	if err != nil {
		t.Fatal(err)
	}
	waiting := func(want int) func() error {
		return func() error {
			n := 0
			err := r.db.query(t.Context(), func(row row) error { return row.Scan(&n) },
				"SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
			if err == nil && n != want {
				err = fmt.Errorf("%d wait for a lock, want %d", n, want)
			}
			return err
		}
	}
	recorded, removed := make(chan error, 1), make(chan error, 1)
	go func() { _, err := r.Record(t.Context(), event(1)); recorded <- err }()
	eventually(t, waiting(1))
	go func() { _, err := r.RemoveWebhook(t.Context(), "wh-1"); removed <- err }()
	eventually(t, func() error {
		if len(removed) > 0 { // it has not waited
			return nil
		}
		return waiting(2)()
	})
	if err := own.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, ended := range map[string]chan error{"Record": recorded, "RemoveWebhook": removed} {
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	n := -1
	if err := r.db.query(t.Context(), func(row row) error { return row.Scan(&n) }, "SELECT COUNT(*) FROM herald_webhook_deliveries"); err != nil || n != 0 {
		t.Errorf("%d deliveries are left (%v)", n, err)
	}
}
