package herald_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// mail is the payload of a job.
type mail struct {
	To string `json:"to"`
	N  int    `json:"n"`
}

// jobBody is a job as the server API shows it.
type jobBody struct {
	ID, Type, Status, Queue, LastError string
	Attempts, MaxAttempts              int
	Payload                            json.RawMessage
	CreatedAt, RunAt, FinishedAt       string
}

// handle has jobs handled before the server runs.
func handle[T any](t *testing.T, jobType string, handler func(context.Context, T) error, opts ...herald.JobOption) func(*herald.Server) {
	return func(srv *herald.Server) {
		if err := herald.Handle(srv, jobType, handler, opts...); err != nil {
			t.Fatalf("Handle: %v", err)
		}
	}
}

func submit(t *testing.T, srv *heraldtest.Server, jobType string, payload any, opts ...herald.JobOption) herald.Job {
	t.Helper()
	j, err := srv.Submit(t.Context(), jobType, payload, opts...)
	if err != nil {
		t.Fatalf("Submit: %v", err)
	}
	return j
}

// jobCall makes a call that answers with a job.
func jobCall(t *testing.T, srv *heraldtest.Server, method, path string, status int) (j jobBody) {
	t.Helper()
	answer := apiCall(t, srv, method, path, "")
	if err := json.Unmarshal([]byte(answer.Body), &j); err != nil || answer.Status != status {
		t.Fatalf("%s %s: got %d %s, want %d", method, path, answer.Status, answer.Body, status)
	}
	return j
}

// awaitJob waits until a job has a status.
func awaitJob(t *testing.T, srv *heraldtest.Server, id int64, status herald.JobStatus) jobBody {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	for {
		j := jobCall(t, srv, http.MethodGet, fmt.Sprint("/jobs/", id), http.StatusOK)
		if j.Status == string(status) {
			return j
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("job %d is %s, want %s", id, j.Status, status)
		}
	}
}

