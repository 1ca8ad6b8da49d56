package herald_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/herald-events/herald"
)

// newServer makes a server that is not run: the bus needs nobody to run it.
func newServer(t *testing.T, c herald.Config) *herald.Server {
	t.Helper()
	srv, err := herald.New(quiet(t, c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, srv) })
	return srv
}

func closeServer(t *testing.T, srv *herald.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := srv.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// receive waits for what a handler sends.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case v := <-c:
		return v
	case <-ctx.Done():
		t.Fatal("the handler was not called")
		panic("unreachable")
	}
}

func tell(t *testing.T, srv *herald.Server, payloads ...herald.Payload) {
	t.Helper()
	for _, p := range payloads {
		if err := srv.Publish(t.Context(), p); err != nil {
			t.Fatalf("publish %s: %v", p.EventType(), err)
		}
	}
}

func TestOnDecodesThePayload(t *testing.T) {
	srv := newServer(t, herald.Config{})
	placed := make(chan herald.Typed[orderPlaced], 1)
	if _, err := herald.On(srv, func(_ context.Context, e herald.Typed[orderPlaced]) error { placed <- e; return nil }); err != nil {
		t.Fatal(err)
	}
	byPointer := make(chan *herald.Logout, 1)
	if _, err := herald.On(srv, func(_ context.Context, e herald.Typed[*herald.Logout]) error { byPointer <- e.Payload; return nil }); err != nil {
		t.Fatal(err)
	}
	tell(t, srv, herald.UserRegistered{UserID: "ann"}, herald.Event{ID: "1", UserID: "ann", Payload: orderPlaced{"o", 1.5}}, herald.Logout{UserID: "bob"})
	if e := receive(t, placed); e.ID != "1" || e.UserID != "ann" || e.Payload != (orderPlaced{"o", 1.5}) {
		t.Errorf("got %+v, want the order with its event", e)
	}
	if p := receive(t, byPointer); p == nil || p.UserID != "bob" {
		t.Errorf("got %+v, want bob", p)
	}
}

func TestOnReportsAPayloadThatDoesNotFit(t *testing.T) {
	srv := newServer(t, herald.Config{})
	never := func(context.Context, herald.Typed[orderPlaced]) error { return errors.New("it was called") }
	if _, err := herald.On(srv, never, herald.Synchronously()); err != nil {
		t.Fatal(err)
	}
	err := srv.Publish(t.Context(), herald.Event{ID: "1", Type: "shop.order_placed", Payload: []int{1}})
	if err == nil || !strings.Contains(err.Error(), "decode the payload of shop.order_placed") {
		t.Errorf("got %v, want to be told that the payload does not fit", err)
	}
}

