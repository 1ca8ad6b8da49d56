package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/herald-events/herald"
)

// deliveryJob is the newest job of a delivery.
func (r *rig) deliveryJob(t *testing.T, key herald.DeliveryKey) herald.Job {
	t.Helper()
	jobs, err := r.Jobs(t.Context(), herald.JobQuery{EventID: key.EventID, Limit: 1})
	if err != nil || len(jobs) != 1 {
		t.Fatalf("the jobs of %v: %+v, %v", key, jobs, err)
	}
	return jobs[0]
}

// TestADeliveryGoesWithItsJob: it waits no longer than that, waits again when it is retried, and can be retried itself.
func TestADeliveryGoesWithItsJob(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.addHook(t, hook("wh-1"))
		key := herald.DeliveryKey{WebhookID: "wh-1", EventID: "evt-1"}
		r.record(t, event(1))
		is := func(want herald.DeliveryState) {
			t.Helper()
			if got := r.state(t, key); got != want {
				t.Errorf("the delivery is %s, want %s", got, want)
			}
		}
		redeliver := func() {
			t.Helper()
			if n, err := r.Redeliver(t.Context(), "wh-1", herald.Redelivery{EventID: "evt-1"}); n != 1 || err != nil {
				t.Errorf("Redeliver: got %d, %v, want 1", n, err)
			}
			is(herald.DeliveryWaiting)
			if j := r.deliveryJob(t, key); j.Status != herald.JobPending {
				t.Errorf("its job is %s, want pending", j.Status)
			}
		}
		if cancelled, err := r.DeleteJob(t.Context(), r.deliveryJob(t, key).ID); cancelled || err != nil {
			t.Errorf("DeleteJob: got %v, %v", cancelled, err)
		}
		is(herald.DeliveryDead)
		redeliver()
		job := r.deliveryJob(t, key)
		if _, err := r.CancelJob(t.Context(), job.ID); err != nil {
			t.Errorf("CancelJob: %v", err)
		}
		is(herald.DeliveryDead)
		if _, err := r.RetryJob(t.Context(), job.ID); err != nil {
			t.Errorf("RetryJob: %v", err)
		}
		is(herald.DeliveryWaiting)
		if _, err := r.CancelJob(t.Context(), job.ID); err != nil {
			t.Errorf("CancelJob: %v", err)
		}
		if n, err := r.RetryDeadJobs(t.Context()); n != 1 || err != nil {
			t.Errorf("RetryDeadJobs: got %d, %v, want 1", n, err)
		}
		is(herald.DeliveryWaiting)
		// Where it gets another job the dead one goes, or both would deliver.
		if _, err := r.CancelJob(t.Context(), job.ID); err != nil {
			t.Errorf("CancelJob: %v", err)
		}
		redeliver()
		if _, found, err := r.Job(t.Context(), job.ID); found || err != nil {
			t.Errorf("the dead job: found %v, %v", found, err)
		}
		// One that is lost with its job, whatever has become of that, is retried by another.
		r.past(t, "DELETE FROM river_job")
		redeliver()
		r.past(t, "UPDATE river_job SET state = 'discarded', finalized_at = "+r.sql.now)
		if err := r.db.write(t.Context(), func(t2 tx) error { return r.endLostDeliveries(t.Context(), t2) }); err != nil {
			t.Fatal(err)
		}
		is(herald.DeliveryDead)
		if _, _, err := r.ChangeWebhook(t.Context(), "wh-1", func(w *herald.Webhook) error { w.Enabled = false; return nil }); err != nil {
			t.Fatal(err)
		}
		if n, err := r.RetryDeadJobs(t.Context()); n != 1 || err != nil {
			t.Errorf("RetryDeadJobs: got %d, %v, want 1", n, err)
		}
		is(herald.DeliveryDead) // of a webhook that is disabled nothing waits
	})
}

// TestADeliveryThatIsGivenUpIsDead, for whatever reason: of a webhook that is gone or an event that is not kept nothing waits.
func TestADeliveryThatIsGivenUpIsDead(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		node := newJobNode(map[string]func(context.Context, herald.Job) error{"webhook.deliver": func(context.Context, herald.Job) error {
			return herald.GiveUp(errors.New("no"))
		}})
		node.plan.Queues["webhooks"] = 1
		r := startJobs(t, storeURL, node)
		r.addHook(t, hook("wh-1"))
		r.record(t, event(1))
		key := herald.DeliveryKey{WebhookID: "wh-1", EventID: "evt-1"}
		r.awaitJob(t, r.deliveryJob(t, key).ID, herald.JobDead)
		if got := r.state(t, key); got != herald.DeliveryDead {
			t.Errorf("the delivery is %s, want dead", got)
		}
		r.past(t, "DELETE FROM herald_events")
		if n, err := r.RetryDeadJobs(t.Context()); n != 1 || err != nil {
			t.Errorf("RetryDeadJobs: got %d, %v, want 1", n, err)
		}
		waiting := -1
		err := r.db.query(t.Context(), func(row row) error { return row.Scan(&waiting) }, "SELECT COUNT(*) FROM herald_webhook_deliveries WHERE state = 'waiting'")
		if err != nil || waiting != 0 {
			t.Errorf("%d deliveries wait whose event is gone (%v)", waiting, err)
		}
	})
}

