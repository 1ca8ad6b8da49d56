package herald

import (
	"context"
	"time"

	"github.com/herald-events/herald/internal/webhook"
)

const (
	// orderLook is how often a delivery at least looks whether it is its turn, where one before it is tried again.
	orderLook = time.Second
	// orderRun is how many deliveries are made in a row where order is kept, before others get the worker.
	orderRun = 100
)

// deliverInTurn delivers in order if no other node does.
func (w *webhooks) deliverInTurn(ctx context.Context, key DeliveryKey, try int) (deliveryEnd, error) {
	// Whoever has the turn keeps it over a try and its note, and asks for more before half of it is over.
	turn := 2 * (w.client.Timeout() + noteTime)
	mine, err := w.store.TakeTurn(ctx, key.WebhookID, turn)
	if err != nil {
		return deliveryEnd{}, err
	}
	if !mine {
		w.gates.Hold(key.WebhookID)
		return rest(errNotItsTurn), nil
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
		defer cancel()
		if err := w.store.EndTurn(ctx, key.WebhookID); err != nil {
			w.server.log.Warn("deliveries in order wait for the end of a turn", "webhook", key.WebhookID, "err", err)
		}
	}()
	return w.deliverInOrder(ctx, key, try, turn)
}

// deliverInOrder delivers what waits for an endpoint, the oldest first, until the delivery of key and those that are due
// behind it are done: their own jobs find that. Nothing is sent past one that has failed and is to be tried again.
func (w *webhooks) deliverInOrder(ctx context.Context, key DeliveryKey, try int, turn time.Duration) (deliveryEnd, error) {
	own := rest(errNotItsTurn)
	begun := time.Now()
	taken := begun
	for n := 0; n < orderRun && time.Since(begun) < deliveryTime/2; n++ {
		if time.Since(taken) > turn/2 {
			taken = time.Now()
			if mine, err := w.store.TakeTurn(ctx, key.WebhookID, turn); err != nil || !mine {
				return ownOr(own, err)
			}
		}
		d, found, err := w.store.NextDelivery(ctx, key.WebhookID)
		if err != nil || !found {
			return ownOr(own, err)
		}
		if d.Webhook.Paused || !d.Webhook.Enabled {
			return own, nil
		}
		isOwn := d.Event.ID == key.EventID
		if wait := d.NextTry.Sub(w.server.config.clock.Now()); !isOwn && wait > 0 {
			if own.is == endLater {
				own.after = max(webhook.Spread(orderLook), wait)
			}
			return own, nil
		}
		t := tryOf{Delivery: d, isOwn: isOwn}
		if isOwn {
			t.try = try
		}
		out, err := w.attempt(ctx, t)
		if err != nil {
			return ownOr(own, err)
		}
		if isOwn {
			own = out
		}
		if out.is == endAgain {
			return own, nil
		}
	}
	w.gates.Hold(key.WebhookID) // for what is left
	return own, nil
}

// ownOr is what became of a delivery, or why nothing did.
func ownOr(own deliveryEnd, err error) (deliveryEnd, error) {
	if own.is == endLater && err != nil {
		return deliveryEnd{}, err
	}
	return own, nil
}
