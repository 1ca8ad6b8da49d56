package herald

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/herald-events/herald/internal/webhook"
	"github.com/herald-events/herald/internal/wire"
)

const (
	webhookJob   = "webhook.deliver"
	webhookQueue = "webhooks"
	// deliveriesOfNode is how many deliveries a node works at once, to all endpoints: those that wait for their turn too.
	// It is many times what one endpoint gets, so that several that are slow leave room for the others.
	deliveriesOfNode = 200
	// deliveryTime is what a job may take: one try, or in order several.
	deliveryTime = 10 * time.Minute
	// deliveriesAtOnce is how many deliveries to one endpoint a node runs at once, unless it is told otherwise.
	deliveriesAtOnce = 10
	// gatePatience is how long a delivery waits where its endpoint has enough to do: it holds a worker meanwhile.
	gatePatience = 500 * time.Millisecond
	// restTime is how long a delivery rests that is going to be called before.
	restTime = 5 * time.Minute
	// pausedLook is how often a delivery to a paused endpoint looks by itself whether it still is.
	pausedLook = time.Hour
	// storeLook is when to come back to a store that cannot serve, about.
	storeLook = 5 * time.Second
	// disableAfter is how long every try may fail before an endpoint is disabled.
	disableAfter = 5 * 24 * time.Hour
	// noteTime bounds noting what a try came to, also where the server ends meanwhile.
	noteTime = 15 * time.Second
)

// webhooks delivers events to endpoints. What is to be delivered when, the store and its jobs know.
type webhooks struct {
	server   *Server
	store    Store // nil: there are none
	client   *webhook.Client
	gates    *webhook.Gates
	schedule webhook.Schedule
}

func newWebhooks(s *Server) *webhooks {
	c := s.config.Webhooks
	return &webhooks{
		server:   s,
		store:    s.config.Store,
		client:   webhook.NewClient(webhook.ClientConfig{AllowPrivate: c.AllowPrivate, Timeout: c.Timeout}),
		gates:    webhook.NewGates(gatePatience),
		schedule: webhook.Schedule{Delays: c.Retry},
	}
}

// handle has the store's jobs worked that are deliveries.
func (w *webhooks) handle() error {
	if w.store == nil {
		return nil
	}
	return w.server.handle(webhookJob, w.work, []JobOption{
		OnQueue(webhookQueue), MaxAttempts(w.schedule.Tries()), JobTimeout(deliveryTime),
	})
}

// DeliveryJob implements StoreNode.
func (n storeNode) DeliveryJob(webhookID string) NewJob {
	j := n.work.handlers[webhookJob].defaults
	if n.hooks.gates.HoldIfFull(webhookID) {
		j.RunAt = n.config.clock.Now().Add(restTime)
	}
	return j
}

// work is the handler of the jobs.
func (w *webhooks) work(ctx context.Context, j Job) error {
	key, ok := DeliveryOf(j)
	if !ok {
		return GiveUp(errors.New("the payload names no delivery"))
	}
	out, err := w.deliver(ctx, key, j.Attempts)
	if out.is == endAgain && j.Attempts >= j.MaxAttempts { // the schedule was shorter when it was queued
		out.is = endDead
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err() // the job is given back
	case err != nil:
		w.server.log.Warn("a delivery waits for the store", "webhook", key.WebhookID, "event", key.EventID, "err", err)
		return Snooze(webhook.Spread(storeLook), err)
	case out.is == endAgain:
		return RetryAfter(out.after, out.why)
	case out.is == endLater:
		return Snooze(out.after, out.why)
	case out.is == endDead:
		return GiveUp(out.why)
	}
	return nil
}

// deliveryEnd is what working a delivery came to.
type deliveryEnd struct {
	is    endKind
	after time.Duration // until it is to be worked again
	why   error         // nil where it is done
}

type endKind int

