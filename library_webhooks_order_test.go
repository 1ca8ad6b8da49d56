package herald_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// TestASlowWebhookDelaysNoOther, however much waits for it; and when it is well again it gets everything, at its pace.
func TestASlowWebhookDelaysNoOther(t *testing.T) {
	overStores(t, func(t *testing.T, storeURL string) {
		srv := startHooked(t, storeURL, herald.Config{})
		well := make(chan struct{})
		slow := receiveHooks(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-well:
			case <-r.Context().Done():
			}
		})
		other := receiveHooks(t, status(http.StatusOK))
		createHook(t, srv, `{"url":"`+slow.url+`","concurrency":2}`)
		createHook(t, srv, `{"url":"`+other.url+`","concurrency":100}`)
		const events = 120
		for i := range events {
			publish(t, srv, herald.Event{ID: fmt.Sprint("e-", i), Payload: herald.Logout{UserID: "u-1"}})
		}
		for range events {
			other.next(t)
		}
		close(well)
		seen := map[string]bool{}
		for len(seen) < events {
			seen[slow.next(t).ID] = true
		}
	})
}

// TestARateIsKept: what is over it waits, and comes.
func TestARateIsKept(t *testing.T) {
	srv := startHooked(t, inMemory, herald.Config{})
	r := receiveHooks(t, status(http.StatusOK))
	createHook(t, srv, `{"url":"`+r.url+`","rate":10}`)
	begun := time.Now()
	const events = 25 // ten at once, and then one each tenth of a second
	for i := range events {
		publish(t, srv, herald.Event{ID: fmt.Sprint("e-", i), Payload: herald.Logout{UserID: "u-1"}})
	}
	for range events {
		r.next(t)
	}
	if took := time.Since(begun); took < 1400*time.Millisecond {
		t.Errorf("%d at 10 a second took %v, want 1.4 s at least", events, took)
	}
}

// TestOrderIsKeptOverNodes: one of them delivers at a time, and none of it twice.
func TestOrderIsKeptOverNodes(t *testing.T) {
	storeURL := newDatabase(t)
	a, b := startHooked(t, storeURL, herald.Config{}), startHooked(t, storeURL, herald.Config{})
	r := receiveHooks(t, status(http.StatusOK))
	createHook(t, a, `{"url":"`+r.url+`","ordered":true}`)
	const events = 300 // more than one node makes in a row
	for i := range events {
		srv := a
		if i%2 == 1 {
			srv = b
		}
		publish(t, srv, herald.Event{ID: fmt.Sprintf("e-%03d", i), Payload: herald.Logout{UserID: "u-1"}})
	}
	for i := range events {
		if got, want := r.next(t).ID, fmt.Sprintf("e-%03d", i); got != want {
			t.Fatalf("message %d is %s, want %s", i, got, want)
		}
	}
}

// TestADeadDeliveryInOrderIsRetried, by the job that it had.
func TestADeadDeliveryInOrderIsRetried(t *testing.T) {
	srv := startHooked(t, inMemory, herald.Config{})
	r := receiveHooks(t, status(http.StatusInternalServerError))
	createHook(t, srv, `{"url":"`+r.url+`","ordered":true}`)
	publish(t, srv, herald.Event{ID: "e-1", Payload: herald.Logout{UserID: "u-1"}})
	r.next(t)
	dead := func() int {
		return decode[struct{ Dead int }](t, apiCall(t, srv, http.MethodGet, "/jobs/stats", "").Body).Dead
	}
	eventually(t, "it is dead", func() bool { return dead() == 1 })
	r.answers(status(http.StatusOK))
	if answer := apiCall(t, srv, http.MethodPost, "/jobs/dead/retry", ""); answer.Status != http.StatusAccepted {
		t.Fatalf("got %d %s", answer.Status, answer.Body)
	}
	r.next(t)
	eventually(t, "it is done", func() bool { return dead() == 0 })
}

// TestWhatRestsOutlivesTheProcess: what waits for a slow endpoint is called by the next one.
func TestWhatRestsOutlivesTheProcess(t *testing.T) {
	storeURL := "sqlite:" + filepath.Join(t.TempDir(), "herald.db")
	ended := make(chan struct{})
	r := receiveHooks(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-ended:
		case <-r.Context().Done():
		}
	})
	const events = 30
	t.Run("first", func(t *testing.T) {
		srv := startHooked(t, storeURL, herald.Config{DrainTimeout: time.Millisecond})
		createHook(t, srv, `{"url":"`+r.url+`","concurrency":1}`)
		for i := range events {
			publish(t, srv, herald.Event{ID: fmt.Sprint("e-", i), Payload: herald.Logout{UserID: "u-1"}})
		}
	})
	close(ended)
	startHooked(t, storeURL, herald.Config{})
	seen := map[string]bool{}
	for len(seen) < events {
		seen[r.next(t).ID] = true
	}
}

// TestAScheduleThatIsMadeLonger counts for what is queued from then on: what was queued before is dead at its last try.
func TestAScheduleThatIsMadeLonger(t *testing.T) {
	storeURL := "sqlite:" + filepath.Join(t.TempDir(), "herald.db")
	r := receiveHooks(t, status(http.StatusInternalServerError))
	hook := ""
	t.Run("first", func(t *testing.T) {
		srv := startHooked(t, storeURL, herald.Config{}, 100*time.Millisecond)
		createHook(t, srv, `{"url":"`+r.url+`","paused":true}`)
		publish(t, srv, herald.Event{ID: "e-1", Payload: herald.Logout{UserID: "u-1"}})
	})
	srv := startHooked(t, storeURL, herald.Config{}, time.Millisecond, time.Millisecond, time.Millisecond)
	var page struct{ Webhooks []hookBody }
	hooksCall(t, srv, http.MethodGet, "", "", http.StatusOK, &page)
	hook = page.Webhooks[0].ID
	hooksCall(t, srv, http.MethodPatch, "/"+hook, `{"paused":false}`, http.StatusOK, nil)
	r.next(t)
	r.next(t)
	eventually(t, "it is dead, and can be retried", func() bool {
		var retried struct{ Retried int }
		hooksCall(t, srv, http.MethodPost, "/"+hook+"/retry", `{"since":"2020-01-01T00:00:00Z"}`, http.StatusAccepted, &retried)
		return retried.Retried == 1
	})
}
