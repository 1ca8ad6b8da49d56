package herald

import (
	"context"
	"time"
)

// callEvery is how often deliveries are called that rest since their endpoint has enough to do. One that has room waits no
// longer than that.
const callEvery = 250 * time.Millisecond

// callAllEvery is how often every endpoint's deliveries are called: those too that another process has sent away, this one
// before it was started anew, or a node that has died.
const callAllEvery = time.Minute

// callThoseAtRest has deliveries worked for which there is room now, until ctx ends. Each came once, and rests: if all that
// wait for a slow endpoint came back again and again, the others would wait behind them.
func (w *webhooks) callThoseAtRest(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	var allDue time.Time
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		now, next := time.Now(), callEvery
		all := !now.Before(allDue)
		switch err := w.callOnce(ctx, all); {
		case err != nil && ctx.Err() == nil:
			w.server.log.Warn("deliveries rest longer than they have to", "err", err)
			next = storeLook
		case all:
			allDue = now.Add(callAllEvery)
		}
		t.Reset(next)
	}
}

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
		w.gates.Called(id, called[id])
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
