package herald_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/herald-events/herald"
)

// heldStore is a store that records when a test lets it.
type heldStore struct {
	herald.Store
	ends chan error
}

// Record implements herald.Facts.
func (s *heldStore) Record(context.Context, herald.Record) (duplicate bool, err error) {
	return false, <-s.ends
}

// heldBroker is a broker that takes publications when a test lets it.
type heldBroker struct {
	herald.Broker
	ends chan error
}

// Publish implements herald.Streams.
func (b *heldBroker) Publish(context.Context, ...herald.Publication) ([]herald.Receipt, error) {
	return []herald.Receipt{{}}, <-b.ends
}

// whereHeld runs a test with a store and without, in a bubble of its own. A publish is taken, or fails, with what is
// sent to ends.
func whereHeld(t *testing.T, test func(t *testing.T, srv *herald.Server, ends chan error)) {
	for name, configure := range map[string]func(ends chan error) herald.Config{
		"with a store":    func(ends chan error) herald.Config { return herald.Config{Store: &heldStore{ends: ends}} },
		"without a store": func(ends chan error) herald.Config { return herald.Config{Broker: &heldBroker{ends: ends}} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ends := make(chan error)
				t.Cleanup(func() { close(ends) }) // or what a test has given up hangs
				test(t, newServer(t, configure(ends)), ends)
			})
		})
	}
}

// publishBeside publishes an event with the one id of a test, and returns when that waits.
func publishBeside(ctx context.Context, srv *herald.Server) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- srv.Publish(ctx, herald.Event{ID: "evt-1", Type: "a.b"}) }()
	synctest.Wait()
	return ended
}

// TestARepeatWaitsForTheFirst: it is a duplicate of what was accepted only, and is published where the first has failed.
func TestARepeatWaitsForTheFirst(t *testing.T) {
	whereHeld(t, func(t *testing.T, srv *herald.Server, ends chan error) {
		first, second, third := publishBeside(t.Context(), srv), publishBeside(t.Context(), srv), publishBeside(t.Context(), srv)
		if len(second) > 0 || len(third) > 0 {
			t.Fatal("a repeat is answered before the first is settled")
		}
		errFull := errors.New("the disk is full")
		ends <- errFull
		if err := <-first; !errors.Is(err, errFull) {
			t.Errorf("the first: got %v, want %v", err, errFull)
		}
		ends <- nil // of one of the two, and the other is a duplicate of that
		for _, repeat := range []<-chan error{second, third} {
			if err := <-repeat; err != nil {
				t.Errorf("a repeat: got %v", err)
			}
		}
	})
}

func TestARepeatWaitsNoLongerThanItsContext(t *testing.T) {
	whereHeld(t, func(t *testing.T, srv *herald.Server, ends chan error) {
		first := publishBeside(t.Context(), srv)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		second := publishBeside(ctx, srv)
		if err := <-second; !errors.Is(err, &herald.Error{Code: herald.CodeUnavailable}) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the repeat: got %v, want %s when its context ends", err, herald.CodeUnavailable)
		}
		ends <- nil
		if err := <-first; err != nil {
			t.Errorf("the first: got %v", err)
		}
	})
}
