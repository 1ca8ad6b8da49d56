package herald

import (
	"context"
	"time"
)

// callEvery is how often deliveries are called that rest since their endpoint has enough to do. One that has room waits no
// longer than that.
const callEvery = 250 * time.Millisecond

// callThoseAtRest has deliveries worked for which there is room now, until ctx ends. Each came once, and rests: if all that
// wait for a slow endpoint came back again and again, the others would wait behind them.
func (w *webhooks) callThoseAtRest(ctx context.Context) {
	t := time.NewTicker(callEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		room := w.gates.Room(callEvery)
		if len(room) == 0 {
			continue
		}
		called, err := w.store.WakeDeliveries(ctx, room)
		if err != nil {
			if ctx.Err() == nil {
				w.server.log.Warn("deliveries rest longer than they have to", "err", err)
			}
			continue
		}
		for id := range room {
			if called[id] == 0 {
				w.gates.Called(id)
			}
		}
	}
}
