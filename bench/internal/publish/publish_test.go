package publish

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald/bench/internal/load"
)

// call is what a server hears.
type call struct {
	Channel, Event, Data string
}

// startCounter answers every call with the status, and notes what it hears.
func startCounter(t *testing.T, status int) (Target, func() []call) {
	t.Helper()
	var (
		mu    sync.Mutex // guards calls
		calls []call
	)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c call
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			t.Errorf("a body cannot be read: %v", err)
		}
		if got := r.Header.Get("Authorization"); got != "Bearer key" {
			t.Errorf("got the authorization %q", got)
		}
		mu.Lock()
		calls = append(calls, c)
		mu.Unlock()
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"ok":true}`))
	}))
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return Target{Port: n, Path: "/publish", Key: "key"}, func() []call {
		mu.Lock()
		defer mu.Unlock()
		return calls
	}
}

func TestAFloodGoesOverTheChannelsInTurn(t *testing.T) {
	target, calls := startCounter(t, http.StatusOK)
	begun := time.Now()
	got, err := Run(t.Context(), target, Plan{Channels: 3, Size: 128, Duration: time.Minute, Most: 100})
	if err != nil {
		t.Fatal(err)
	}
	if got.Messages != 100 || got.Channel[0] != 34 || got.Channel[1] != 33 || got.Channel[2] != 33 || got.Refused != 0 {
		t.Errorf("got %+v, want 34, 33 and 33 messages", got)
	}
	if n := len(calls()); n != 100 {
		t.Errorf("the server heard %d calls, want 100", n)
	}
	for _, c := range calls() {
		digits := strings.TrimRight(strings.TrimPrefix(c.Data, string(load.Marker)), "x")
		nanos, err := strconv.ParseInt(digits, 10, 64)
		if stamp := time.Unix(0, nanos); err != nil || stamp.Before(begun) || stamp.After(got.Ended) {
			t.Errorf("the data %q has no stamp of the time of the run", c.Data)
		}
		if len(c.Data) != 128-len(`""`) || c.Event != Event || strings.Count(c.Data, string(load.Marker)) != 1 {
			t.Errorf("got %+v, want 128 bytes of data with one marker", c)
		}
	}
}

func TestAPaceIsKept(t *testing.T) {
	target, _ := startCounter(t, http.StatusOK)
	got, err := Run(t.Context(), target, Plan{Channels: 1, Size: 64, Rate: 1000, Duration: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if got.Messages != 50 {
		t.Errorf("got %d messages, want the 50 that were due", got.Messages)
	}
}

func TestRefusedCallsAreNotPublished(t *testing.T) {
	target, _ := startCounter(t, http.StatusServiceUnavailable)
	got, err := Run(t.Context(), target, Plan{Channels: 1, Size: 64, Duration: time.Minute, Most: 8})
	if err != nil {
		t.Fatal(err)
	}
	if got.Messages != 0 || got.Refused != 8 {
		t.Errorf("got %d messages and %d refused, want 0 and 8", got.Messages, got.Refused)
	}
}

func TestAnAnswerIsReadToItsEnd(t *testing.T) {
	const good = "HTTP/1.1 201 Created\r\ncontent-length:  2\r\nA: b\r\n\r\nok"
	r := bufio.NewReader(strings.NewReader(good + "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"))
	for _, want := range []int{201, 500} {
		if got, err := readAnswer(r); got != want || err != nil {
			t.Errorf("got %d, %v, want %d", got, err, want)
		}
	}
	for _, bad := range []string{"", "HTTP", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"} {
		if status, err := readAnswer(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%q: got %d, want an error", bad, status)
		}
	}
}

// notebook is a publisher within the process.
type notebook struct{ stamps []time.Time }

func (n *notebook) Publish(_ context.Context, _ int, stamp time.Time) (bool, error) {
	n.stamps = append(n.stamps, stamp)
	return true, nil
}

func (n *notebook) Close() error { return nil }

// TestStampsTellTheOrderOfOnePublisher: also where messages are due faster than a timer goes off.
func TestStampsTellTheOrderOfOnePublisher(t *testing.T) {
	n := &notebook{}
	plan := Plan{Channels: 1, Rate: 100_000, Duration: 20 * time.Millisecond, Publishers: 1}
	got, err := With(t.Context(), plan, func(context.Context) (Publisher, error) { return n, nil })
	if err != nil {
		t.Fatal(err)
	}
	if got.Messages != 2000 || !slices.IsSortedFunc(n.stamps, time.Time.Compare) || len(slices.Compact(n.stamps)) != 2000 {
		t.Errorf("got %d messages, want 2000 whose stamps grow", got.Messages)
	}
}

// TestAServerIsAskedToPublish: plan and result survive the way.
func TestAServerIsAskedToPublish(t *testing.T) {
	plan := Plan{Channels: 2, Size: 256, Rate: 5, Duration: time.Second, Most: 7, Publishers: 3}
	want := Result{Messages: 3, Channel: []int{2, 1}, Begun: time.Unix(1, 2).UTC(), Ended: time.Unix(3, 4).UTC()}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var got Plan
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil || got != plan || r.URL.Path != InProcess {
			t.Errorf("the server is asked for %+v, %v at %s", got, err, r.URL.Path)
		}
		if err := json.NewEncoder(w).Encode(want); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	port := srv.Listener.Addr().(*net.TCPAddr).Port
	if got, err := Ask(t.Context(), port, plan); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