// TestARunningDeliveryThatIsCancelledIsDead, though its try fails afterwards.
func TestARunningDeliveryThatIsCancelledIsDead(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		running := make(chan herald.Job, 1)
		node := newJobNode(map[string]func(context.Context, herald.Job) error{"webhook.deliver": func(ctx context.Context, j herald.Job) error {
			running <- j
			<-ctx.Done()
			return ctx.Err()
		}})
		node.plan.Queues["webhooks"] = 1
		r := startJobs(t, storeURL, node)
		r.addHook(t, hook("wh-1"))
		key := herald.DeliveryKey{WebhookID: "wh-1", EventID: "evt-1"}
		r.record(t, event(1))
		j := <-running
		if cancelled, err := r.DeleteJob(t.Context(), j.ID); !cancelled || err != nil {
			t.Errorf("DeleteJob: got %v, %v, want it cancelled", cancelled, err)
		}
		a := herald.WebhookAttempt{ID: "att-1", Key: key, Try: 1, Error: "why", At: occurred}
		if err := r.Tried(t.Context(), a, herald.Delivered{State: herald.DeliveryWaiting, NextTry: occurred}); err != nil {
			t.Fatal(err)
		}
		r.awaitJob(t, j.ID, herald.JobDead)
		if got := r.state(t, key); got != herald.DeliveryDead {
			t.Errorf("the delivery is %s, want dead", got)
		}
	})
}

// TestDisablingAndItsEventAreOne: none is there without the other.
func TestDisablingAndItsEventAreOne(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.addHook(t, hook("wh-1"))
		disable := func(err error) func(*herald.Webhook) error {
			return func(w *herald.Webhook) error { w.Enabled = false; return err }
		}
		refused := errors.New("no")
		if _, _, err := r.ChangeWebhook(t.Context(), "wh-1", disable(refused), event(1).Event); !errors.Is(err, refused) {
			t.Errorf("got %v, want %v", err, refused)
		}
		if _, found, err := r.ChangeWebhook(t.Context(), "wh-1", disable(nil), event(2).Event); !found || err != nil {
			t.Errorf("got %v, %v", found, err)
		}
		if told := r.node.await(t, 1); fmt.Sprint(told) != "[evt-2]" {
			t.Errorf("told of %v, want of the second alone", told)
		}
		if _, _, found, err := r.Event(t.Context(), "evt-1"); found || err != nil {
			t.Errorf("the first: found %v, %v", found, err)
		}
	})
}

// countingDB counts how often a transaction is tried.
type countingDB struct {
	database
	tries atomic.Int64
}

func (d *countingDB) write(ctx context.Context, do func(tx) error) error {
	return d.database.write(ctx, func(t tx) error {
		d.tries.Add(1)
		return do(t)
	})
}

// TestAttemptsOfTwoNodesDoNotBlockEachOther, whatever order they come in: no transaction has to be tried again.
func TestAttemptsOfTwoNodesDoNotBlockEachOther(t *testing.T) {
	storeURL := server(t).Database()
	const endpoints, rounds = 20, 50
	nodes := []*Store{open1(t, storeURL), open1(t, storeURL)}
	var ids []string
	for n := range endpoints {
		w := hook(fmt.Sprintf("wh-%02d", n))
		if err := nodes[0].AddWebhook(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, w.ID)
	}
	ended := make(chan error)
	for i, s := range nodes {
		db := &countingDB{database: s.db}
		s.db = db
		order := slices.Clone(ids)
		if i == 1 {
			slices.Reverse(order)
		}
		go func() {
			for n := range rounds {
				if err := s.commitTried(t.Context(), attemptsAt(s, n, order)); err != nil {
					ended <- err
					return
				}
			}
			if n := db.tries.Load(); n != rounds {
				ended <- fmt.Errorf("%d transactions were tried %d times", rounds, n)
				return
			}
			ended <- nil
		}()
	}
	for range nodes {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// attemptsAt is an attempt at each endpoint, which fails in every other round.
func attemptsAt(s *Store, round int, ids []string) (all []*tried) {
	state := []herald.DeliveryState{herald.DeliveryWaiting, herald.DeliveryDone}[round%2]
	for _, id := range ids {
		all = append(all, &tried{
			herald.WebhookAttempt{ID: fmt.Sprintf("att-%s-%d-%s", s.self, round, id), Key: herald.DeliveryKey{WebhookID: id, EventID: "evt-1"}, Try: round, At: occurred},
			herald.Delivered{State: state},
		})
	}
	return all
}
