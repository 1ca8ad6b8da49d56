package chore

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

func TestEachNumberIsCalledOnce(t *testing.T) {
	var calls, sum atomic.Int64
	r, err := Plan{Workers: 7, Most: 100, Duration: time.Hour}.Run(t.Context(), func(_ context.Context, n int) error {
		calls.Add(1)
		sum.Add(int64(n))
		return nil
	})
	if err != nil || r.Calls != 100 || calls.Load() != 100 || sum.Load() != 99*100/2 || r.Took.Count() != 100 {
		t.Errorf("got %d calls of %d and %v, want the numbers 0 to 99", calls.Load(), r.Calls, err)
	}
	if r.Ended.Before(r.Begun) || r.Rate() <= 0 {
		t.Errorf("got %v to %v, %v a second", r.Begun, r.Ended, r.Rate())
	}
}

func TestTheTimeEndsCalls(t *testing.T) {
	r, err := Plan{Workers: 2, Duration: 20 * time.Millisecond}.Run(t.Context(), func(context.Context, int) error { return nil })
	if err != nil || r.Calls == 0 {
		t.Errorf("got %d calls and %v, want some", r.Calls, err)
	}
}

func TestAnErrorEndsAllCalls(t *testing.T) {
	want := errors.New("refused")
	r, err := Plan{Workers: 3}.Run(t.Context(), func(ctx context.Context, n int) error {
		if n == 10 {
			return want
		}
		return nil
	})
	if !errors.Is(err, want) {
		t.Errorf("got %d calls and %v, want %v", r.Calls, err, want)
	}
}

// TestResultsTravel: what the server has timed arrives with the runner, and what it refuses too.
func TestResultsTravel(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var plan Plan
		if err := json.NewDecoder(req.Body).Decode(&plan); err != nil || plan.Most != 5 {
			http.Error(w, "no plan", http.StatusBadRequest)
			return
		}
		r := Result{Calls: plan.Most, Lost: 1, Begun: time.Unix(1, 0), Ended: time.Unix(3, 0)}
		r.Took.Add(time.Second)
		if err := json.NewEncoder(w).Encode(&r); err != nil {
			t.Error(err)
		}
	}))
	defer web.Close()
	at, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	var got Result
	if err := Ask(t.Context(), port, Jobs, Plan{Most: 5}, &got); err != nil || got.Calls != 5 || got.Lost != 1 || got.Rate() != 2.5 || got.Took.Max() != time.Second {
		t.Errorf("got %+v and %v", got, err)
	}
	if err := Ask(t.Context(), port, Jobs, Plan{}, &got); err == nil {
		t.Error("got no error of a plan that is refused")
	}
}
