package herald

import (
	"context"
	"encoding/json"
	"time"
)

// Webhooks are the endpoints that events are delivered to.
type Webhooks interface {
	// AddWebhook keeps a new endpoint. What is recorded from then on is delivered to it.
	AddWebhook(ctx context.Context, w Webhook) error
	Webhook(ctx context.Context, id string) (w Webhook, found bool, err error)
	// Webhooks returns endpoints by their ids, from the one behind after.
	Webhooks(ctx context.Context, after string, limit int) ([]Webhook, error)
	// ChangeWebhook has change change an endpoint, in one transaction; where that returns an error nothing is
	// changed. One that is not enabled afterwards has its waiting deliveries ended as dead. With the change events are
	// published, as with a transaction of the application's own.
	ChangeWebhook(ctx context.Context, id string, change func(*Webhook) error, events ...Event) (w Webhook, found bool, err error)
	// RemoveWebhook forgets an endpoint with its deliveries and attempts.
	RemoveWebhook(ctx context.Context, id string) (found bool, err error)
}

// Webhook is an endpoint.
type Webhook struct {
	ID          string
	URL         string
	Events      []string // patterns of types; none: all
	Description string

	Enabled bool // whether events are queued for it
	Paused  bool // whether what is queued waits
	Ordered bool // whether each waits for the one before to be done or dead

	Concurrency int     // how many deliveries run at once on each node; 0 is the server's default
	Rate        float64 // how many a second each node starts; 0: as many as come

	Secrets      []WebhookSecret // the newest first
	FailingSince time.Time       // when the first of the tries failed that all did since; zero: the last did not
	CreatedAt    time.Time
}

// WebhookSecret signs what an endpoint gets.
type WebhookSecret struct {
	Text  string    // "whsec_…"
	Until time.Time // zero: for good
}

// Deliveries are events on their way to endpoints. Record makes them, each with its job.
type Deliveries interface {
	Delivery(ctx context.Context, key DeliveryKey) (d Delivery, found bool, err error)
	// Tried keeps an attempt and what it makes of its delivery, and returns when that is committed.
	Tried(ctx context.Context, a WebhookAttempt, then Delivered) error
	// Attempts returns a page of attempts, the newest first.
	Attempts(ctx context.Context, q AttemptQuery) ([]WebhookAttempt, error)
	// Redeliver has deliveries of an endpoint run again, at once. One that runs already is refused with
	// [CodeConflict].
	Redeliver(ctx context.Context, webhookID string, which Redelivery) (n int, err error)
}

// DeliveryTurns say which of the deliveries to an endpoint is next.
type DeliveryTurns interface {
	// NextDelivery is the oldest that waits for an endpoint.
	NextDelivery(ctx context.Context, webhookID string) (d Delivery, found bool, err error)
	// TakeTurn has this node alone deliver to an endpoint in order, for a time or until EndTurn; who has the turn can
	// take it again. It reports false where another node has it.
	TakeTurn(ctx context.Context, webhookID string, d time.Duration) (bool, error)
	EndTurn(ctx context.Context, webhookID string) error
	// WakeDeliveries has jobs of deliveries run now that wait for a time of theirs and were not tried, or are due again:
	// of each endpoint so many at most, the oldest; of one that is paused none, and where order is kept none before the
	// oldest of all is due. It returns how many there were.
	WakeDeliveries(ctx context.Context, most map[string]int) (woken map[string]int, err error)
}

// DeliveryKey names a delivery: an event, and the endpoint that is to get it.
type DeliveryKey struct{ WebhookID, EventID string }

// Payload is what the delivery's job has.
func (k DeliveryKey) Payload() []byte {
	text, _ := json.Marshal(deliveryPayload{k.WebhookID, k.EventID}) // never fails
	return text
}

// DeliveryOf names the delivery whose job j is; false: of none.
func DeliveryOf(j Job) (DeliveryKey, bool) {
	var p deliveryPayload
	if j.Type != webhookJob || json.Unmarshal(j.Payload, &p) != nil {
		return DeliveryKey{}, false
	}
	return DeliveryKey{p.Webhook, p.Event}, true
}

type deliveryPayload struct {
	Webhook string `json:"webhook"`
	Event   string `json:"event"`
}

// Delivery is an event on its way to an endpoint.
type Delivery struct {
	Webhook Webhook
	Event   Event // its payload a json.RawMessage
	State   DeliveryState
	Tries   int       // how many there were
	NextTry time.Time // about; zero: at once
}

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryWaiting DeliveryState = "waiting"
	DeliveryDone    DeliveryState = "done"
	DeliveryDead    DeliveryState = "dead"
)

// Delivered is what an attempt has made of its delivery.
type Delivered struct {
	State   DeliveryState
	NextTry time.Time // of one that waits
	EndJob  bool      // it was made by another's job: its own, which waits, ends with it
}

// WebhookAttempt is one try of a delivery.
type WebhookAttempt struct {
	ID       string // later ones have greater ids
	Key      DeliveryKey
	Try      int // 1 is the first
	Status   int // of HTTP; 0: there was no answer
	Duration time.Duration
	Error    string // empty where it has arrived
	Response string // the first 4 KB of the answer
	At       time.Time
}

// AttemptQuery says which attempts are wanted; what is empty does not filter.
type AttemptQuery struct {
	ID                 string
	WebhookID, EventID string
	Before             string // the id of an attempt
	Limit              int
}

// Redelivery says which deliveries of an endpoint are to run again: that of one event, or the dead ones since a time.
type Redelivery struct {
	EventID string
	Since   time.Time
}
