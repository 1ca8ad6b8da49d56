package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/herald-events/herald"
)

// keptSecret is a secret of an endpoint as it is kept.
type keptSecret struct {
	Text  string `json:"text"`            // encrypted where there is a key
	Until int64  `json:"until,omitempty"` // 0: for good
}

const webhookColumns = "id, url, events, description, enabled, paused, ordered, concurrency, rate, secrets, failing_since, created_at"

func (s *Store) webhookValues(w *herald.Webhook) ([]any, error) {
	events, err := json.Marshal(append([]string{}, w.Events...))
	if err != nil {
		return nil, err
	}
	kept := []keptSecret{}
	for _, secret := range w.Secrets {
		kept = append(kept, keptSecret{s.seals.close(secret.Text, w.ID), milli(secret.Until)})
	}
	secrets, err := json.Marshal(kept)
	if err != nil {
		return nil, err
	}
	return []any{
		w.ID, w.URL, string(events), storable(w.Description), bit(w.Enabled), bit(w.Paused), bit(w.Ordered),
		int64(w.Concurrency), w.Rate, string(secrets), milli(w.FailingSince), milli(w.CreatedAt),
	}, nil
}

func (s *Store) scanWebhook(r row) (w herald.Webhook, err error) {
	var k keptWebhook
	if err := r.Scan(k.places(&w)...); err != nil {
		return w, err
	}
	return w, s.finishWebhook(&w, &k)
}

// keptWebhook is what of an endpoint is kept in another form.
type keptWebhook struct {
	events, secrets           text
	enabled, paused, ordered  int64
	concurrency               int64
	failingSince, createdAtMs int64
}

// places are where the columns go.
func (k *keptWebhook) places(w *herald.Webhook) []any {
	return []any{
		&w.ID, &w.URL, &k.events, &w.Description, &k.enabled, &k.paused, &k.ordered,
		&k.concurrency, &w.Rate, &k.secrets, &k.failingSince, &k.createdAtMs,
	}
}

func (s *Store) finishWebhook(w *herald.Webhook, k *keptWebhook) error {
	w.Enabled, w.Paused, w.Ordered = k.enabled != 0, k.paused != 0, k.ordered != 0
	w.Concurrency = int(k.concurrency)
	w.FailingSince, w.CreatedAt = timeOf(k.failingSince), timeOf(k.createdAtMs)
	var kept []keptSecret
	if err := json.Unmarshal(k.events, &w.Events); err != nil {
		return fmt.Errorf("read the patterns of webhook %s: %w", w.ID, err)
	}
	if err := json.Unmarshal(k.secrets, &kept); err != nil {
		return fmt.Errorf("read the secrets of webhook %s: %w", w.ID, err)
	}
	for _, secret := range kept {
		text, err := s.seals.open(secret.Text, w.ID)
		if err != nil {
			return fmt.Errorf("read the secret of webhook %s: %w", w.ID, err)
		}
		w.Secrets = append(w.Secrets, herald.WebhookSecret{Text: text, Until: timeOf(secret.Until)})
	}
	return nil
}

// AddWebhook implements herald.Webhooks.
func (s *Store) AddWebhook(ctx context.Context, w herald.Webhook) error {
	values, err := s.webhookValues(&w)
	if err != nil {
		return err
	}
	return storeError(s.db.write(ctx, func(t tx) error {
		if err := insert(ctx, t, "herald_webhooks", webhookColumns, [][]any{values}, ""); err != nil {
			return err
		}
		return noteWebhookChange(ctx, t)
	}))
}

// noteWebhookChange has every node read the endpoints again before the next event is recorded.
func noteWebhookChange(ctx context.Context, t tx) error {
	_, err := t.exec(ctx, "UPDATE herald_webhook_changes SET n = n + 1")
	return err
}

// Webhook implements herald.Webhooks.
func (s *Store) Webhook(ctx context.Context, id string) (w herald.Webhook, found bool, err error) {
	w, found, err = s.webhook(ctx, s.db, id, "")
	return w, found, storeError(err)
}

