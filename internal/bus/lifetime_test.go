package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoCallBeginsAfterUnsubscribe(t *testing.T) {
	const publishers, rounds = 3, 10
	for _, mode := range []Mode{Async, Sync} {
		t.Run(fmt.Sprint("mode ", mode), func(t *testing.T) {
			b := open[int](t, Config{})
			stop := make(chan struct{})
			var publishing sync.WaitGroup
			for range publishers {
				publishing.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							publish(t, b, "a", 1)
						}
					}
				})
			}
			var all []*stormed
			for range rounds {
				all = append(all, storm(t, b, mode)...)
			}
			close(stop)
			publishing.Wait()
			closeBus(t, b)
			for i, s := range all {
				if called, stats := s.called.Load(), s.sub.Stats(); called != s.begun || stats.Delivered != s.begun || stats.Queued != 0 {
					t.Errorf("subscription %d: %d had begun when Unsubscribe returned, in the end %d calls and %+v", i, s.begun, called, stats)
				}
			}
		})
	}
}

// stormed is a subscription that was ended while events were published.
type stormed struct {
	sub    *Subscription
	begun  uint64 // calls, as Unsubscribe returned
	called atomic.Uint64
}

// storm subscribes some handlers and, once each was called, ends all of them at once.
func storm(t *testing.T, b *Bus[int], mode Mode) []*stormed {
	var subs []*stormed
	var busy sync.WaitGroup
	for range 8 {
		s := &stormed{}
		busy.Add(1)
		s.sub = subscribe(t, b, All(), func(context.Context, int) error {
			if s.called.Add(1) == 1 {
				busy.Done()
			}
			return nil
		}, Options{Mode: mode, Queue: 4})
		subs = append(subs, s)
	}
	busy.Wait()
	var wg sync.WaitGroup
	for _, s := range subs {
		wg.Go(func() {
			s.sub.Unsubscribe()
			s.begun = s.sub.Stats().Delivered
			s.sub.Unsubscribe()
		})
	}
	wg.Wait()
	return subs
}

func TestUnsubscribeDiscardsWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open[int](t, Config{})
		g := newGate()
		s := subscribe(t, b, All(), g.handle, Options{})
		for i := range 5 {
			publish(t, b, "a", i)
			synctest.Wait()
		}
		s.Unsubscribe()
		publish(t, b, "a", 5)
		checkStats(t, s.Stats(), SubscriptionStats{Delivered: 1, Discarded: 4})
		close(g.open)
		closeBus(t, b)
		if want := []int{0}; !slices.Equal(g.events, want) {
			t.Errorf("got %v, want %v", g.events, want)
		}
		checkStats(t, b.Stats().SubscriptionStats, SubscriptionStats{Delivered: 1, Discarded: 4})
	})
}

func TestHandlersMayPublishSubscribeAndUnsubscribe(t *testing.T) {
	for _, mode := range []Mode{Async, Sync} {
		t.Run(fmt.Sprint("mode ", mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := open[int](t, Config{OnFailure: func(f Failure) { t.Errorf("failure: %+v", f) }})
				var first *Subscription
				second := &recorder{}
				ready := make(chan struct{})
				first = subscribe(t, b, Exact("a"), func(ctx context.Context, e int) error {
					<-ready
					subscribe(t, b, Exact("b"), second.handle, Options{Mode: mode})
					first.Unsubscribe()
					first.Unsubscribe()
					return errors.Join(b.Publish(ctx, "b", e), b.Publish(ctx, "a", e+1))
				}, Options{Mode: mode})
				close(ready)
				publish(t, b, "a", 1)
				synctest.Wait()
				closeBus(t, b)
				if want := []int{1}; !slices.Equal(second.events, want) {
					t.Errorf("second handler got %v, want %v", second.events, want)
				}
				if got := first.Stats().Delivered; got != 1 {
					t.Errorf("first handler was called %d times, want 1", got)
				}
			})
		})
	}
}

func TestHandlersMayUnsubscribeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open[int](t, Config{})
		var subs [2]*Subscription
		both := make(chan struct{})
		for i := range subs {
			subs[i] = subscribe(t, b, All(), func(context.Context, int) error {
				<-both
				subs[1-i].Unsubscribe()
				return nil
			}, Options{})
		}
		publish(t, b, "a", 1)
		synctest.Wait()
		close(both)
		closeBus(t, b)
	})
}

func TestHandlerThatEndsItsGoroutineEndsItsSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failure Failure
		b := open[int](t, Config{OnFailure: func(f Failure) { failure = f }})
		s := subscribe(t, b, All(), func(context.Context, int) error {
			runtime.Goexit()
			return nil
		}, Options{Queue: 1})
		for i := range 5 {
			publish(t, b, "a", i) // would wait for ever if room were still expected
		}
		synctest.Wait()
		if failure.Subscription != "*" || !errors.Is(failure.Err, errExited) {
			t.Errorf("failure %+v, want %v", failure, errExited)
		}
		if got := s.Stats(); got.Delivered != 1 || got.Failed != 1 || got.Queued != 0 {
			t.Errorf("stats %+v, want one failed call and an empty queue", got)
		}
	})
}

