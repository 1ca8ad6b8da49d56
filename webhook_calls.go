package herald

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/herald-events/herald/internal/webhook"
)

// secretOverlap is how long an old secret signs beside the one that has taken its place.
const secretOverlap = 24 * time.Hour

// maxSecrets bounds the signatures of a message: who rotates more often than that cuts the oldest off.
const maxSecrets = 10

func errNoWebhook() error { return refuse(CodeNotFound, "there is no webhook of this id") }

func (w *webhooks) serveCreate(r *http.Request, body []byte) (webhookAnswer, error) {
	if w.store == nil {
		return webhookAnswer{}, errNoStore()
	}
	f := webhookForm{Webhook: Webhook{Enabled: true}, allowPrivate: w.server.config.Webhooks.AllowPrivate}
	var rd reading
	if _, err := rd.body(body, f.created()); err != nil {
		return webhookAnswer{}, err
	}
	if err := rd.err(); err != nil {
		return webhookAnswer{}, err
	}
	warnings, err := w.warnings(r.Context(), f.Events)
	if err != nil {
		return webhookAnswer{}, err
	}
	if f.secret == "" {
		f.secret = webhook.NewSecret().Text()
	}
	f.ID = "wh-" + uuid.Must(uuid.NewV7()).String()
	f.CreatedAt = w.server.config.clock.Now().UTC().Truncate(time.Millisecond)
	f.Secrets = []WebhookSecret{{Text: f.secret}}
	if err := w.store.AddWebhook(r.Context(), f.Webhook); err != nil {
		return webhookAnswer{}, err
	}
	a := newWebhookAnswer(f.Webhook)
	a.Secret, a.Warnings = f.secret, warnings
	return a, nil
}

func (w *webhooks) serveList(r *http.Request, _ []byte) (webhookPage, error) {
	if w.store == nil {
		return webhookPage{}, errNoStore()
	}
	q, err := readListQuery(r, "webhooks")
	if err != nil {
		return webhookPage{}, err
	}
	all, err := w.store.Webhooks(r.Context(), q.after, q.limit+1) // to see whether there is another page
	if err != nil {
		return webhookPage{}, err
	}
	page := webhookPage{Webhooks: []webhookAnswer{}}
	if len(all) > q.limit {
		all = all[:q.limit]
		page.NextCursor = q.cursor(all[q.limit-1].ID)
	}
	for _, hook := range all {
		page.Webhooks = append(page.Webhooks, newWebhookAnswer(hook))
	}
	return page, nil
}

// find finds the endpoint of a call.
func (w *webhooks) find(ctx context.Context, id string) (Webhook, error) {
	if w.store == nil {
		return Webhook{}, errNoStore()
	}
	hook, found, err := w.store.Webhook(ctx, id)
	if err == nil && !found {
		err = errNoWebhook()
	}
	return hook, err
}

func (w *webhooks) serveOne(r *http.Request, _ []byte) (webhookAnswer, error) {
	hook, err := w.find(r.Context(), r.PathValue("id"))
	return newWebhookAnswer(hook), err
}

// change changes the endpoint of a call.
func (w *webhooks) change(r *http.Request, change func(*Webhook) error) (Webhook, error) {
	if w.store == nil {
		return Webhook{}, errNoStore()
	}
	hook, found, err := w.store.ChangeWebhook(r.Context(), r.PathValue("id"), change)
	if err == nil && !found {
		err = errNoWebhook()
	}
	return hook, err
}

func (w *webhooks) serveChange(r *http.Request, body []byte) (webhookAnswer, error) {
	hook, err := w.change(r, func(hook *Webhook) error {
		f := webhookForm{Webhook: *hook, allowPrivate: w.server.config.Webhooks.AllowPrivate}
		var rd reading
		if _, err := rd.body(body, f.changed()); err != nil {
			return err
		}
		if err := rd.err(); err != nil {
			return err
		}
		if f.Enabled && !hook.Enabled || hook.Paused && !f.Paused { // it begins anew
			f.FailingSince = time.Time{}
		}
		*hook = f.Webhook
		return nil
	})
	if err != nil {
		return webhookAnswer{}, err
	}
	w.gates.Hold(hook.ID) // what waits may be delivered now
	a := newWebhookAnswer(hook)
	a.Warnings, err = w.warnings(r.Context(), hook.Events)
	return a, err
}

func (w *webhooks) serveDelete(r *http.Request, _ []byte) (struct{}, error) {
	if w.store == nil {
		return struct{}{}, errNoStore()
	}
	id := r.PathValue("id")
	found, err := w.store.RemoveWebhook(r.Context(), id)
	if err == nil && !found {
		err = errNoWebhook()
	}
	w.gates.Forget(id)
	return struct{}{}, err
}