func (s *Store) webhook(ctx context.Context, from reader, id, lock string) (w herald.Webhook, found bool, err error) {
	err = from.query(ctx, func(r row) (err error) {
		w, err = s.scanWebhook(r)
		found = true
		return err
	}, "SELECT "+webhookColumns+" FROM herald_webhooks WHERE id = ?"+lock, id)
	return w, found && err == nil, err
}

// Webhooks implements herald.Webhooks.
func (s *Store) Webhooks(ctx context.Context, after string, limit int) (all []herald.Webhook, err error) {
	err = s.db.query(ctx, func(r row) error {
		w, err := s.scanWebhook(r)
		all = append(all, w)
		return err
	}, "SELECT "+webhookColumns+" FROM herald_webhooks WHERE id > ? ORDER BY id LIMIT ?", after, limit)
	return all, storeError(err)
}

// ChangeWebhook implements herald.Webhooks.
func (s *Store) ChangeWebhook(
	ctx context.Context, id string, change func(*herald.Webhook) error, events ...herald.Event,
) (w herald.Webhook, found bool, err error) {
	var refused error
	err = s.db.write(ctx, func(t tx) (err error) {
		refused = nil
		if w, found, err = s.webhook(ctx, t, id, s.forUpdate()); err != nil || !found {
			return err
		}
		if refused = change(&w); refused != nil {
			return refused
		}
		if err := s.replaceWebhook(ctx, t, &w); err != nil {
			return err
		}
		return s.putOutOwn(ctx, t, events)
	})
	if refused != nil {
		return w, found, refused
	}
	if err != nil || !found {
		return w, found, storeError(err)
	}
	if len(events) > 0 {
		s.wake()
	}
	if !w.Enabled {
		if err := s.endDeliveries(ctx, id, "the webhook is disabled"); err != nil { // what is left ends when it is worked
			s.log.Warn("deliveries to a webhook that is disabled still wait", "webhook", id, "err", err)
		}
	}
	return w, true, nil
}

// forUpdate has a query lock its rows. In SQLite there is only one that writes.
func (s *Store) forUpdate() string {
	if s.dialect == postgres {
		return " FOR UPDATE"
	}
	return ""
}

func (s *Store) replaceWebhook(ctx context.Context, t tx, w *herald.Webhook) error {
	values, err := s.webhookValues(w)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "UPDATE herald_webhooks SET url = ?, events = ?, description = ?, enabled = ?, paused = ?, ordered = ?, "+
		"concurrency = ?, rate = ?, secrets = ?, failing_since = ?, created_at = ? WHERE id = ?", append(values[1:], w.ID)...)
	if err != nil {
		return err
	}
	return noteWebhookChange(ctx, t)
}

// SealSecrets encrypts with the first key what is not, so that a key that is taken out of the list is needed no more.
// What none of the keys can read is an [ErrEncryptionKey]. Run calls it; who wants to know before may do so too.
func (s *Store) SealSecrets(ctx context.Context) error {
	return s.db.write(ctx, func(t tx) error {
		stale := map[string]bool{}
		err := t.query(ctx, func(r row) error {
			var (
				id   string
				raw  text
				kept []keptSecret
			)
			if err := r.Scan(&id, &raw); err != nil {
				return err
			}
			if err := json.Unmarshal(raw, &kept); err != nil {
				return fmt.Errorf("read the secrets of webhook %s: %w", id, err)
			}
			for _, secret := range kept {
				if _, err := s.seals.open(secret.Text, id); err != nil {
					return fmt.Errorf("read the secret of webhook %s: %w", id, err)
				}
				stale[id] = stale[id] || !s.seals.current(secret.Text)
			}
			return nil
		}, "SELECT id, secrets FROM herald_webhooks")
		if err != nil {
			return err
		}
		for id, isStale := range stale {
			if !isStale {
				continue
			}
			w, _, err := s.webhook(ctx, t, id, s.forUpdate())
			if err != nil {
				return err
			}
			if err := s.replaceWebhook(ctx, t, &w); err != nil {
				return err
			}
		}
		return nil
	})
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// milli is a time as it is kept; the zero time is 0.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(milli int64) time.Time {
	if milli == 0 {
		return time.Time{}
	}
	return time.UnixMilli(milli).UTC()
}
