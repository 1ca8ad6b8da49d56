package herald_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/clock"
)

func TestAWebhookGetsWhatItWants(t *testing.T) {
	overStores(t, func(t *testing.T, storeURL string) {
		srv := startHooked(t, storeURL, herald.Config{})
		r := receiveHooks(t, status(http.StatusNoContent))
		hook := createHook(t, srv, `{"url":"`+r.url+`","events":["user.*"],"description":"the shop"}`)
		if !hook.Enabled || hook.URL != r.url || !slices.Equal(hook.Events, []string{"user.*"}) || hook.CreatedAt == "" || hook.Description != "the shop" {
			t.Errorf("got %+v", hook)
		}
		publish(t, srv, herald.Logout{UserID: "u-1"}) // which it does not want
		publish(t, srv, herald.Event{ID: "e-1", Timestamp: time.UnixMilli(1_700_000_000_123), UserID: "u-1", Payload: herald.UserRegistered{UserID: "u-1"}})
		m := r.next(t)
		if want := `{"type":"user.registered","timestamp":"2023-11-14T22:13:20.123Z","data":{"userId":"u-1"},"id":"e-1"}`; string(m.body) != want {
			t.Errorf("got %s, want %s", m.body, want)
		}
		if got := m.header.Get("webhook-id"); got != "e-1" {
			t.Errorf("webhook-id is %q, want e-1", got)
		}
		if err := herald.VerifyWebhook(hook.Secret, m.header, m.body); err != nil {
			t.Errorf("VerifyWebhook: %v", err)
		}
		var report struct {
			Webhooks []attemptBody
		}
		eventually(t, "the attempt is noted", func() bool {
			answer := apiCall(t, srv, http.MethodGet, "/events/e-1", "")
			return json.Unmarshal([]byte(answer.Body), &report) == nil && len(report.Webhooks) == 1
		})
		all := attempts(t, srv, hook.ID)
		if len(all) != 1 || all[0].EventID != "e-1" || all[0].Try != 1 || all[0].Status != 204 || all[0].DurationMs == nil || all[0].At == "" || all[0].Error != "" {
			t.Errorf("got the attempts %+v", all)
		}
		if report.Webhooks[0].ID != all[0].ID {
			t.Errorf("the event has the attempt %s, want %s", report.Webhooks[0].ID, all[0].ID)
		}
	})
}

// TestAWebhookIsTriedAgain: the id stays the same, the timestamp does not, and what is dead can be retried.
func TestAWebhookIsTriedAgain(t *testing.T) {
	overStores(t, func(t *testing.T, storeURL string) {
		srv := startHooked(t, storeURL, herald.Config{}, 10*time.Millisecond, 10*time.Millisecond)
		r := receiveHooks(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, strings.Repeat("x", 5000))
		})
		hook := createHook(t, srv, `{"url":"`+r.url+`"}`)
		begun := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
		publish(t, srv, herald.Event{ID: "e-1", Payload: herald.Logout{UserID: "u-1"}})
		for range 3 {
			if m := r.next(t); m.header.Get("webhook-id") != "e-1" {
				t.Errorf("webhook-id is %q, want e-1", m.header.Get("webhook-id"))
			}
		}
		var all []attemptBody
		eventually(t, "three attempts are noted", func() bool { all = attempts(t, srv, hook.ID); return len(all) == 3 })
		for i, a := range all {
			if a.Try != 3-i || a.Status != 500 || a.Error != "the endpoint answered 500 Internal Server Error" || len(a.Response) != 4096 {
				t.Errorf("attempt %d: got %+v", i, a)
			}
		}
		eventually(t, "the job is dead", func() bool {
			return strings.Contains(apiCall(t, srv, http.MethodGet, "/jobs?status=dead&type=webhook.deliver", "").Body, `\"e-1\"`) ||
				strings.Contains(apiCall(t, srv, http.MethodGet, "/jobs?status=dead&type=webhook.deliver", "").Body, `"event":"e-1"`)
		})
		r.answers(status(http.StatusOK))
		hooksCall(t, srv, http.MethodPost, "/attempts/"+all[0].ID+"/retry", "", http.StatusAccepted, nil)
		r.next(t)
		eventually(t, "the fourth is noted", func() bool { return attempts(t, srv, hook.ID)[0].Status == 200 })
		var retried struct{ Retried int }
		hooksCall(t, srv, http.MethodPost, "/"+hook.ID+"/retry", `{"since":"`+begun+`"}`, http.StatusAccepted, &retried)
		if retried.Retried != 0 {
			t.Errorf("%d deliveries are retried, want none: all is done", retried.Retried)
		}
		hooksCall(t, srv, http.MethodPost, "/attempts/att-none/retry", "", http.StatusNotFound, nil)
	})
}

