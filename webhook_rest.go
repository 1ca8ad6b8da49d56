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
//
// The first time, and again and again, those are called too that another process has sent away: this one before it was
// started anew, or a node that has died.
func (w *webhooks) callThoseAtRest(ctx context.Context) {
	t := time.NewTicker(callEvery)
	defer t.Stop()
	for n := 0; ; n++ {
		err := w.callOnce(ctx, n%callAllEach == 0)
		if err != nil && ctx.Err() == nil {
			w.server.log.Warn("deliveries rest longer than they have to", "err", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// callAllEach is how many times there is room to be looked for until all endpoints are called again.
const callAllEach = int(time.Minute / callEvery)

func (w *webhooks) callOnce(ctx context.Context, all bool) error {
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	if all {
		if err := w.lookAll(ctx); err != nil {
			return err
		}
	}
	room := w.gates.Room(2 * callEvery) // so that there is always somebody at the gate
	if len(room) == 0 {
		return nil
	}
	called, err := w.store.WakeDeliveries(ctx, room)
	if err != nil {
		return err
	}
	for id := range room {
		if called[id] == 0 {
			w.gates.Called(id)
		}
	}
	return nil
}

// lookAll has every endpoint's deliveries at rest be called.
func (w *webhooks) lookAll(ctx context.Context) error {
	for after := ""; ; {
		some, err := w.store.Webhooks(ctx, after, maxPage)
		if err != nil {
			return err
		}
		for _, hook := range some {
			if after = hook.ID; hook.Enabled && !hook.Paused {
				w.gates.Look(hook.ID)
			}
		}
		if len(some) < maxPage {
			return nil
		}
	}
}
