package brokertest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/herald-events/herald"
)

var streamTests = []test{
	{"what is not kept reaches every node once, in order", 3, false, testPlain},
	{"what is kept has one order", 3, false, testOneOrder},
	{"publications of one call keep their order", 2, false, testOneCall},
	{"a subscription stands when Subscribe returns", 2, false, testSubscribeStands},
	{"a subscription comes back", 2, false, testSubscribeAgain},
	{"events are published once, kept", 2, false, func(t *testing.T, rigs []*rig) { testOnce(t, rigs, kept) }},
	{"events are published once, not kept", 2, false, func(t *testing.T, rigs []*rig) { testOnce(t, rigs, herald.Retention{}) }},
}

func testPlain(t *testing.T, rigs []*rig) {
	for _, r := range rigs {
		if at := r.subscribe(t, "orders", herald.Retention{}); at != (herald.Position{}) {
			t.Errorf("Subscribe: got %+v, want no position", at)
		}
	}
	var want []Told
	for _, from := range rigs {
		for i := range 100 {
			want = append(want, Told{Body: fmt.Sprint("message ", i)})
			if got := from.publish(t, says("orders", want[len(want)-1].Body, herald.Retention{})); got[0] != (herald.Receipt{}) {
				t.Errorf("got %+v, want a receipt without a position", got)
			}
			if got := len(from.node.All(t, "orders", 0)); got != len(want) {
				t.Fatalf("own node: got %d messages before Publish returned, want %d", got, len(want))
			}
		}
		for _, r := range rigs { // before another publishes
			isEqual(t, "publications", r.node.All(t, "orders", len(want)), want)
		}
	}
}

func testOneOrder(t *testing.T, rigs []*rig) {
	const each = 300
	for _, r := range rigs {
		if at := r.subscribe(t, "orders", kept); at.Offset != 0 || at.Epoch == "" {
			t.Errorf("Subscribe: got %+v, want offset 0 of an epoch", at)
		}
	}
	var wg sync.WaitGroup
	for i, r := range rigs {
		wg.Go(func() { publishMany(t, r, fmt.Sprint(i), each) })
	}
	wg.Wait()
	want := rigs[0].node.All(t, "orders", len(rigs)*each)
	for i, told := range want {
		if told.Offset != uint64(i+1) || told.Epoch != want[0].Epoch {
			t.Fatalf("offset %d: got %+v", i+1, told)
		}
	}
	for _, r := range rigs[1:] {
		if got := r.node.All(t, "orders", len(want)); !slices.Equal(got, want) {
			t.Errorf("the nodes were told different things")
		}
	}
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
			if offset, mine := at[told.Body]; mine && offset == told.Offset {
				delete(at, told.Body)
			}
		}
		return len(at) == 0
	})
}

func testOneCall(t *testing.T, rigs []*rig) {
	a, b := firstAndLast(rigs)
	b.subscribe(t, "orders", kept)
	b.subscribe(t, "other", herald.Retention{})
	receipts := a.publish(t,
		says("orders", "1", kept), says("other", "x", herald.Retention{}), says("orders", "2", kept), says("orders", "3", kept))
	for i, want := range []uint64{1, 0, 2, 3} {
		if got := receipts[i].Position.Offset; got != want {
			t.Errorf("receipt %d: got offset %d, want %d", i, got, want)
		}
	}
	isEqual(t, "kept", b.node.Bodies(t, "orders", 3), []string{"1", "2", "3"})
	isEqual(t, "not kept", b.node.Bodies(t, "other", 1), []string{"x"})
}

func testSubscribeStands(t *testing.T, rigs []*rig) {
	a, b := firstAndLast(rigs)
	for i := range 100 {
		stream := fmt.Sprint("orders-", i)
		b.subscribe(t, stream, herald.Retention{})
		a.publish(t, says(stream, "first", herald.Retention{}))
	}
	for i := range 100 {
		b.node.Bodies(t, fmt.Sprint("orders-", i), 1)
	}
}

func testSubscribeAgain(t *testing.T, rigs []*rig) {
	a, b := firstAndLast(rigs)
	first := b.subscribe(t, "orders", kept)
	b.Unsubscribe("orders")
	b.Unsubscribe("unknown")
	want := a.publish(t, says("orders", "1", kept))[0].Position
	if got := b.subscribe(t, "orders", kept); got != want || got.Epoch != first.Epoch {
		t.Errorf("got %+v after %+v, want %+v", got, first, want)
	}
	a.publish(t, says("orders", "2", kept))
	b.node.await(t, "what came after", func() bool {
		return slices.Contains(b.node.told["orders"], Told{want.Epoch, 2, "2"})
	})
}

func testOnce(t *testing.T, rigs []*rig, keep herald.Retention) {
	a, b := firstAndLast(rigs)
	for _, r := range rigs {
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
	isEqual(t, "duplicates", got, []bool{false, false, true, true, false})
	for _, r := range rigs {
		want := []string{"body of evt-1", "body of evt-2", "body of evt-3"}
		isEqual(t, "events", r.node.Bodies(t, herald.EventStream, len(want)), want)
	}
}
