package herald

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/herald-events/herald/internal/webhook"
)

// restStore is a store in which one delivery rests, from a moment on.
type restStore struct {
	Store
	down  int       // how many more times it cannot serve
	since time.Time // when the delivery is there
	woken chan time.Time
}

func (s *restStore) Webhooks(context.Context, string, int) ([]Webhook, error) {
	if s.down > 0 {
		s.down--
		return nil, errors.New("the store is down")
	}
	return []Webhook{{ID: "wh-1", Enabled: true}}, nil
}

func (s *restStore) WakeDeliveries(_ context.Context, most map[string]int) (map[string]int, error) {
	if most["wh-1"] == 0 || time.Now().Before(s.since) {
		return nil, nil
	}
	select {
	case s.woken <- time.Now():
		return map[string]int{"wh-1": 1}, nil
	default:
		return nil, nil
	}
}

// TestDeliveriesAtRestAreCalled: those of another process as well, once the store serves; and one of this process that
// comes to rest late.
func TestDeliveriesAtRestAreCalled(t *testing.T) {
	for name, c := range map[string]struct {
		down  int
		after time.Duration
		hold  bool
		most  time.Duration
	}{
		"of another process":                {most: 0},
		"of another process, after a fault": {down: 2, most: 2 * storeLook},
		"of a node that dies":               {after: time.Second, most: callAllEvery},
		"of this process":                   {after: 10 * time.Second, hold: true, most: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &restStore{down: c.down, since: time.Now().Add(c.after), woken: make(chan time.Time, 1)}
				w := &webhooks{server: &Server{log: slog.New(slog.DiscardHandler)}, store: store, gates: webhook.NewGates(gatePatience)}
				if c.hold {
					w.gates.Hold("wh-1")
				}
				begun := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					w.callThoseAtRest(ctx)
				}()
				if took := (<-store.woken).Sub(begun); took > c.most {
					t.Errorf("it was called after %v, want %v at most", took, c.most)
				}
				cancel()
				<-ended
			})
		})
	}
}
