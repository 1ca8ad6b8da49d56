package bus

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestOverflow(t *testing.T) {
	// Event 0 is being handled, 1 and 2 fill the queue, 3 and 4 find it full.
	tests := []struct {
		name   string
		policy OverflowPolicy
		want   []int
		full   SubscriptionStats // while the handler is busy
		late   bool              // Publish waits
	}{
		{"block", Block, []int{0, 1, 2}, SubscriptionStats{Delivered: 1, Dropped: 2, Queued: 2}, true},
		{"drop oldest", DropOldest, []int{0, 3, 4}, SubscriptionStats{Delivered: 1, Dropped: 2, Queued: 2}, false},
		{"drop newest", DropNewest, []int{0, 1, 2}, SubscriptionStats{Delivered: 1, Dropped: 2, Queued: 2}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := open[int](t, Config{})
				g := newGate()
				s := subscribe(t, b, Exact("a"), g.handle, Options{Queue: 2, Overflow: tt.policy})
				start := time.Now()
				for i := range 5 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					err := b.Publish(ctx, "a", i)
					cancel()
					if wantErr := tt.late && i >= 3; errors.Is(err, context.DeadlineExceeded) != wantErr || !wantErr && err != nil {
						t.Errorf("Publish of event %d: %v", i, err)
					}
					synctest.Wait()
				}
				if waited := time.Since(start); waited > 0 != tt.late {
					t.Errorf("Publish took %v", waited)
				}
				checkStats(t, s.Stats(), tt.full)
				checkStats(t, b.Stats().SubscriptionStats, tt.full)

				close(g.open)
				closeBus(t, b)
				if !slices.Equal(g.events, tt.want) {
					t.Errorf("got %v, want %v", g.events, tt.want)
				}
				checkStats(t, s.Stats(), SubscriptionStats{Delivered: 3, Dropped: 2})
			})
		})
	}
}

func TestBlockedPublisherIsReleased(t *testing.T) {
	tests := []struct {
		name    string
		release func(t *testing.T, b *Bus[int], s *Subscription, g *gate, cancel func())
		want    error
		stats   SubscriptionStats // after Close
	}{
		{"by room", func(_ *testing.T, _ *Bus[int], _ *Subscription, g *gate, _ func()) {
			close(g.open)
		}, nil, SubscriptionStats{Delivered: 3}},
		{"by its context", func(_ *testing.T, _ *Bus[int], _ *Subscription, _ *gate, cancel func()) {
			cancel()
		}, context.Canceled, SubscriptionStats{Delivered: 2, Dropped: 1}},
		{"by Unsubscribe", func(_ *testing.T, _ *Bus[int], s *Subscription, _ *gate, _ func()) {
			s.Unsubscribe()
		}, nil, SubscriptionStats{Delivered: 1, Discarded: 2}},
		{"by Close", func(t *testing.T, b *Bus[int], _ *Subscription, _ *gate, _ func()) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close with a busy handler: %v, want a deadline exceeded", err)
			}
		}, ErrClosed, SubscriptionStats{Delivered: 1, Discarded: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := open[int](t, Config{})
				g := newGate()
				s := subscribe(t, b, All(), g.handle, Options{Queue: 1})
				publish(t, b, "a", 0)
				synctest.Wait()
				publish(t, b, "a", 1)

				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				result := make(chan error, 1)
				go func() { result <- b.Publish(ctx, "a", 2) }()
				synctest.Wait()
				select {
				case err := <-result:
					t.Fatalf("Publish to a full queue did not wait: %v", err)
				default:
				}
				tt.release(t, b, s, g, cancel)
				if err := <-result; !errors.Is(err, tt.want) {
					t.Errorf("Publish: %v, want %v", err, tt.want)
				}
				g.letGo()
				closeBus(t, b)
				checkStats(t, s.Stats(), tt.stats)
			})
		})
	}
}

func TestBlockedHandlerPublishesToItselfUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open[int](t, Config{})
		var got error
		subscribe(t, b, All(), func(ctx context.Context, e int) error {
			if e > 0 {
				return nil
			}
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			got = errors.Join(b.Publish(ctx, "a", 1), b.Publish(ctx, "a", 2))
			return nil
		}, Options{Queue: 1})
		publish(t, b, "a", 0)
		// The handler's wait has to end by itself, before Close would end it.
		<-time.After(time.Minute)
		closeBus(t, b)
		if !errors.Is(got, context.DeadlineExceeded) {
			t.Errorf("Publish to its own full queue: %v, want a deadline exceeded", got)
		}
	})
}

// gate is a handler that records events and is busy until the gate is opened or its context ends.
type gate struct {
	recorder
	open chan struct{}
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) handle(ctx context.Context, e int) error {
	_ = g.recorder.handle(ctx, e)
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return nil
	}
}

// letGo opens the gate if it is not open.
func (g *gate) letGo() {
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}