func TestCloseLetsQueuesRunDry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open[int](t, Config{})
		r := &recorder{}
		s := subscribe(t, b, All(), func(ctx context.Context, e int) error {
			<-time.After(time.Second)
			if ctx.Err() != nil {
				t.Errorf("context of event %d ended within the time given to Close", e)
			}
			return r.handle(ctx, e)
		}, Options{})
		for i := range 100 {
			publish(t, b, "a", i)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if got, want := time.Since(start), 100*time.Second; got != want {
			t.Errorf("Close took %v, want %v", got, want)
		}
		if want := sequence(100); !slices.Equal(r.events, want) {
			t.Errorf("got %v, want %v", r.events, want)
		}
		checkStats(t, s.Stats(), SubscriptionStats{Delivered: 100})
	})
}

func TestCloseEndsCallsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open[int](t, Config{})
		var ended time.Duration
		start := time.Now()
		s := subscribe(t, b, All(), func(ctx context.Context, _ int) error {
			<-ctx.Done()
			<-time.After(time.Second) // Close waits for this as well
			ended = time.Since(start)
			return ctx.Err()
		}, Options{})
		for i := range 5 {
			publish(t, b, "a", i)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v, want a deadline exceeded", err)
		}
		if want := time.Minute + time.Second; ended != want || time.Since(start) != want {
			t.Errorf("handler ended after %v and Close after %v, want %v", ended, time.Since(start), want)
		}
		checkStats(t, s.Stats(), SubscriptionStats{Delivered: 1, Failed: 1, Discarded: 4})
	})
}

func TestCloseWaitsForSynchronousCalls(t *testing.T) {
	for name, grace := range map[string]time.Duration{"in time": time.Hour, "late": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := open[int](t, Config{})
				var returned atomic.Bool
				subscribe(t, b, All(), func(context.Context, int) error {
					<-time.After(time.Minute)
					returned.Store(true)
					return nil
				}, Options{Mode: Sync})
				next := subscribe(t, b, All(), func(context.Context, int) error { return nil }, Options{Mode: Sync})
				go publish(t, b, "a", 1)
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), grace)
				defer cancel()
				if err := b.Close(ctx); errors.Is(err, context.DeadlineExceeded) != (grace < time.Minute) {
					t.Errorf("Close: %v", err)
				}
				if !returned.Load() {
					t.Error("a call outlived Close")
				}
				if got, want := next.Stats().Delivered == 1, grace > time.Minute; got != want {
					t.Errorf("the handler after it was called: %v, want %v", got, want)
				}
			})
		})
	}
}

func TestAfterClose(t *testing.T) {
	for name, subscribers := range map[string]int{"empty": 0, "subscribed": 2} {
		t.Run(name, func(t *testing.T) {
			b := open[int](t, Config{})
			var calls atomic.Int64
			for range subscribers {
				subscribe(t, b, All(), func(context.Context, int) error {
					calls.Add(1)
					return nil
				}, Options{})
			}
			closeBus(t, b)
			closeBus(t, b)
			if err := b.Publish(t.Context(), "a", 1); !errors.Is(err, ErrClosed) {
				t.Errorf("Publish: %v, want %v", err, ErrClosed)
			}
			if _, err := b.Subscribe(All(), func(context.Context, int) error { return nil }, Options{}); !errors.Is(err, ErrClosed) {
				t.Errorf("Subscribe: %v, want %v", err, ErrClosed)
			}
			if calls.Load() != 0 || b.Stats() != (Stats{}) {
				t.Errorf("%d calls, stats %+v, want none", calls.Load(), b.Stats())
			}
		})
	}
}

func TestSecondCloseWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open[int](t, Config{})
		g := newGate()
		subscribe(t, b, All(), g.handle, Options{})
		publish(t, b, "a", 1)
		first := make(chan error, 1)
		go func() { first <- b.Close(context.WithoutCancel(t.Context())) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("second Close: %v, want a deadline exceeded", err)
		}
		close(g.open)
		if err := <-first; err != nil {
			t.Errorf("first Close: %v", err)
		}
	})
}

// Every event that Publish took must be accounted for when publishers and Close race.
func TestCloseLosesNothingOfAPublishThatSucceeded(t *testing.T) {
	for range 50 {
		b := New[int](Config{})
		const publishers = 3
		s := subscribe(t, b, All(), func(context.Context, int) error { return nil }, Options{Queue: 4})
		var taken atomic.Uint64
		busy := make(chan struct{})
		var wg sync.WaitGroup
		for range publishers {
			wg.Go(func() {
				for {
					switch err := b.Publish(t.Context(), "a", 1); {
					case err == nil:
						if taken.Add(1) == 20 {
							close(busy)
						}
					case errors.Is(err, ErrClosed):
						return
					default:
						t.Errorf("Publish: %v", err)
						return
					}
				}
			})
		}
		<-busy
		closeBus(t, b)
		delivered := s.Stats().Delivered
		wg.Wait()
		if delivered != taken.Load() || s.Stats().Delivered != delivered {
			t.Fatalf("delivered %d of %d events when Close returned, %d later", delivered, taken.Load(), s.Stats().Delivered)
		}
	}
}