func TestRetryOfAllSinceATime(t *testing.T) {
	overStores(t, func(t *testing.T, storeURL string) {
		srv := startHooked(t, storeURL, herald.Config{})
		r := receiveHooks(t, status(http.StatusBadRequest))
		hook := createHook(t, srv, `{"url":"`+r.url+`"}`)
		for i := range 5 {
			publish(t, srv, herald.Event{ID: fmt.Sprint("e-", i), Payload: herald.Logout{UserID: "u-1"}})
		}
		eventually(t, "all have failed", func() bool { return len(attempts(t, srv, hook.ID)) == 5 })
		for range 5 {
			r.next(t)
		}
		r.answers(status(http.StatusOK))
		var retried struct{ Retried int }
		since := func(at time.Time) string { return `{"since":"` + at.UTC().Format(time.RFC3339Nano) + `"}` }
		hooksCall(t, srv, http.MethodPost, "/"+hook.ID+"/retry", since(time.Now().Add(time.Hour)), http.StatusAccepted, &retried)
		if retried.Retried != 0 {
			t.Errorf("%d since an hour from now, want none", retried.Retried)
		}
		hooksCall(t, srv, http.MethodPost, "/"+hook.ID+"/retry", since(time.Now().Add(-time.Hour)), http.StatusAccepted, &retried)
		if retried.Retried != 5 {
			t.Errorf("%d are retried, want 5", retried.Retried)
		}
		ids := map[string]bool{}
		for range 5 {
			ids[r.next(t).ID] = true
		}
		if len(ids) != 5 {
			t.Errorf("got %v, want each of 5", ids)
		}
	})
}

