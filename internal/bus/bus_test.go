package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/herald-events/herald/internal/pattern"
)

func TestFilters(t *testing.T) {
	tests := []struct {
		name    string
		filter  Filter
		yes, no []string
	}{
		{"exact", Exact("user.created"), []string{"user.created"}, []string{"user", "user.created.x", "user.deleted"}},
		{"exact with an asterisk", Exact("user.*"), []string{"user.*"}, []string{"user.created"}},
		{"pattern", Matching(parse(t, "user.*")), []string{"user.created", "user.x"}, []string{"user", "user.a.b"}},
		{"pattern without wildcard", Matching(parse(t, "user.created")), []string{"user.created"}, []string{"user.x"}},
		{"all", All(), []string{"user.created", "x", ""}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := open[string](t, Config{})
			var got []string
			subscribe(t, b, tt.filter, func(_ context.Context, e string) error {
				got = append(got, e)
				return nil
			}, Options{Mode: Sync})
			for _, eventType := range slices.Concat(tt.yes, tt.no) {
				publish(t, b, eventType, eventType)
			}
			if !slices.Equal(got, tt.yes) {
				t.Errorf("got %q, want %q", got, tt.yes)
			}
		})
	}
}

func TestSubscribeReportsEverythingWrong(t *testing.T) {
	b := open[int](t, Config{})
	_, err := b.Subscribe(Filter{}, nil, Options{Name: "n", Mode: 7, Queue: -1, Overflow: 9})
	if err == nil {
		t.Fatal("no error")
	}
	if _, err := b.Subscribe(Matching(pattern.Pattern{}), func(context.Context, int) error { return nil }, Options{}); err == nil {
		t.Error("no error for a pattern that matches nothing")
	}
	for _, want := range []string{`"n"`, "filter is empty", "handler is nil", "mode 7", "queue of -1", "policy 9"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func TestSyncHandlersAreCalledInTheOrderOfSubscription(t *testing.T) {
	b := open[int](t, Config{})
	var got []int
	filters := []Filter{All(), Exact("a"), Matching(parse(t, "a*")), Exact("b"), Exact("a"), Matching(parse(t, "b*")), All()}
	for i, f := range filters {
		subscribe(t, b, f, func(context.Context, int) error {
			got = append(got, i)
			return nil
		}, Options{Mode: Sync})
	}
	publish(t, b, "a", 0)
	if want := []int{0, 1, 2, 4, 6}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSyncErrorsAndPanicsAreReturnedJoined(t *testing.T) {
	errFirst, errPanic := errors.New("first"), errors.New("second")
	b := open[int](t, Config{OnFailure: func(f Failure) { t.Errorf("OnFailure(%+v) for a synchronous handler", f) }})
	ran := 0
	for name, result := range map[string]func() error{
		"fails":  func() error { return errFirst },
		"panics": func() error { panic(errPanic) },
		"works":  func() error { return nil },
	} {
		subscribe(t, b, Exact("a"), func(context.Context, int) error {
			ran++
			return result()
		}, Options{Name: name, Mode: Sync})
	}
	err := b.Publish(t.Context(), "a", 1)
	if ran != 3 {
		t.Errorf("%d handlers ran, want 3", ran)
	}
	if !errors.Is(err, errFirst) || !errors.Is(err, errPanic) {
		t.Errorf("error %v, want both of %v and %v in it", err, errFirst, errPanic)
	}
	if p, ok := errors.AsType[*PanicError](err); !ok || p.Value != errPanic || !strings.Contains(string(p.Stack), "bus_test.go") {
		t.Errorf("error %v has no PanicError with the value and the stack", err)
	}
	if !strings.Contains(fmt.Sprint(err), `subscription "fails": first`) {
		t.Errorf("error %q does not name the subscription", err)
	}
	checkStats(t, b.Stats().SubscriptionStats, SubscriptionStats{Delivered: 3, Failed: 1, Panicked: 1})
}

func TestFailureTouchesNoOther(t *testing.T) {
	const events = 50
	errOdd := errors.New("odd")
	var mu sync.Mutex
	failures := map[string][]error{}
	b := open[int](t, Config{OnFailure: func(f Failure) {
		mu.Lock()
		defer mu.Unlock()
		failures[f.Subscription+" "+f.EventType] = append(failures[f.Subscription+" "+f.EventType], f.Err)
	}})
	seen := map[string]*recorder{}
	subs := map[string]*Subscription{}
	for name, result := range map[string]func(int) error{
		"fails":  func(int) error { return errOdd },
		"panics": func(e int) error { panic(e) },
		"works":  func(int) error { return nil },
	} {
		r := &recorder{}
		seen[name] = r
		subs[name] = subscribe(t, b, Exact("a"), func(ctx context.Context, e int) error {
			_ = r.handle(ctx, e)
			return result(e)
		}, Options{Name: name})
	}
	for i := range events {
		publish(t, b, "a", i)
	}
	closeBus(t, b)

	for name, r := range seen {
		if want := sequence(events); !slices.Equal(r.events, want) {
			t.Errorf("%s got %v, want %v", name, r.events, want)
		}
	}
	if got := failures["fails a"]; len(got) != events || !errors.Is(got[0], errOdd) {
		t.Errorf("errors reported: %v, want %d of %v", got, events, errOdd)
	}
	got := failures["panics a"]
	if len(got) != events {
		t.Fatalf("%d panics reported, want %d", len(got), events)
	}
	if p, ok := errors.AsType[*PanicError](got[7]); !ok || p.Value != 7 || len(p.Stack) == 0 {
		t.Errorf("panic reported as %#v, want a PanicError of 7 with a stack", got[7])
	}
	checkStats(t, subs["fails"].Stats(), SubscriptionStats{Delivered: events, Failed: events})
	checkStats(t, subs["panics"].Stats(), SubscriptionStats{Delivered: events, Panicked: events})
	checkStats(t, subs["works"].Stats(), SubscriptionStats{Delivered: events})
	checkStats(t, b.Stats().SubscriptionStats, SubscriptionStats{Delivered: 3 * events, Failed: events, Panicked: events})
}

func TestEventsOfAPublisherStayInOrder(t *testing.T) {
	type event struct{ publisher, n int }
	const publishers, events, subscribers = 4, 500, 3
	for _, policy := range []OverflowPolicy{Block, DropOldest, DropNewest} {
		t.Run(fmt.Sprint("policy ", policy), func(t *testing.T) {
			b := open[event](t, Config{})
			var seen [subscribers][publishers][]int
			for i := range seen {
				subscribe(t, b, All(), func(_ context.Context, e event) error {
					seen[i][e.publisher] = append(seen[i][e.publisher], e.n)
					return nil
				}, Options{Queue: 8, Overflow: policy})
			}
			var wg sync.WaitGroup
			for p := range publishers {
				wg.Go(func() {
					for n := range events {
						publish(t, b, "a", event{p, n})
					}
				})
			}
			wg.Wait()
			closeBus(t, b)

			total := 0
			for i := range seen {
				for p, got := range seen[i] {
					total += len(got)
					if !slices.IsSorted(got) || len(slices.Compact(got)) < len(got) {
						t.Errorf("subscriber %d got publisher %d's events as %v", i, p, got)
					}
				}
			}
			stats := b.Stats()
			if stats.Published != publishers*events {
				t.Errorf("published %d, want %d", stats.Published, publishers*events)
			}
			if got, want := stats.Delivered+stats.Dropped, uint64(publishers*events*subscribers); got != want {
				t.Errorf("delivered and dropped are %d, want %d", got, want)
			}
			if policy == Block && stats.Dropped > 0 || stats.Delivered != uint64(total) {
				t.Errorf("stats %+v of %d calls", stats, total)
			}
		})
	}
}

func TestHandlerContext(t *testing.T) {
	type key struct{}
	b := open[int](t, Config{})
	got := make(chan context.Context, 1)
	subscribe(t, b, All(), func(ctx context.Context, _ int) error {
		got <- ctx
		return nil
	}, Options{})
	ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
	cancel(errors.New("publisher is gone"))
	if err := b.Publish(ctx, "a", 1); err != nil {
		t.Fatalf("Publish with room in the queue: %v", err)
	}
	handler := <-got
	if handler.Value(key{}) != "value" {
		t.Errorf("value %v, want that of the publisher", handler.Value(key{}))
	}
	child, cancelChild := context.WithCancel(handler)
	defer cancelChild()
	if handler.Err() != nil || context.Cause(handler) != nil || child.Err() != nil {
		t.Errorf("context ended with the publisher's: %v", context.Cause(handler))
	}
	closeBus(t, b)
	if handler.Err() == nil || child.Err() == nil {
		t.Error("context outlives the bus")
	}
}

func TestPublishWithoutSubscriberDoesNotAllocate(t *testing.T) {
	type event struct{ id, text string }
	tests := []struct {
		name   string
		filter []Filter
	}{
		{"no subscription", nil},
		{"of another type", []Filter{Exact("b"), Matching(parse(t, "b.*"))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := open[event](t, Config{})
			for _, f := range tt.filter {
				subscribe(t, b, f, func(context.Context, event) error { return nil }, Options{})
			}
			n := testing.AllocsPerRun(100, func() { publish(t, b, "a", event{"1", "x"}) })
			if n != 0 {
				t.Errorf("%v allocations, want 0", n)
			}
		})
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, bb := range []struct {
		mode string
		opts Options
	}{
		{"sync", Options{Mode: Sync}},
		{"async", Options{}},
	} {
		for _, n := range []int{0, 1, 100} {
			b.Run(fmt.Sprintf("%s/%d", bb.mode, n), func(b *testing.B) {
				bus := open[int](b, Config{})
				for range n {
					subscribe(b, bus, Exact("a"), func(context.Context, int) error { return nil }, bb.opts)
				}
				b.ReportAllocs()
				for b.Loop() {
					publish(b, bus, "a", 1)
				}
			})
		}
	}
}

// recorder is a handler that remembers. Its events may be read when the bus is closed.
type recorder struct{ events []int }

func (r *recorder) handle(_ context.Context, e int) error {
	r.events = append(r.events, e)
	return nil
}

func sequence(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func open[E any](t testing.TB, cfg Config) *Bus[E] {
	t.Helper()
	b := New[E](cfg)
	t.Cleanup(func() { closeBus(t, b) })
	return b
}

func closeBus[E any](t testing.TB, b *Bus[E]) {
	t.Helper()
	if err := b.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func subscribe[E any](t testing.TB, b *Bus[E], f Filter, h func(context.Context, E) error, opts Options) *Subscription {
	t.Helper()
	s, err := b.Subscribe(f, h, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publish[E any](t testing.TB, b *Bus[E], eventType string, e E) {
	if err := b.Publish(context.Background(), eventType, e); err != nil {
		t.Errorf("Publish: %v", err)
	}
}

func parse(t testing.TB, s string) pattern.Pattern {
	t.Helper()
	p, err := pattern.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func checkStats(t testing.TB, got, want SubscriptionStats) {
	t.Helper()
	if got != want {
		t.Errorf("stats\n got %+v\nwant %+v", got, want)
	}
}