func (w *webhooks) serveRotate(r *http.Request, _ []byte) (secretAnswer, error) {
	fresh := webhook.NewSecret().Text()
	now := w.server.config.clock.Now()
	_, err := w.change(r, func(hook *Webhook) error {
		secrets := []WebhookSecret{{Text: fresh}}
		for _, old := range hook.Secrets {
			if old.Until.IsZero() {
				old.Until = now.Add(secretOverlap)
			}
			if now.Before(old.Until) && len(secrets) < maxSecrets {
				secrets = append(secrets, old)
			}
		}
		hook.Secrets = secrets
		return nil
	})
	return secretAnswer{fresh}, err
}

// findEnabled finds the endpoint of a call that is to get something.
func (w *webhooks) findEnabled(ctx context.Context, id string) (Webhook, error) {
	hook, err := w.find(ctx, id)
	if err == nil && !hook.Enabled {
		err = refuse(CodeConflict, "the webhook is disabled: enable it first")
	}
	return hook, err
}

func (w *webhooks) serveTest(r *http.Request, _ []byte) (testedAnswer, error) {
	hook, err := w.findEnabled(r.Context(), r.PathValue("id"))
	if err != nil {
		return testedAnswer{}, err
	}
	s := w.server
	payload := webhookTest{hook.ID}
	e, err := Event{Type: payload.EventType(), Payload: payload}.checked(s.config.clock.Now(), s.config.Limits.MaxPayloadSize)
	if err != nil {
		return testedAnswer{}, err
	}
	entry, err := s.auditOf(e)
	if err != nil {
		return testedAnswer{}, err
	}
	_, err = w.store.Record(r.Context(), Record{Event: e, Audit: entry, WebhookID: hook.ID})
	return testedAnswer{e.ID}, err
}

func (w *webhooks) serveAttempts(r *http.Request, _ []byte) (attemptPage, error) {
	hook, err := w.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return attemptPage{}, err
	}
	q, err := readListQuery(r, "attempts/"+hook.ID)
	if err != nil {
		return attemptPage{}, err
	}
	// One more, to see whether there is another page.
	all, err := w.store.Attempts(r.Context(), AttemptQuery{WebhookID: hook.ID, Before: q.after, Limit: q.limit + 1})
	if err != nil {
		return attemptPage{}, err
	}
	page := attemptPage{Attempts: []attemptAnswer{}}
	if len(all) > q.limit {
		all = all[:q.limit]
		page.NextCursor = q.cursor(all[q.limit-1].ID)
	}
	for _, a := range all {
		page.Attempts = append(page.Attempts, newAttemptAnswer(a))
	}
	return page, nil
}

func (w *webhooks) serveRedeliver(r *http.Request, body []byte) (redeliveredAnswer, error) {
	hook, err := w.findEnabled(r.Context(), r.PathValue("id"))
	if err != nil {
		return redeliveredAnswer{}, err
	}
	var (
		rd    reading
		since time.Time
	)
	if _, err := rd.body(body, redeliverShape(&since)); err != nil {
		return redeliveredAnswer{}, err
	}
	if err := rd.err(); err != nil {
		return redeliveredAnswer{}, err
	}
	n, err := w.store.Redeliver(r.Context(), hook.ID, Redelivery{Since: since})
	return redeliveredAnswer{n}, err
}

func redeliverShape(since *time.Time) shape {
	return shape{
		required: []string{"since"},
		fields: map[string]field{"since": textField(func(text string) (err error) {
			*since, err = parseTimestamp(text)
			return err
		})},
	}
}

func (w *webhooks) serveRetryAttempt(r *http.Request, _ []byte) (redeliveredAnswer, error) {
	if w.store == nil {
		return redeliveredAnswer{}, errNoStore()
	}
	missing := refuse(CodeNotFound, "there is no attempt of this id")
	found, err := w.store.Attempts(r.Context(), AttemptQuery{ID: r.PathValue("id"), Limit: 1})
	if err != nil {
		return redeliveredAnswer{}, err
	}
	if len(found) == 0 {
		return redeliveredAnswer{}, missing
	}
	key := found[0].Key
	if _, err := w.findEnabled(r.Context(), key.WebhookID); err != nil {
		return redeliveredAnswer{}, err
	}
	n, err := w.store.Redeliver(r.Context(), key.WebhookID, Redelivery{EventID: key.EventID})
	if err == nil && n == 0 {
		err = missing
	}
	return redeliveredAnswer{n}, err
}

// attemptsOf are the tries to deliver an event, the newest first.
func (w *webhooks) attemptsOf(ctx context.Context, eventID string) ([]attemptAnswer, error) {
	answers := []attemptAnswer{}
	if w.store == nil {
		return answers, nil
	}
	all, err := w.store.Attempts(ctx, AttemptQuery{EventID: eventID, Limit: maxPage})
	for _, a := range all {
		answers = append(answers, newAttemptAnswer(a))
	}
	return answers, err
}