func TestAJobReachesItsHandler(t *testing.T) {
	got := make(chan mail, 1)
	srv := startStored(t, inMemory, herald.Config{}, handle(t, "email.send", func(_ context.Context, m mail) error {
		got <- m
		return nil
	}, herald.MaxAttempts(7)))
	j := submit(t, srv, "email.send", mail{To: "ann@example.com", N: 1}, herald.Priority(1))
	if m := receive(t, got); m != (mail{"ann@example.com", 1}) {
		t.Errorf("got %+v", m)
	}
	done := awaitJob(t, srv, j.ID, herald.JobCompleted)
	if done.Type != "email.send" || string(done.Payload) != `{"to":"ann@example.com","n":1}` || done.MaxAttempts != 7 || done.Attempts != 1 ||
		done.Queue != "default" || done.CreatedAt == "" || done.RunAt == "" || done.FinishedAt == "" || done.LastError != "" {
		t.Errorf("got %+v", done)
	}
	counted := metricsOf(t, srv)
	for outcome, want := range map[string]float64{"completed": 1, "failed": 0} {
		series := fmt.Sprintf("herald_job_attempts_total{outcome=%q,type=%q}", outcome, "email.send")
		if got, there := counted[series]; got != want || !there {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
}

func TestAPanicIsAFailureWithItsStack(t *testing.T) {
	srv := startStored(t, inMemory, herald.Config{}, handle(t, "panic", func(context.Context, int) error { panic("oh no") }))
	j := awaitJob(t, srv, submit(t, srv, "panic", 1, herald.MaxAttempts(1)).ID, herald.JobDead)
	if !strings.HasPrefix(j.LastError, "panic: oh no\n") || !strings.Contains(j.LastError, "library_jobs_test.go") {
		t.Errorf("got %q, want the panic and where it was", j.LastError)
	}
}

func TestAPayloadThatDoesNotFitIsDead(t *testing.T) {
	srv := startStored(t, inMemory, herald.Config{}, handle(t, "count", func(context.Context, int) error { return nil }))
	j := awaitJob(t, srv, submit(t, srv, "count", "seven").ID, herald.JobDead)
	if j.Attempts != 1 || !strings.Contains(j.LastError, "decode the payload of count") {
		t.Errorf("got %+v", j)
	}
}

func TestJobsOverTheAPI(t *testing.T) {
	fail := make(chan error, 10)
	srv := startStored(t, inMemory, herald.Config{},
		handle(t, "flaky", func(ctx context.Context, _ int) error {
			select {
			case err := <-fail:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}),
		handle(t, "other", func(context.Context, int) error { return herald.GiveUp(errors.New("never")) }))
	fail <- herald.RetryAfter(time.Hour, errors.New("later"))
	flaky := submit(t, srv, "flaky", 1)
	awaitJob(t, srv, flaky.ID, herald.JobFailed)
	other := submit(t, srv, "other", 2)
	awaitJob(t, srv, other.ID, herald.JobDead)
	waiting := submit(t, srv, "other", 3, herald.RunAfter(time.Hour))
	expectAnswer(t, srv, http.MethodGet, "/jobs/stats", 200, `{"pending":1,"processing":0,"completed":0,"failed":1,"dead":1}`)

	expectJobs(t, srv, "", waiting.ID, other.ID, flaky.ID)
	expectJobs(t, srv, "?type=other", waiting.ID, other.ID)
	expectJobs(t, srv, "?status=dead", other.ID)
	expectJobs(t, srv, "?status=failed&type=flaky", flaky.ID)
	expectJobs(t, srv, "?status=completed")

	if j := jobCall(t, srv, http.MethodPost, fmt.Sprintf("/jobs/%d/retry", flaky.ID), 202); j.ID != fmt.Sprint(flaky.ID) || j.LastError != "later" {
		t.Errorf("retried %+v", j)
	}
	awaitJob(t, srv, flaky.ID, herald.JobProcessing)
	expectRefusal(t, srv, http.MethodPost, fmt.Sprintf("/jobs/%d/retry", flaky.ID), 409, "CONFLICT", "processing")
	expectRefusal(t, srv, http.MethodPost, fmt.Sprintf("/jobs/%d/retry", waiting.ID), 409, "CONFLICT", "pending")
	expectAnswer(t, srv, http.MethodPost, "/jobs/dead/retry", 202, `{"retried":1}`)
	awaitJob(t, srv, other.ID, herald.JobDead)
	expectAnswer(t, srv, http.MethodDelete, fmt.Sprintf("/jobs/%d", flaky.ID), 202, `{"cancelled":true}`)
	awaitJob(t, srv, flaky.ID, herald.JobDead)
	for _, j := range []herald.Job{flaky, other, waiting} {
		expectAnswer(t, srv, http.MethodDelete, fmt.Sprintf("/jobs/%d", j.ID), 204, "")
		expectRefusal(t, srv, http.MethodGet, fmt.Sprintf("/jobs/%d", j.ID), 404, "NOT_FOUND", "no job")
		expectRefusal(t, srv, http.MethodDelete, fmt.Sprintf("/jobs/%d", j.ID), 404, "NOT_FOUND", "no job")
		expectRefusal(t, srv, http.MethodPost, fmt.Sprintf("/jobs/%d/retry", j.ID), 404, "NOT_FOUND", "no job")
	}
	for _, path := range []string{"/jobs/0", "/jobs/-1", "/jobs/x", "/jobs/99999999999999999999"} {
		expectRefusal(t, srv, http.MethodGet, path, 404, "NOT_FOUND", "no job")
	}
	expectRefusal(t, srv, http.MethodDelete, "/jobs/stats", 405, "BAD_REQUEST", "GET, HEAD")
}

func expectAnswer(t *testing.T, srv *heraldtest.Server, method, path string, status int, body string) {
	t.Helper()
	if answer := apiCall(t, srv, method, path, ""); answer.Status != status || strings.TrimSpace(answer.Body) != body {
		t.Errorf("%s %s: got %d %s, want %d %s", method, path, answer.Status, answer.Body, status, body)
	}
}

func expectRefusal(t *testing.T, srv *heraldtest.Server, method, path string, status int, code, part string) {
	t.Helper()
	answer := apiCall(t, srv, method, path, "")
	if answer.Status != status || !strings.Contains(answer.Body, `"code":"`+code+`"`) || !strings.Contains(answer.Body, part) {
		t.Errorf("%s %s: got %d %s, want %d %s with %q", method, path, answer.Status, answer.Body, status, code, part)
	}
}

func expectJobs(t *testing.T, srv *heraldtest.Server, query string, want ...int64) {
	t.Helper()
	var page struct{ Jobs []jobBody }
	answer := apiCall(t, srv, http.MethodGet, "/jobs"+query, "")
	if err := json.Unmarshal([]byte(answer.Body), &page); err != nil || page.Jobs == nil {
		t.Fatalf("%s: got %d %s", query, answer.Status, answer.Body)
	}
	got := []int64{}
	for _, j := range page.Jobs {
		var id int64
		_, _ = fmt.Sscan(j.ID, &id)
		got = append(got, id)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got the jobs %v, want %v", query, got, want)
	}
}

func TestPagesOfJobs(t *testing.T) {
	srv := startStored(t, inMemory, herald.Config{})
	for i := range 5 {
		submit(t, srv, "aa", i, herald.RunAfter(time.Hour))
	}
	var page struct {
		Jobs       []jobBody
		NextCursor string
	}
	var got []string
	for path := "/jobs?limit=2"; ; path = "/jobs?limit=2&cursor=" + page.NextCursor {
		page.NextCursor = ""
		if err := json.Unmarshal([]byte(apiCall(t, srv, http.MethodGet, path, "").Body), &page); err != nil {
			t.Fatal(err)
		}
		for _, j := range page.Jobs {
			got = append(got, string(j.Payload))
		}
		if len(got) == 2 {
			for _, other := range []string{"/jobs?type=aa&cursor=", "/jobs?status=dead&cursor=", "/audit?cursor=", "/webhooks?cursor=", "/jobs?cursor=" + page.NextCursor + "&cursor="} {
				expectRefusal(t, srv, http.MethodGet, other+page.NextCursor, 400, "BAD_REQUEST", `"cursor"`)
			}
		}
		if page.NextCursor == "" {
			break
		}
	}
	if strings.Join(got, " ") != "4 3 2 1 0" {
		t.Errorf("got %v", got)
	}
	for _, query := range []string{"?status=lost", "?limit=0", "?cursor=x", "?type=a&type=b"} {
		expectRefusal(t, srv, http.MethodGet, "/jobs"+query, 400, "BAD_REQUEST", "details")
	}
}

// TestADurableHandlerIsRetried until it has succeeded.
func TestADurableHandlerIsRetried(t *testing.T) {
	calls := make(chan herald.Event, 10)
	first := true
	srv := startStored(t, inMemory, herald.Config{}, func(srv *herald.Server) {
		err := herald.OnDurable(srv, "user.*", "send-welcome", func(_ context.Context, e herald.Event) error {
			calls <- e
			if first { // one call at a time
				first = false
				return herald.RetryAfter(0, errors.New("the first is never good"))
			}
			return nil
		}, herald.MaxAttempts(10))
		if err != nil {
			t.Fatalf("OnDurable: %v", err)
		}
	})
	e := herald.Event{
		ID: "evt-1", Type: "user.registered", UserID: "ann", IP: "203.0.113.7",
		Timestamp: time.Date(2026, 2, 16, 12, 0, 0, 5e6, time.UTC), Payload: json.RawMessage(`{"n":1.0}`),
	}
	tell(t, srv.Server, e, e, herald.Event{Type: "login.failed"})
	for range 2 {
		if got := receive(t, calls); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", e) {
			t.Errorf("got %+v, want %+v", got, e)
		}
	}
	awaitJob(t, srv, 1, herald.JobCompleted)
	var report struct{ Jobs []jobBody }
	answer := apiCall(t, srv, http.MethodGet, "/events/evt-1", "")
	if err := json.Unmarshal([]byte(answer.Body), &report); err != nil || len(report.Jobs) != 1 || report.Jobs[0].Type != "send-welcome" {
		t.Errorf("the event is reported as %s, want its job", answer.Body)
	}
	expectAnswer(t, srv, http.MethodGet, "/jobs/stats", 200, `{"pending":0,"processing":0,"completed":1,"failed":0,"dead":0}`)
}

func TestWhatJobsRefuse(t *testing.T) {
	never := func(context.Context, int) error { return nil }
	var srv *herald.Server
	running := startStored(t, inMemory, herald.Config{Jobs: herald.JobsConfig{Queues: map[string]int{"mail": 1, "elsewhere": -1}}},
		func(s *herald.Server) {
			srv = s
			if err := herald.Handle(s, "known", never); err != nil {
				t.Fatal(err)
			}
			ignore := func(context.Context, herald.Event) error { return nil }
			for name, err := range map[string]error{
				"a handler twice":         herald.Handle(s, "known", never),
				"a durable handler twice": herald.OnDurable(s, "a", "known", ignore),
			} {
				expectCode(t, name, err, herald.CodeConflict)
			}
			for name, err := range map[string]error{
				"a bad type":           herald.Handle(s, "No Type", never),
				"a short type":         herald.Handle(s, "a", never),
				"a time of a type":     herald.Handle(s, "ok", never, herald.RunAfter(time.Second)),
				"a key of a type":      herald.Handle(s, "ok", never, herald.UniqueKey("k")),
				"a bad pattern":        herald.OnDurable(s, strings.Repeat("a*", 200), "ok", ignore),
				"a bad event type":     herald.OnDurable(s, "A", "ok", ignore),
				"a bad cron":           s.Every("n", "every now and then", "ok", 1),
				"a cron of no time":    s.Every("n", "0 0 30 2 *", "ok", 1),
				"a bad schedule":       s.Every("N", "* * * * *", "ok", 1),
				"a time of a schedule": s.Every("n", "* * * * *", "ok", 1, herald.RunAfter(time.Second)),
			} {
				expectCode(t, name, err, herald.CodeBadRequest)
			}
		})
	expectCode(t, "a handler of a running server", herald.Handle(srv, "late", never), herald.CodeConflict)
	for name, opt := range map[string]herald.JobOption{
		"no attempts":     herald.MaxAttempts(0),
		"a high priority": herald.Priority(5),
		"a past time":     herald.RunAfter(-time.Second),
		"no timeout":      herald.JobTimeout(0),
		"another queue":   herald.OnQueue("unknown"),
		"no key":          herald.UniqueKey(""),
		"a key with NUL":  herald.UniqueKey("a\x00"),
	} {
		_, err := running.Submit(t.Context(), "known", 1, opt)
		expectCode(t, name, err, herald.CodeBadRequest)
	}
	_, err := running.Submit(t.Context(), "known", make(chan int))
	expectCode(t, "no payload", err, herald.CodeBadRequest)
	_, err = running.Submit(t.Context(), "known", strings.Repeat("x", 2<<20))
	expectCode(t, "a long payload", err, herald.CodeTooLarge)
	expectCode(t, "a pause of another queue", running.PauseQueue(t.Context(), "unknown"), herald.CodeBadRequest)
	if j := submit(t, running, "known", 1, herald.OnQueue("elsewhere")); j.Status != herald.JobPending {
		t.Errorf("got %+v", j)
	}
}

func expectCode(t *testing.T, name string, err error, code herald.Code) {
	t.Helper()
	if !errors.Is(err, &herald.Error{Code: code}) {
		t.Errorf("%s: got %v, want %s", name, err, code)
	}
}

func TestWithoutAStoreThereAreNoJobs(t *testing.T) {
	srv := newServer(t, herald.Config{})
	_, submitted := srv.Submit(t.Context(), "any", 1)
	_, cancelled := srv.CancelJob(t.Context(), 1)
	for name, err := range map[string]error{
		"Handle": herald.Handle(srv, "any", func(context.Context, int) error { return nil }),
		"Submit": submitted, "CancelJob": cancelled, "Every": srv.Every("n", "* * * * *", "any", 1),
		"PauseQueue": srv.PauseQueue(t.Context(), "default"), "ResumeQueue": srv.ResumeQueue(t.Context(), "default"),
	} {
		expectCode(t, name, err, herald.CodeUnavailable)
	}
}

func TestBadQueuesAreNamed(t *testing.T) {
	_, err := herald.New(herald.Config{Jobs: herald.JobsConfig{Concurrency: -7, Queues: map[string]int{"No": 1, "much": 1 << 20}}})
	for _, part := range []string{`"No"`, `"much"`, `"default"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want something about %s", err, part)
		}
	}
}

// TestADrainLetsJobsFinish, and the store that they write to is there until they have.
func TestADrainLetsJobsFinish(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	var id int64
	srv := startStored(t, inMemory, herald.Config{DrainTimeout: patience}, handle(t, "slow", func(ctx context.Context, _ int) error {
		close(started)
		<-finish
		return nil
	}))
	id = submit(t, srv, "slow", 1).ID
	receive(t, started)
	closed := make(chan error, 1)
	go func() { closed <- srv.Close(context.WithoutCancel(t.Context())) }()
	for look := time.NewTicker(time.Millisecond); httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/readyz", "").Status == http.StatusOK; {
		<-look.C
	}
	close(finish)
	if err := receive(t, closed); err != nil {
		t.Errorf("Close: %v", err)
	}
	if j := jobCall(t, srv, http.MethodGet, fmt.Sprint("/jobs/", id), http.StatusOK); j.Status != "completed" {
		t.Errorf("after the drain the job is %s", j.Status)
	}
}
