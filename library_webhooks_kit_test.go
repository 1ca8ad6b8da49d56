package herald_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// hookBody is a webhook as the server API shows it.
type hookBody struct {
	ID, URL, Secret, FailingSince, CreatedAt, Description string
	Events, Warnings                                      []string
	Enabled, Paused, Ordered                              bool
	Concurrency                                           int
	Rate                                                  float64
}

// attemptBody is a try to deliver as the server API shows it.
type attemptBody struct {
	ID, WebhookID, EventID, Error, Response, At string
	Try, Status                                 int
	DurationMs                                  *int64
}

// hooksCall makes a call of the webhooks' API, whose answer is read into v unless that is nil.
func hooksCall(t *testing.T, srv *heraldtest.Server, method, path, body string, status int, v any) {
	t.Helper()
	answer := apiCall(t, srv, method, "/webhooks"+path, body)
	if answer.Status != status {
		t.Fatalf("%s /webhooks%s: got %d %s, want %d", method, path, answer.Status, answer.Body, status)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal([]byte(answer.Body), v); err != nil {
		t.Fatalf("%s /webhooks%s: %v in %s", method, path, err, answer.Body)
	}
}

func createHook(t *testing.T, srv *heraldtest.Server, body string) (h hookBody) {
	t.Helper()
	hooksCall(t, srv, http.MethodPost, "", body, http.StatusCreated, &h)
	return h
}

func attempts(t *testing.T, srv *heraldtest.Server, id string) []attemptBody {
	t.Helper()
	var page struct{ Attempts []attemptBody }
	hooksCall(t, srv, http.MethodGet, "/"+id+"/attempts", "", http.StatusOK, &page)
	return page.Attempts
}

// hookMessage is what a receiver got.
type hookMessage struct {
	header http.Header
	body   []byte
	Type   string
	ID     string
	Data   json.RawMessage
	At     string `json:"timestamp"`
}

// hookReceiver is an endpoint that hands on what it gets, and answers as it is told.
type hookReceiver struct {
	url string
	got chan hookMessage

	mu     sync.Mutex // guards the field below
	answer http.HandlerFunc
}

func receiveHooks(t *testing.T, answer http.HandlerFunc) *hookReceiver {
	t.Helper()
	r := &hookReceiver{got: make(chan hookMessage, 1000), answer: answer}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		m := hookMessage{header: req.Header, body: body}
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err != nil {
			t.Errorf("a receiver got %s: %v", body, err)
		}
		r.mu.Lock()
		answer := r.answer
		r.mu.Unlock()
		answer(w, req)
		r.got <- m
	}))
	t.Cleanup(web.Close)
	r.url = web.URL
	return r
}

func (r *hookReceiver) answers(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// next is the next message.
func (r *hookReceiver) next(t *testing.T) hookMessage {
	t.Helper()
	select {
	case m := <-r.got:
		return m
	case <-time.After(patience):
		t.Fatal("no message came")
		return hookMessage{}
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// startHooked starts a server that may deliver to this machine.
func startHooked(t *testing.T, storeURL string, config herald.Config, retry ...time.Duration) *heraldtest.Server {
	t.Helper()
	config.Webhooks = herald.WebhookConfig{AllowPrivate: true, Retry: append([]time.Duration{}, retry...)}
	return startStored(t, storeURL, config)
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	for !is() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("not in time: %s", what)
		}
	}
}
