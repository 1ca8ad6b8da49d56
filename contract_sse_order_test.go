package herald_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// The messages of one channel reach every subscriber in the same order, whatever it is connected with.
func TestAChannelHasOneOrder(t *testing.T) {
	const publishers, each = 4, 50
	srv := startQuiet(t, herald.Config{})
	var readers []func() string
	for range 4 {
		st := srv.Stream(t, heraldtest.WithPath("/events?channels=a"))
		expectStream(t, st, succeeded("a"))
		readers = append(readers, func() string { return st.Next().Data })
		client := srv.Dial(t)
		client.Subscribe("a")
		readers = append(readers, func() string { return client.Next().Raw })
	}
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				broadcast(t, srv, "a", "e", fmt.Sprintf("%d-%d", p, i))
			}
		})
	}
	checkOneOrder(t, readers, publishers*each)
	wg.Wait()
}

// All domain events reach every connection in one order.
func TestDomainEventsHaveOneOrder(t *testing.T) {
	const publishers, each = 4, 50
	srv := startQuiet(t, herald.Config{})
	var readers []func() string
	for range 3 {
		st := eventStream(t, srv, "", srv.Token("ann", allEvents))
		readers = append(readers, func() string { return st.Next().ID })
	}
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				publish(t, srv, herald.Event{ID: fmt.Sprintf("%d-%d", p, i), Type: "a"})
			}
		})
	}
	checkOneOrder(t, readers, publishers*each)
	wg.Wait()
}

func checkOneOrder(t *testing.T, readers []func() string, n int) {
	t.Helper()
	first := make([]string, 0, n)
	for range n {
		first = append(first, readers[0]())
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(first))); len(distinct) != n {
		t.Fatalf("got %d different messages, want %d", len(distinct), n)
	}
	for r, read := range readers[1:] {
		for i, want := range first {
			if got := read(); got != want {
				t.Fatalf("reader %d, message %d: got %s, want %s", r+2, i+1, got, want)
			}
		}
	}
}

// Calls that come at once do not slip past the limit of channels.
func TestStreamJoinsAtOnceStayWithinTheLimit(t *testing.T) {
	const most, calls = 5, 40
	srv := startQuiet(t, herald.Config{Limits: herald.Limits{MaxChannels: most}, Authorizer: naming(herald.Member{ID: "ann"})})
	st := srv.Stream(t)
	var joined, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			switch got := streamCall(t, srv, "subscribe", st.ConnectionID, "presence-"+strconv.Itoa(i)); got.Status {
			case http.StatusOK:
				joined.Add(1)
			case http.StatusBadRequest:
				refused.Add(1)
			default:
				t.Errorf("got %d %s", got.Status, got.Body)
			}
		})
	}
	wg.Wait()
	if joined.Load() != most || refused.Load() != calls-most {
		t.Errorf("got %d joined and %d refused, want %d and %d", joined.Load(), refused.Load(), most, calls-most)
	}
	if got := len(must(srv.Channels(t.Context()))); got != most {
		t.Errorf("got %d channels, want %d", got, most)
	}
}
