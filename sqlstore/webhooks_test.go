package sqlstore

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// hook is an endpoint of a test.
func hook(id string, patterns ...string) herald.Webhook {
	return herald.Webhook{
		ID: id, URL: "https://example.com/hooks", Events: append([]string{}, patterns...), Description: "ä\x00", Enabled: true, Ordered: true,
		Concurrency: 3, Rate: 2.5, Secrets: []herald.WebhookSecret{{Text: "whsec_new"}, {Text: "whsec_old", Until: occurred}}, CreatedAt: occurred,
	}
}

func (r *rig) addHook(t *testing.T, w herald.Webhook) {
	t.Helper()
	if err := r.AddWebhook(t.Context(), w); err != nil {
		t.Fatalf("AddWebhook: %v", err)
	}
}

func (r *rig) state(t *testing.T, key herald.DeliveryKey) herald.DeliveryState {
	t.Helper()
	d, found, err := r.Delivery(t.Context(), key)
	if err != nil {
		t.Fatalf("Delivery: %v", err)
	}
	if !found {
		return ""
	}
	return d.State
}

func TestWebhooksAreKept(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.addHook(t, hook("wh-2", "user.*", "a"))
		r.addHook(t, hook("wh-1"))
		want := hook("wh-2", "user.*", "a")
		want.Description = "ä\uFFFD"
		got, found, err := r.Webhook(t.Context(), "wh-2")
		if err != nil || !found || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, %v, want %+v", got, found, err, want)
		}
		if all, err := r.Webhooks(t.Context(), "wh-1", 10); err != nil || len(all) != 1 || all[0].ID != "wh-2" {
			t.Errorf("behind wh-1: got %v, %v", all, err)
		}
		refused := errors.New("no")
		if _, _, err := r.ChangeWebhook(t.Context(), "wh-2", func(w *herald.Webhook) error { w.URL = "x"; return refused }); !errors.Is(err, refused) {
			t.Errorf("got %v, want %v", err, refused)
		}
		changed, found, err := r.ChangeWebhook(t.Context(), "wh-2", func(w *herald.Webhook) error {
			w.URL, w.FailingSince = "https://example.org", occurred
			return nil
		})
		got, _, _ = r.Webhook(t.Context(), "wh-2")
		if err != nil || !found || got.URL != "https://example.org" || !reflect.DeepEqual(got, changed) {
			t.Errorf("got %+v, %v, want %+v", got, err, changed)
		}
		if _, found, err := r.ChangeWebhook(t.Context(), "wh-3", func(*herald.Webhook) error { return nil }); found || err != nil {
			t.Errorf("an unknown one: found %v, %v", found, err)
		}
		for _, want := range []bool{true, false} {
			if found, err := r.RemoveWebhook(t.Context(), "wh-2"); found != want || err != nil {
				t.Errorf("RemoveWebhook: got %v, %v, want %v", found, err, want)
			}
		}
	})
}