const (
	endDone  endKind = iota
	endAgain         // a try has failed, and there is to be another
	endLater         // nothing was tried yet
	endDead          // there is to be no other
)

var (
	errWebhookGone     = errors.New("the webhook was removed, or the event is not kept any more")
	errWebhookDisabled = errors.New("the webhook is disabled")
	errWebhookPaused   = errors.New("the webhook is paused")
	errDeliveryEnded   = errors.New("the delivery was ended before")
	errNotItsTurn      = errors.New("events before it wait for the same webhook")
)

// rest has a delivery be worked when it is called.
func rest(why error) deliveryEnd { return deliveryEnd{endLater, webhook.Spread(restTime), why} }

// deliver works one delivery, whose job runs for the try-th time. An error says that the store could not tell, or that
// ctx has ended: then nothing was noted.
func (w *webhooks) deliver(ctx context.Context, key DeliveryKey, try int) (deliveryEnd, error) {
	d, found, err := w.store.Delivery(ctx, key)
	if err != nil {
		return deliveryEnd{}, err
	}
	if out, settled := w.settled(d, found, try); settled {
		return out, nil
	}
	limits := webhook.Limits{Concurrency: d.Webhook.Concurrency, Rate: d.Webhook.Rate}
	if limits.Concurrency == 0 {
		limits.Concurrency = deliveriesAtOnce
	}
	if d.Webhook.Ordered {
		limits.Concurrency = 1
	}
	leave, err := w.gates.Enter(ctx, key.WebhookID, limits)
	if errors.Is(err, webhook.ErrFull) {
		return rest(err), nil
	}
	if err != nil {
		return deliveryEnd{}, err
	}
	defer leave()
	if d.Webhook.Ordered {
		return w.deliverInTurn(ctx, key, try)
	}
	return w.attempt(ctx, tryOf{d, try, true})
}

// settled tells what is to become of a delivery without a try, if anything.
func (w *webhooks) settled(d Delivery, found bool, try int) (deliveryEnd, bool) {
	wait := d.NextTry.Sub(w.server.config.clock.Now())
	switch {
	case !found:
		return deliveryEnd{endDead, 0, errWebhookGone}, true
	case d.State == DeliveryDone:
		return deliveryEnd{is: endDone}, true
	case !d.Webhook.Enabled:
		return deliveryEnd{endDead, 0, errWebhookDisabled}, true
	case d.State == DeliveryDead:
		return deliveryEnd{endDead, 0, errDeliveryEnded}, true
	case d.Webhook.Paused:
		return deliveryEnd{endLater, webhook.Spread(pausedLook), errWebhookPaused}, true
	case d.Tries >= try && wait > 0: // the delivery before it has tried it, in its order
		return deliveryEnd{endLater, wait, errNotItsTurn}, true
	}
	return deliveryEnd{}, false
}

// attempt sends an event once, and notes what that came to.
func (w *webhooks) attempt(ctx context.Context, d tryOf) (deliveryEnd, error) {
	now := w.server.config.clock.Now()
	payload, _ := d.Event.Payload.(json.RawMessage)
	answer := w.client.Post(ctx, webhook.Message{
		URL: d.Webhook.URL, ID: d.Event.ID, Secrets: secretsAt(d.Webhook.Secrets, now),
		Body: wire.WebhookBody(wire.Event{ID: d.Event.ID, Type: d.Event.Type, Timestamp: d.Event.Timestamp, Payload: payload}),
	})
	if ctx.Err() != nil && answer.Err != nil { // it was this server that hung up
		return deliveryEnd{}, ctx.Err()
	}
	d.try = max(d.try, d.Tries+1)
	out := w.judge(answer, d.try)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if err := w.note(ctx, d, answer, out, now); err != nil {
		return deliveryEnd{}, err
	}
	return out, w.giveUp(ctx, d.Webhook, answer, now)
}