func TestSubscribeByTypeAndPattern(t *testing.T) {
	tests := []struct{ pattern, want string }{
		{"user.registered", "user.registered"},
		{"user.*", "user.registered"},
		{"user.**", "user.registered user.a.b"},
		{"*.registered", "user.registered"},
		{"login.*", "login.failed"},
		{"*", "user.registered user.a.b login.failed logout"},
		{"**", "user.registered user.a.b login.failed logout"},
		{"log*", "logout"},
	}
	srv := newServer(t, herald.Config{})
	got := map[string][]string{}
	for _, tt := range tests {
		_, err := srv.Subscribe(tt.pattern, func(_ context.Context, e herald.Event) error {
			got[tt.pattern] = append(got[tt.pattern], e.Type)
			return nil
		}, herald.Synchronously())
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, eventType := range []string{"user.registered", "user.a.b", "login.failed", "logout"} {
		tell(t, srv, herald.Event{Type: eventType})
	}
	for _, tt := range tests {
		if want := strings.Fields(tt.want); !slices.Equal(got[tt.pattern], want) {
			t.Errorf("%s: got %q, want %q", tt.pattern, got[tt.pattern], want)
		}
	}
}

func TestSubscribeRefuses(t *testing.T) {
	srv := newServer(t, herald.Config{})
	ok := func(context.Context, herald.Event) error { return nil }
	for _, bad := range []string{"", "User.registered", "a b.*", "a..b", strings.Repeat("a", 101)} {
		if _, err := srv.Subscribe(bad, ok); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
	if _, err := srv.Subscribe("a", nil); err == nil {
		t.Error("no handler: got no error")
	}
	if _, err := srv.Subscribe("a", ok, herald.Queue(-1)); err == nil {
		t.Error("a negative queue: got no error")
	}
	if _, err := herald.On(srv, func(context.Context, herald.Typed[herald.Event]) error { return nil }); err == nil {
		t.Error("an Event has no type of its own: got no error")
	}
}

func TestAsynchronousHandlersSeeEventsInOrder(t *testing.T) {
	const events = 500
	srv := newServer(t, herald.Config{})
	ids := make(chan string, events)
	if _, err := srv.SubscribeAll(func(_ context.Context, e herald.Event) error { ids <- e.ID; return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range events {
		tell(t, srv, herald.Event{ID: strconv.Itoa(i), Type: "a"})
	}
	for i := range events {
		if got := receive(t, ids); got != strconv.Itoa(i) {
			t.Fatalf("got event %s, want %d", got, i)
		}
	}
}

func TestAfterUnsubscribeNoCallStarts(t *testing.T) {
	srv := newServer(t, herald.Config{})
	calls := make(chan string, 10)
	sub, err := srv.Subscribe("a", func(_ context.Context, e herald.Event) error { calls <- e.ID; return nil })
	if err != nil {
		t.Fatal(err)
	}
	tell(t, srv, herald.Event{ID: "1", Type: "a"})
	if got := receive(t, calls); got != "1" {
		t.Errorf("got event %s, want 1", got)
	}
	sub.Unsubscribe()
	sub.Unsubscribe()
	tell(t, srv, herald.Event{ID: "2", Type: "a"})
	closeServer(t, srv)
	if len(calls) > 0 {
		t.Errorf("got event %s after Unsubscribe", <-calls)
	}
	if got := sub.Stats().Delivered; got != 1 {
		t.Errorf("got %d delivered, want 1", got)
	}
}

// held is a handler that says what it got and then waits to be let go.
type held struct {
	got     chan string
	release chan struct{}
}

func newHeld() held { return held{make(chan string, 100), make(chan struct{})} }

func (h held) handle(_ context.Context, e herald.Event) error {
	h.got <- e.ID
	<-h.release
	return nil
}

func TestWhenFull(t *testing.T) {
	tests := []struct {
		name    string
		policy  herald.OverflowPolicy
		want    []string // of the events 0 to 4, with the first under way and room for two
		dropped uint64
	}{
		{"drop oldest", herald.DropOldest, []string{"0", "3", "4"}, 2},
		{"drop newest", herald.DropNewest, []string{"0", "1", "2"}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t, herald.Config{})
			h := newHeld()
			sub, err := srv.Subscribe("a", h.handle, herald.Queue(2), herald.WhenFull(tt.policy))
			if err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				tell(t, srv, herald.Event{ID: strconv.Itoa(i), Type: "a"})
				if i == 0 {
					receive(t, h.got)
					h.got <- "0"
				}
			}
			close(h.release)
			for _, want := range tt.want {
				if got := receive(t, h.got); got != want {
					t.Errorf("got event %s, want %s", got, want)
				}
			}
			if got := sub.Stats().Dropped; got != tt.dropped {
				t.Errorf("got %d dropped, want %d", got, tt.dropped)
			}
		})
	}
}

func TestWhenFullPublishWaits(t *testing.T) {
	srv := newServer(t, herald.Config{})
	h := newHeld()
	if _, err := srv.Subscribe("a", h.handle, herald.Queue(1)); err != nil {
		t.Fatal(err)
	}
	tell(t, srv, herald.Event{ID: "0", Type: "a"})
	receive(t, h.got)
	tell(t, srv, herald.Event{ID: "1", Type: "a"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Publish(ctx, herald.Event{ID: "2", Type: "a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { tell(t, srv, herald.Event{ID: "3", Type: "a"}) })
	close(h.release)
	for _, want := range []string{"1", "3"} {
		if got := receive(t, h.got); got != want {
			t.Errorf("got event %s, want %s", got, want)
		}
	}
	wg.Wait()
}

// An error or a panic of one handler is logged and counted, and touches no other.
func TestAHandlersFailureTouchesNoOther(t *testing.T) {
	var log strings.Builder
	srv := newServer(t, herald.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for name, handler := range map[string]herald.Handler{
		"erring":    func(context.Context, herald.Event) error { return errors.New("on purpose") },
		"panicking": func(context.Context, herald.Event) error { panic("on purpose") },
	} {
		if _, err := srv.Subscribe("a", handler, herald.Named(name)); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan string, 2)
	if _, err := srv.Subscribe("a", func(_ context.Context, e herald.Event) error { got <- e.ID; return nil }); err != nil {
		t.Fatal(err)
	}
	tell(t, srv, herald.Event{ID: "1", Type: "a"}, herald.Event{ID: "2", Type: "a"})
	if first, second := receive(t, got), receive(t, got); first != "1" || second != "2" {
		t.Errorf("got %s, %s, want 1, 2", first, second)
	}
	closeServer(t, srv) // waits for the handlers, and so for the log
	for text, want := range map[string]int{"subscription=erring": 2, "subscription=panicking": 2, "library_bus_test.go": 2} {
		if n := strings.Count(log.String(), text); n < want {
			t.Errorf("got %d times %s in the log, want %d: %s", n, text, want, log.String())
		}
	}
}