// TestDeliveriesComeWithTheirEvent: to each endpoint that wants it, with a job, and once.
func TestDeliveriesComeWithTheirEvent(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.addHook(t, hook("wh-all"))
		r.addHook(t, hook("wh-some", "user.*"))
		r.addHook(t, hook("wh-other", "order.*"))
		off := hook("wh-off")
		off.Enabled = false
		r.addHook(t, off)
		r.record(t, event(1))
		r.record(t, event(1))
		for id, want := range map[string]herald.DeliveryState{"wh-all": "waiting", "wh-some": "waiting", "wh-other": "", "wh-off": ""} {
			if got := r.state(t, herald.DeliveryKey{WebhookID: id, EventID: "evt-1"}); got != want {
				t.Errorf("%s: the delivery is %q, want %q", id, got, want)
			}
		}
		jobs, err := r.Jobs(t.Context(), herald.JobQuery{Type: "webhook.deliver", Limit: 10})
		if err != nil || len(jobs) != 2 || string(jobs[1].Payload) != `{"webhook":"wh-all","event":"evt-1"}` || jobs[0].Queue != "webhooks" {
			t.Errorf("got the jobs %+v, %v", jobs, err)
		}
		one := event(2)
		one.WebhookID = "wh-other"
		r.record(t, one)
		if got := r.state(t, herald.DeliveryKey{WebhookID: "wh-all", EventID: "evt-2"}); got != "" {
			t.Error("an event for one endpoint went to another")
		}
		d, found, err := r.NextDelivery(t.Context(), "wh-other")
		if err != nil || !found || d.Event.ID != "evt-2" || d.Webhook.URL == "" || fmt.Sprint(d.Event) != fmt.Sprint(one.Event) {
			t.Errorf("got %+v, %v, %v", d, found, err)
		}
		if types, err := r.KnownTypes(t.Context()); err != nil || !reflect.DeepEqual(types, []string{"user.registered"}) {
			t.Errorf("got the types %v, %v", types, err)
		}
	})
}

func TestAttemptsAndWhatTheyMake(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.addHook(t, hook("wh-1"))
		key := herald.DeliveryKey{WebhookID: "wh-1", EventID: "evt-1"}
		r.record(t, event(1))
		r.record(t, event(2))
		try := func(n int, state herald.DeliveryState) herald.WebhookAttempt {
			t.Helper()
			a := herald.WebhookAttempt{
				ID: fmt.Sprint("att-", n), Key: key, Try: n, Status: 500, Duration: 12 * time.Millisecond, Error: "e", Response: "a\xff\x00b",
				At: occurred.Add(time.Duration(n) * time.Second),
			}
			if err := r.Tried(t.Context(), a, herald.Delivered{State: state, NextTry: occurred}); err != nil {
				t.Fatalf("Tried: %v", err)
			}
			a.Response = "a\uFFFD\uFFFDb"
			return a
		}
		first, second := try(1, herald.DeliveryWaiting), try(2, herald.DeliveryDead)
		want := []herald.WebhookAttempt{second, first}
		for _, q := range []herald.AttemptQuery{{WebhookID: "wh-1", Limit: 9}, {EventID: "evt-1", Limit: 9}} {
			if got, err := r.Attempts(t.Context(), q); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v: got %+v, %v, want %+v", q, got, err, want)
			}
		}
		if got, err := r.Attempts(t.Context(), herald.AttemptQuery{WebhookID: "wh-1", Before: "att-2", Limit: 9}); err != nil || len(got) != 1 {
			t.Errorf("before the second: got %+v, %v", got, err)
		}
		if w, _, _ := r.Webhook(t.Context(), "wh-1"); !w.FailingSince.Equal(first.At) {
			t.Errorf("failing since %v, want %v", w.FailingSince, first.At)
		}
		since := herald.Redelivery{Since: time.Now().Add(-time.Hour)}
		if n, err := r.Redeliver(t.Context(), "wh-1", since); n != 1 || err != nil || r.state(t, key) != herald.DeliveryWaiting {
			t.Errorf("Redeliver: got %d, %v, and %s, want the dead one", n, err, r.state(t, key))
		}
		try(3, herald.DeliveryDone)
		if w, _, _ := r.Webhook(t.Context(), "wh-1"); !w.FailingSince.IsZero() {
			t.Errorf("failing since %v, want no more", w.FailingSince)
		}
		if n, err := r.Redeliver(t.Context(), "wh-1", since); n != 0 || err != nil {
			t.Errorf("Redeliver: got %d, %v, want none: there is no dead one", n, err)
		}
		if n, err := r.Redeliver(t.Context(), "wh-1", herald.Redelivery{EventID: "evt-1"}); n != 1 || err != nil {
			t.Errorf("Redeliver of what is done: got %d, %v, want 1", n, err)
		}
	})
}