func TestARetryOfARunningOneIsRefused(t *testing.T) {
	overStores(t, func(t *testing.T, storeURL string) {
		srv := startHooked(t, storeURL, herald.Config{})
		r := receiveHooks(t, status(http.StatusOK))
		hook := createHook(t, srv, `{"url":"`+r.url+`"}`)
		publish(t, srv, herald.Logout{UserID: "u-1"})
		r.next(t)
		eventually(t, "the attempt is noted", func() bool { return len(attempts(t, srv, hook.ID)) == 1 })
		inside, leave := make(chan struct{}), make(chan struct{})
		r.answers(func(http.ResponseWriter, *http.Request) { close(inside); <-leave })
		path := "/attempts/" + attempts(t, srv, hook.ID)[0].ID + "/retry"
		eventually(t, "the job is done, and it is retried", func() bool { return apiCall(t, srv, http.MethodPost, "/webhooks"+path, "").Status == 202 })
		<-inside
		hooksCall(t, srv, http.MethodPost, path, "", http.StatusConflict, nil)
		close(leave)
		r.next(t)
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	srv := startHooked(t, inMemory, herald.Config{}, time.Millisecond)
	var first time.Time
	r := receiveHooks(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	createHook(t, srv, `{"url":"`+r.url+`"}`)
	publish(t, srv, herald.Logout{UserID: "u-1"})
	r.next(t)
	first = time.Now()
	r.next(t)
	if took := time.Since(first); took < 900*time.Millisecond {
		t.Errorf("the second came after %v, want a second", took)
	}
}

// TestGoneDisables: what waits is dead, the fact is an event, and enabling begins anew.
func TestGoneDisables(t *testing.T) {
	overStores(t, func(t *testing.T, storeURL string) {
		srv := startHooked(t, storeURL, herald.Config{}, time.Hour)
		r := receiveHooks(t, status(http.StatusInternalServerError))
		watcher := receiveHooks(t, status(http.StatusOK))
		hook := createHook(t, srv, `{"url":"`+r.url+`","events":["logout","login.*"]}`)
		createHook(t, srv, `{"url":"`+watcher.url+`","events":["webhook.*"]}`)
		publish(t, srv, herald.Logout{UserID: "u-1"}) // waits for an hour
		r.next(t)
		eventually(t, "the attempt is noted", func() bool { return len(attempts(t, srv, hook.ID)) == 1 })
		r.answers(status(http.StatusGone))
		publish(t, srv, herald.LoginFailed{Email: "e"})
		r.next(t)
		m := watcher.next(t)
		var disabled herald.WebhookDisabled
		if err := json.Unmarshal(m.Data, &disabled); err != nil || m.Type != "webhook.disabled" || disabled.WebhookID != hook.ID || disabled.Reason != "gone" || disabled.FailingSince == nil {
			t.Errorf("got %s (%v), want webhook.disabled, gone", m.body, err)
		}
		var now hookBody
		hooksCall(t, srv, http.MethodGet, "/"+hook.ID, "", http.StatusOK, &now)
		if now.Enabled || now.Secret != "" || now.FailingSince == "" {
			t.Errorf("got %+v, want it disabled", now)
		}
		eventually(t, "both jobs are dead", func() bool {
			var stats struct{ Dead, Failed int }
			_ = json.Unmarshal([]byte(apiCall(t, srv, http.MethodGet, "/jobs/stats", "").Body), &stats)
			return stats.Dead == 2 && stats.Failed == 0
		})
		hooksCall(t, srv, http.MethodPost, "/"+hook.ID+"/test", "", http.StatusConflict, nil)
		r.answers(status(http.StatusOK))
		hooksCall(t, srv, http.MethodPatch, "/"+hook.ID, `{"enabled":true}`, http.StatusOK, &now)
		hooksCall(t, srv, http.MethodPost, "/"+hook.ID+"/retry", `{"since":"2020-01-01T00:00:00Z"}`, http.StatusAccepted, nil)
		if got := []string{r.next(t).Type, r.next(t).Type}; !slices.Contains(got, "logout") || !slices.Contains(got, "login.failed") {
			t.Errorf("got %v, want both", got)
		}
	})
}

func TestRotationSignsWithBoth(t *testing.T) {
	srv := startHooked(t, inMemory, herald.Config{})
	r := receiveHooks(t, status(http.StatusOK))
	hook := createHook(t, srv, `{"url":"`+r.url+`","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`)
	if hook.Secret != "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" {
		t.Errorf("the secret is %q", hook.Secret)
	}
	var fresh struct{ Secret string }
	hooksCall(t, srv, http.MethodPost, "/"+hook.ID+"/rotate", "", http.StatusOK, &fresh)
	hooksCall(t, srv, http.MethodPost, "/"+hook.ID+"/test", "", http.StatusAccepted, nil)
	m := r.next(t)
	if m.Type != "webhook.test" || len(strings.Fields(m.header.Get("webhook-signature"))) != 2 {
		t.Errorf("got %s with %q", m.body, m.header.Get("webhook-signature"))
	}
	for _, secret := range []string{hook.Secret, fresh.Secret} {
		if err := herald.VerifyWebhook(secret, m.header, m.body); err != nil {
			t.Errorf("VerifyWebhook: %v", err)
		}
	}
	if err := herald.VerifyWebhook("whsec_"+strings.Repeat("AAAA", 10), m.header, m.body); err == nil {
		t.Error("any secret will do")
	}
}

// TestATestIsForOneWebhook: another that wants everything does not get it.
func TestATestIsForOneWebhook(t *testing.T) {
	overStores(t, func(t *testing.T, storeURL string) {
		srv := startHooked(t, storeURL, herald.Config{})
		one, other := receiveHooks(t, status(http.StatusOK)), receiveHooks(t, status(http.StatusOK))
		hook := createHook(t, srv, `{"url":"`+one.url+`","events":["user.*"]}`)
		createHook(t, srv, `{"url":"`+other.url+`"}`)
		hooksCall(t, srv, http.MethodPost, "/"+hook.ID+"/test", "", http.StatusAccepted, nil)
		one.next(t)
		publish(t, srv, herald.Logout{UserID: "u-1"})
		if got := other.next(t).Type; got != "logout" {
			t.Errorf("the other got %s, want logout", got)
		}
	})
}

func TestAPausedWebhookWaits(t *testing.T) {
	overStores(t, func(t *testing.T, storeURL string) {
		srv := startHooked(t, storeURL, herald.Config{})
		r := receiveHooks(t, status(http.StatusOK))
		hook := createHook(t, srv, `{"url":"`+r.url+`","paused":true}`)
		publish(t, srv, herald.Logout{UserID: "u-1"})
		eventually(t, "its job has looked", func() bool {
			return strings.Contains(apiCall(t, srv, http.MethodGet, "/jobs?type=webhook.deliver&status=pending", "").Body, `"attempts":0`)
		})
		if n := len(r.got); n > 0 {
			t.Errorf("%d came while it was paused", n)
		}
		hooksCall(t, srv, http.MethodPatch, "/"+hook.ID, `{"paused":false}`, http.StatusOK, nil)
		r.next(t)
	})
}

// TestOrderIsKept: past one that fails nothing is sent until it has arrived.
func TestOrderIsKept(t *testing.T) {
	overStores(t, func(t *testing.T, storeURL string) {
		srv := startHooked(t, storeURL, herald.Config{}, 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond)
		fails := 2
		r := receiveHooks(t, nil)
		r.answers(func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("webhook-id") == "e-003" && fails > 0 {
				fails--
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		createHook(t, srv, `{"url":"`+r.url+`","ordered":true}`)
		const events = 40
		var want []string
		for i := range events {
			id := fmt.Sprintf("e-%03d", i)
			publish(t, srv, herald.Event{ID: id, Payload: herald.Logout{UserID: "u-1"}})
			want = append(want, id)
			if i == 3 {
				want = append(want, id, id)
			}
		}
		for i, id := range want {
			if got := r.next(t).ID; got != id {
				t.Fatalf("message %d is %s, want %s", i, got, id)
			}
		}
	})
}

func TestWhatWebhooksRefuse(t *testing.T) {
	srv := startStored(t, inMemory, herald.Config{})
	for body, path := range map[string]string{
		`{"url":"http://example.com"}`:                            "url",
		`{"url":"https://127.0.0.1/"}`:                            "url",
		`{"url":"https://[::ffff:10.0.0.1]/"}`:                    "url",
		`{"url":"https://localhost/"}`:                            "url",
		`{"url":"ftp://example.com"}`:                             "url",
		`{"url":""}`:                                              "url",
		`{}`:                                                      "url",
		`{"url":"https://example.com","events":["a b"]}`:          "events[0]",
		`{"url":"https://example.com","events":"user.*"}`:         "events",
		`{"url":"https://example.com","secret":"hunter2"}`:        "secret",
		`{"url":"https://example.com","secret":"whsec_c2hvcnQ="}`: "secret",
		`{"url":"https://example.com","enabled":"yes"}`:           "enabled",
		`{"url":"https://example.com","concurrency":-1}`:          "concurrency",
		`{"url":"https://example.com","rate":"1"}`:                "rate",
		`{"url":"https://example.com","id":"mine"}`:               "id",
	} {
		answer := apiCall(t, srv, http.MethodPost, "/webhooks", body)
		if answer.Status != 400 || !strings.Contains(answer.Body, `"path":"`+path+`"`) || !strings.Contains(answer.Body, `"BAD_REQUEST"`) {
			t.Errorf("%s: got %d %s, want 400 with %s", body, answer.Status, answer.Body, path)
		}
	}
	for _, path := range []string{"/wh-none", "/wh-none/attempts"} {
		hooksCall(t, srv, http.MethodGet, path, "", http.StatusNotFound, nil)
	}
	for _, path := range []string{"/wh-none/rotate", "/wh-none/test", "/attempts/att-none/retry"} {
		hooksCall(t, srv, http.MethodPost, path, "", http.StatusNotFound, nil)
	}
	hooksCall(t, srv, http.MethodDelete, "/wh-none", "", http.StatusNotFound, nil)
	hooksCall(t, srv, http.MethodPatch, "/wh-none", "{}", http.StatusNotFound, nil)
	hook := createHook(t, srv, `{"url":"https://example.com"}`)
	for _, body := range []string{`{"since":"yesterday"}`, `{}`, ``} {
		hooksCall(t, srv, http.MethodPost, "/"+hook.ID+"/retry", body, http.StatusBadRequest, nil)
	}
	hooksCall(t, srv, http.MethodPatch, "/"+hook.ID, `{"url":"https://10.0.0.1"}`, http.StatusBadRequest, nil)
}

func TestWebhooksAreListedChangedAndRemoved(t *testing.T) {
	srv := startStored(t, inMemory, herald.Config{})
	const url = "https://example.com/hooks"
	var ids []string
	for range 3 { // several of one URL
		ids = append(ids, createHook(t, srv, `{"url":"`+url+`","events":["order.*","user.*"]}`).ID)
	}
	h := createHook(t, srv, `{"url":"`+url+`","events":["order.paid"]}`)
	if len(h.Warnings) != 1 || !strings.Contains(h.Warnings[0], "order.paid") {
		t.Errorf("got the warnings %q, want one of order.paid", h.Warnings)
	}
	publish(t, srv, herald.Event{Type: "order.paid"})
	if h := createHook(t, srv, `{"url":"`+url+`","events":["order.*"]}`); len(h.Warnings) > 0 {
		t.Errorf("got the warnings %q of a type that was published", h.Warnings)
	}
	var page struct {
		Webhooks   []hookBody
		NextCursor string
	}
	var listed []string
	for query := "?limit=2"; ; query = "?limit=2&cursor=" + page.NextCursor {
		page.NextCursor = ""
		hooksCall(t, srv, http.MethodGet, query, "", http.StatusOK, &page)
		for _, h := range page.Webhooks {
			listed = append(listed, h.ID)
			if h.Secret != "" {
				t.Error("a secret is listed")
			}
		}
		if page.NextCursor == "" {
			break
		}
	}
	if len(listed) != 5 || !slices.Equal(listed[:3], ids) {
		t.Errorf("got %v, want 5 that begin with %v", listed, ids)
	}
	var changed hookBody
	hooksCall(t, srv, http.MethodPatch, "/"+ids[0], `{"events":[],"paused":true,"ordered":true,"rate":2.5,"concurrency":3,"description":"d"}`, http.StatusOK, &changed)
	hooksCall(t, srv, http.MethodGet, "/"+ids[0], "", http.StatusOK, &changed)
	if len(changed.Events) != 0 || !changed.Paused || !changed.Ordered || changed.Rate != 2.5 || changed.Concurrency != 3 || changed.Description != "d" || changed.URL != url {
		t.Errorf("got %+v", changed)
	}
	hooksCall(t, srv, http.MethodDelete, "/"+ids[0], "", http.StatusNoContent, nil)
	hooksCall(t, srv, http.MethodGet, "/"+ids[0], "", http.StatusNotFound, nil)
}

func TestAttemptsArePaged(t *testing.T) {
	overStores(t, func(t *testing.T, storeURL string) {
		srv := startHooked(t, storeURL, herald.Config{})
		r := receiveHooks(t, status(http.StatusOK))
		hook, other := createHook(t, srv, `{"url":"`+r.url+`"}`), createHook(t, srv, `{"url":"`+r.url+`"}`)
		for i := range 5 {
			publish(t, srv, herald.Event{ID: "e-" + strconv.Itoa(i), Payload: herald.Logout{UserID: "u"}})
		}
		eventually(t, "all attempts are noted", func() bool { return len(attempts(t, srv, hook.ID)) == 5 })
		var page struct {
			Attempts   []attemptBody
			NextCursor string
		}
		seen := map[string]bool{}
		for query := "?limit=2"; ; query = "?limit=2&cursor=" + page.NextCursor {
			page.NextCursor = ""
			hooksCall(t, srv, http.MethodGet, "/"+hook.ID+"/attempts"+query, "", http.StatusOK, &page)
			for _, a := range page.Attempts {
				seen[a.EventID] = true
			}
			if page.NextCursor == "" {
				break
			}
			for _, list := range []string{"/" + other.ID + "/attempts", ""} {
				hooksCall(t, srv, http.MethodGet, list+"?cursor="+page.NextCursor, "", http.StatusBadRequest, nil)
			}
		}
		if len(seen) != 5 {
			t.Errorf("got the events %v, want 5", seen)
		}
	})
}

// TestFailingForDaysDisables: not before five of them are over, and not where anything has arrived meanwhile.
func TestFailingForDaysDisables(t *testing.T) {
	time0 := clock.NewManual(time.Now())
	srv := startHooked(t, inMemory, herald.WithClock(herald.Config{}, time0))
	r := receiveHooks(t, status(http.StatusInternalServerError))
	watcher := receiveHooks(t, status(http.StatusOK))
	hook := createHook(t, srv, `{"url":"`+r.url+`","events":["logout"]}`)
	createHook(t, srv, `{"url":"`+watcher.url+`","events":["webhook.disabled"]}`)
	n := 0
	deliver := func(code int) {
		t.Helper()
		r.answers(status(code))
		publish(t, srv, herald.Logout{UserID: "u-1"})
		r.next(t)
		n++
		eventually(t, "the attempt is noted", func() bool { return len(attempts(t, srv, hook.ID)) == n })
	}
	deliver(500)
	time0.Advance(4 * 24 * time.Hour)
	deliver(200)
	deliver(500)
	time0.Advance(5*24*time.Hour - time.Minute)
	deliver(500)
	var now hookBody
	hooksCall(t, srv, http.MethodGet, "/"+hook.ID, "", http.StatusOK, &now)
	if !now.Enabled || now.FailingSince == "" {
		t.Errorf("before five days: got %+v, want it enabled and failing", now)
	}
	time0.Advance(2 * time.Minute)
	deliver(500)
	m := watcher.next(t)
	if !strings.Contains(string(m.Data), `"reason":"failing"`) || !strings.Contains(string(m.Data), hook.ID) {
		t.Errorf("got %s", m.body)
	}
	hooksCall(t, srv, http.MethodGet, "/"+hook.ID, "", http.StatusOK, &now)
	if now.Enabled {
		t.Errorf("after five days: got %+v, want it disabled", now)
	}
}