// secretsAt are those that sign at a time.
func secretsAt(kept []WebhookSecret, now time.Time) (secrets []webhook.Secret) {
	for _, k := range kept {
		if !k.Until.IsZero() && now.After(k.Until) {
			continue
		}
		if s, err := webhook.ParseSecret(k.Text); err == nil { // which it was when it was kept
			secrets = append(secrets, s)
		}
	}
	return secrets
}

// judge says what is to become of a delivery after a try.
func (w *webhooks) judge(a webhook.Answer, try int) deliveryEnd {
	switch a.Verdict() {
	case webhook.Done:
		return deliveryEnd{is: endDone}
	case webhook.Gone:
		return deliveryEnd{endDead, 0, errors.New(reasonOfAnswer(a))}
	}
	after, more := w.schedule.Next(try, a.RetryAfter)
	if !more {
		return deliveryEnd{endDead, 0, errors.New(reasonOfAnswer(a))}
	}
	return deliveryEnd{endAgain, after, errors.New(reasonOfAnswer(a))}
}

// attemptResults are the values of a metric's label.
var attemptResults = []string{"delivered", "failed", "dead"}

// tryOf is one try of a delivery.
type tryOf struct {
	Delivery
	try   int
	isOwn bool // the job that runs is the delivery's
}

// note keeps an attempt, and where its delivery stands now.
func (w *webhooks) note(ctx context.Context, d tryOf, a webhook.Answer, out deliveryEnd, at time.Time) error {
	then, result := Delivered{State: DeliveryDone}, attemptResults[0]
	switch out.is {
	case endAgain:
		then, result = Delivered{State: DeliveryWaiting, NextTry: at.Add(a.Duration + out.after)}, attemptResults[1]
	case endDead:
		then, result = Delivered{State: DeliveryDead}, attemptResults[2]
	}
	then.EndJob = !d.isOwn
	w.server.metrics.attempts.WithLabelValues(result).Inc()
	attempt := WebhookAttempt{
		ID: "att-" + uuid.Must(uuid.NewV7()).String(), Key: DeliveryKey{d.Webhook.ID, d.Event.ID}, Try: d.try,
		Status: a.Status, Duration: a.Duration, Response: string(a.Body), At: at,
	}
	if out.why != nil {
		attempt.Error = out.why.Error()
	}
	return w.store.Tried(ctx, attempt, then)
}

// giveUp disables an endpoint that wants nothing any more, or for which everything has failed for too long.
func (w *webhooks) giveUp(ctx context.Context, hook Webhook, a webhook.Answer, now time.Time) error {
	disabled := WebhookDisabled{WebhookID: hook.ID, Reason: "failing"}
	if !hook.FailingSince.IsZero() {
		disabled.FailingSince = &hook.FailingSince
	}
	switch a.Verdict() {
	case webhook.Done:
		return nil
	case webhook.Gone:
		disabled.Reason = "gone"
	default:
		if hook.FailingSince.IsZero() || now.Sub(hook.FailingSince) < disableAfter {
			return nil
		}
	}
	e, err := Event{Type: disabled.EventType(), Payload: disabled}.checked(now, w.server.config.Limits.MaxPayloadSize)
	if err != nil {
		return err
	}
	already := errors.New("another has disabled it") // of those that fail together
	_, found, err := w.store.ChangeWebhook(ctx, hook.ID, func(h *Webhook) error {
		if !h.Enabled {
			return already
		}
		h.Enabled = false
		return nil
	}, e)
	if errors.Is(err, already) {
		return nil
	}
	if err == nil && found {
		w.server.log.Warn("a webhook was disabled", "webhook", hook.ID, "reason", disabled.Reason)
	}
	return err
}

// reasonOfAnswer says in words why a try has failed.
func reasonOfAnswer(a webhook.Answer) string {
	if a.Err != nil {
		return a.Err.Error()
	}
	return strings.TrimSpace(fmt.Sprintf("the endpoint answered %d %s", a.Status, http.StatusText(a.Status)))
}
