package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// book is what the world outside knows of servers that crash: what they have said, and what has arrived from them.
type book struct {
	storeURL string
	secret   string // of the webhook

	mu       sync.Mutex // guards the fields below
	accepted map[string]bool
	told     map[string]bool
	ran      map[string]bool
	messages map[string]string // by the event: the id under which the webhook has brought it
	arrived  map[string]bool   // by the event: whether it was taken
	posts    int
	faults   []error // of what has arrived
}

// newBook makes a webhook for all events in an empty store, and receives what it brings.
func newBook(t *testing.T, storeURL string) *book {
	t.Helper()
	b := &book{
		storeURL: storeURL, accepted: map[string]bool{}, told: map[string]bool{}, ran: map[string]bool{},
		messages: map[string]string{}, arrived: map[string]bool{},
	}
	web := httptest.NewServer(b)
	t.Cleanup(web.Close)
	store, err := Open(t.Context(), storeURL, Config{Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { // the servers have it alone
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	srv, err := herald.New(crashConfig(store, testLogger(t)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	defer func() {
		end()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	<-srv.Started()
	b.secret = addWebhook(t, srv, web.URL)
	return b
}

// addWebhook returns the webhook's secret.
func addWebhook(t *testing.T, srv *herald.Server, url string) string {
	t.Helper()
	status, body := answerOf(t, srv, http.MethodPost, "/api/v1/webhooks", `{"url":"`+url+`","concurrency":100}`)
	var made struct{ Secret string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || made.Secret == "" {
		t.Fatalf("make a webhook: got %d %s", status, body)
	}
	return made.Secret
}

// answerOf is what a server answers.
func answerOf(t *testing.T, srv *herald.Server, method, path, body string) (int, string) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+crashKey)
	req.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	srv.Handler().ServeHTTP(answer, req)
	return answer.Code, answer.Body.String()
}

// heard writes down what a process has said.
func (b *book) heard(_ *process, what, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch what {
	case sayAccepted:
		b.accepted[id] = true
	case sayTold:
		b.told[id] = true
	case sayRan:
		b.ran[id] = true
	}
}

func (b *book) acceptedCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.accepted)
}

// refuseEach is how many messages there are to one that the endpoint refuses, so that messages are tried again too.
const refuseEach = 20

// ServeHTTP is the webhook's endpoint.
func (b *book) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the server was killed while it sent this
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	of, err := b.message(r.Header, body)
	if err != nil {
		b.faults = append(b.faults, err)
	}
	if b.posts++; b.posts%refuseEach == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	b.arrived[of] = true
	w.WriteHeader(http.StatusNoContent)
}

// message tells which event a message brings, and what is wrong with it. b.mu is held.
func (b *book) message(header http.Header, body []byte) (of string, err error) {
	if err := herald.VerifyWebhook(b.secret, header, body); err != nil {
		return "", err
	}
	var m struct {
		Type string
		Data struct{ Of string }
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Type != "crash.noted" {
		return "", fmt.Errorf("the message is %s: %v", body, err)
	}
	of = m.Data.Of
	id := header.Get("webhook-id")
	if before, known := b.messages[of]; known && before != id {
		return of, fmt.Errorf("the message of %s has come as %s and as %s", of, before, id)
	}
	b.messages[of] = id
	return of, nil
}

// awaitDrained waits until the store has nothing to do. With the race detector SQLite is slow, and looking is dear too.
func (b *book) awaitDrained(t *testing.T, s *Store) {
	t.Helper()
	eventuallyWithin(t, 3*patience, 100*time.Millisecond, func() error { return b.drained(t.Context(), s) })
}

// drained says what the store has still to do; nil: nothing, and all is as it was promised.
func (b *book) drained(ctx context.Context, s *Store) error {
	var kept, done, at int
	err := s.db.query(ctx, func(r row) error { return r.Scan(&kept, &done, &at) },
		"SELECT (SELECT COUNT(*) FROM herald_events), (SELECT COUNT(*) FROM herald_webhook_deliveries WHERE state = 'done'), "+
			"(SELECT seq FROM herald_cursors WHERE name = '"+brokerCursor+"')")
	if err != nil {
		return err
	}
	if done != kept || at != kept {
		return fmt.Errorf("of %d events %d are delivered, and told up to the %d.", kept, done, at)
	}
	stats, err := s.JobStats(ctx)
	want := herald.JobStats{herald.JobCompleted: int64(2 * kept)} // the handler's, and the delivery
	if err == nil && fmt.Sprint(stats) != fmt.Sprint(want) {
		err = fmt.Errorf("the jobs are %v, want %v", stats, want)
	}
	return err
}

// check compares what is kept with what is known of it.
func (b *book) check(t *testing.T, s *Store) {
	t.Helper()
	kept := map[string]bool{}
	err := s.db.query(t.Context(), func(r row) error {
		var id string
		err := r.Scan(&id)
		if kept[id] {
			t.Errorf("%s is in the audit log twice", id)
		}
		kept[id] = true
		return err
	}, "SELECT event_id FROM herald_audit")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Verify(t.Context(), nil); err != nil || int(n) != len(kept) {
		t.Errorf("Verify: got %d entries and %v, want %d", n, err, len(kept))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.accepted) == 0 {
		t.Error("nothing was accepted")
	}
	for id := range b.accepted {
		if !kept[id] {
			t.Errorf("%s was accepted, and is not in the audit log", id)
		}
	}
	for id := range kept { // also of what was accepted without that anybody was told
		if !b.told[id] || !b.ran[id] || !b.arrived[id] {
			t.Errorf("%s is kept; told: %v, its job has run: %v, its message has arrived: %v", id, b.told[id], b.ran[id], b.arrived[id])
		}
	}
	of := map[string]string{}
	for event, id := range b.messages {
		if of[id] != "" {
			t.Errorf("the messages of %s and %s are both %s", of[id], event, id)
		}
		of[id] = event
	}
	if err := errors.Join(b.faults...); err != nil {
		t.Errorf("what has arrived: %v", err)
	}
	t.Logf("%d events were accepted and %d kept; %d messages came", len(b.accepted), len(kept), b.posts)
}
