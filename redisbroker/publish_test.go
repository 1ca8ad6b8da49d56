package redisbroker

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

func TestWhatIsNotKeptReachesEveryNodeOnce(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a, b := start(t, redis), start(t, redis)
		for _, r := range []*rig{a, b} {
			r.subscribe(t, "orders", herald.Retention{})
		}
		var want []string
		for i := range 100 {
			body := fmt.Sprint("message ", i)
			want = append(want, body)
			a.publish(t, says("orders", body, herald.Retention{}))
			if got := a.node.bodies(t, "orders", i+1); got[i] != body {
				t.Fatalf("own node: got %q before Publish returned, want %q", got[i], body)
			}
		}
		if got := b.node.bodies(t, "orders", len(want)); !slices.Equal(got, want) {
			t.Errorf("other node: got %q, want %q", got, want)
		}
		b.publish(t, says("orders", "last", herald.Retention{}))
		if got, want := a.node.bodies(t, "orders", 101), append(want, "last"); !slices.Equal(got, want) {
			t.Errorf("own node: got %q, want %q", got, want)
		}
	})
}

func TestWhatIsKeptHasOneOrder(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		const each = 300
		brokers := []*rig{start(t, redis), start(t, redis), start(t, redis)}
		for _, r := range brokers {
			if at := r.subscribe(t, "orders", kept); at.Offset != 0 || at.Epoch == "" {
				t.Errorf("Subscribe: got %+v, want offset 0 of an epoch", at)
			}
		}
		var wg sync.WaitGroup
		for i, r := range brokers {
			wg.Go(func() { publishMany(t, r, fmt.Sprint(i), each) })
		}
		wg.Wait()
		want := brokers[0].node.all(t, "orders", len(brokers)*each)
		for i, told := range want {
			if told.offset != uint64(i+1) {
				t.Fatalf("offset %d: got %d", i+1, told.offset)
			}
		}
		for _, r := range brokers[1:] {
			if got := r.node.all(t, "orders", len(want)); !slices.Equal(got, want) {
				t.Errorf("the nodes were told different things")
			}
		}
	})
}

// publishMany publishes concurrently and checks that each receipt stands where the body ended up.
func publishMany(t *testing.T, r *rig, name string, n int) {
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	at := map[string]uint64{}
	for i := range n {
		wg.Go(func() {
			body := fmt.Sprint(name, "-", i)
			receipts, err := r.Publish(t.Context(), says("orders", body, kept))
			if err != nil {
				t.Errorf("Publish: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			at[body] = receipts[0].Position.Offset
		})
	}
	wg.Wait()
	r.node.await(t, "what was published", func() bool {
		for _, told := range r.node.told["orders"] {
			if offset, mine := at[told.body]; mine && offset == told.offset {
				delete(at, told.body)
			}
		}
		return len(at) == 0
	})
}

func TestPublicationsOfOneCallKeepTheirOrder(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a, b := start(t, redis), start(t, redis)
		b.subscribe(t, "orders", kept)
		b.subscribe(t, "other", herald.Retention{})
		receipts := a.publish(t,
			says("orders", "1", kept), says("other", "x", herald.Retention{}), says("orders", "2", kept), says("orders", "3", kept))
		for i, want := range []uint64{1, 0, 2, 3} {
			if got := receipts[i].Position.Offset; got != want {
				t.Errorf("receipt %d: got offset %d, want %d", i, got, want)
			}
		}
		if got, want := b.node.bodies(t, "orders", 3), []string{"1", "2", "3"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := b.node.bodies(t, "other", 1); got[0] != "x" {
			t.Errorf("got %q, want x", got)
		}
	})
}

func TestSubscribeReturnsWhenTheSubscriptionStands(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a, b := start(t, redis), start(t, redis)
		for i := range 100 {
			stream := fmt.Sprint("orders-", i)
			b.subscribe(t, stream, herald.Retention{})
			a.publish(t, says(stream, "first", herald.Retention{}))
		}
		for i := range 100 {
			b.node.bodies(t, fmt.Sprint("orders-", i), 1)
		}
	})
}

func TestEventsArePublishedOnce(t *testing.T) {
	for name, keep := range map[string]herald.Retention{"kept": kept, "not kept": {}} {
		t.Run(name, func(t *testing.T) {
			overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
				a, b := start(t, redis), start(t, redis)
				for _, r := range []*rig{a, b} {
					r.subscribe(t, herald.EventStream, keep)
				}
				event := func(id string) herald.Publication {
					return herald.Publication{ID: id, Body: []byte("body of " + id), Keep: keep}
				}
				first := a.publish(t, event("evt-1"), event("evt-2"), event("evt-1"))
				second := b.publish(t, event("evt-2"), event("evt-3"))
				var got []bool
				for _, r := range append(first, second...) {
					got = append(got, r.Duplicate)
				}
				if want := []bool{false, false, true, true, false}; !slices.Equal(got, want) {
					t.Errorf("duplicates: got %v, want %v", got, want)
				}
				want := []string{"body of evt-1", "body of evt-2", "body of evt-3"}
				for _, r := range []*rig{a, b} {
					if got := r.node.bodies(t, herald.EventStream, 3); !slices.Equal(got, want) {
						t.Errorf("got %q, want %q", got, want)
					}
				}
			})
		})
	}
}

func TestUnsubscribeIsCancelledBySubscribe(t *testing.T) {
	redis := heraldtest.StartRedis(t)
	linger := func(c *Config) { c.times.linger = 50 * time.Millisecond }
	a, b := start(t, redis), start(t, redis, linger)
	b.subscribe(t, "orders", herald.Retention{})
	b.Unsubscribe("orders")
	b.subscribe(t, "orders", herald.Retention{})
	b.subscribe(t, "left", herald.Retention{})
	b.Unsubscribe("left")
	eventually(t, "the subscription to end", func() bool { return !b.subs.has(b.names, b.names.channel("left")) })
	a.publish(t, says("left", "missed", herald.Retention{}), says("orders", "told", herald.Retention{}))
	if got := b.node.bodies(t, "orders", 1); got[0] != "told" {
		t.Errorf("got %q, want told", got)
	}
}