// TestABacklogEndsInPieces, with the webhook, be it disabled or removed.
func TestABacklogEndsInPieces(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		const many = 2*endMany + 10
		for n, id := range []string{"wh-1", "wh-2"} {
			r.addHook(t, hook(id))
			r.fillBacklog(t, id, many, n*many)
		}
		if _, _, err := r.ChangeWebhook(t.Context(), "wh-1", func(w *herald.Webhook) error { w.Enabled = false; return nil }); err != nil {
			t.Fatal(err)
		}
		if found, err := r.RemoveWebhook(t.Context(), "wh-2"); !found || err != nil {
			t.Fatalf("RemoveWebhook: %v, %v", found, err)
		}
		var dead, deliveries, jobs int
		err := r.db.query(t.Context(), func(row row) error { return row.Scan(&dead, &deliveries, &jobs) },
			"SELECT (SELECT COUNT(*) FROM herald_webhook_deliveries WHERE webhook = 'wh-1' AND state = 'dead'), "+
				"(SELECT COUNT(*) FROM herald_webhook_deliveries), (SELECT COUNT(*) FROM river_job WHERE state = 'discarded')")
		if err != nil || dead != many || deliveries != many || jobs != 2*many {
			t.Errorf("%d deliveries are dead of %d, and %d jobs (%v), want %d, %d and %d", dead, deliveries, jobs, err, many, many, 2*many)
		}
	})
}

// fillBacklog has so many deliveries wait, numbered from a number on.
func (r *rig) fillBacklog(t *testing.T, id string, many, from int) {
	t.Helper()
	<-r.began
	err := r.db.write(t.Context(), func(x tx) error {
		var jobs []*job
		for n := range many {
			jobs = append(jobs, r.jobOf(herald.DeliveryKey{WebhookID: id, EventID: fmt.Sprint("evt-", from+n)}))
		}
		if err := r.insertJobs(t.Context(), x, jobs); err != nil {
			return err
		}
		var rows [][]any
		for n, j := range jobs {
			rows = append(rows, []any{id, fmt.Sprint("evt-", from+n), from + n, "waiting", 0, 0, 0, j.row.ID})
		}
		return insert(t.Context(), x, "herald_webhook_deliveries", deliveryColumns, rows, "")
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDisablingEndsWhatWaits: deliveries and jobs are dead, and are not made of what comes then.
func TestDisablingEndsWhatWaits(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := run(t, storeURL)
		r.addHook(t, hook("wh-1"))
		r.addHook(t, hook("wh-2"))
		r.record(t, event(1))
		if _, _, err := r.ChangeWebhook(t.Context(), "wh-1", func(w *herald.Webhook) error { w.Enabled = false; return nil }); err != nil {
			t.Fatal(err)
		}
		r.record(t, event(2))
		for key, want := range map[herald.DeliveryKey]herald.DeliveryState{
			{WebhookID: "wh-1", EventID: "evt-1"}: herald.DeliveryDead, {WebhookID: "wh-1", EventID: "evt-2"}: "",
			{WebhookID: "wh-2", EventID: "evt-1"}: herald.DeliveryWaiting, {WebhookID: "wh-2", EventID: "evt-2"}: herald.DeliveryWaiting,
		} {
			if got := r.state(t, key); got != want {
				t.Errorf("%v is %q, want %q", key, got, want)
			}
		}
		stats, err := r.JobStats(t.Context())
		if err != nil || stats[herald.JobDead] != 1 || stats[herald.JobPending] != 2 {
			t.Errorf("got the jobs %v, %v, want 1 dead and 2 pending", stats, err)
		}
		dead, err := r.Jobs(t.Context(), herald.JobQuery{Status: herald.JobDead, Limit: 9})
		if err != nil || len(dead) != 1 || dead[0].LastError != "the webhook is disabled" {
			t.Errorf("got %+v, %v", dead, err)
		}
	})
}
