package herald

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/herald-events/herald/internal/wire"
)

// maxWebhookBody is enough for the longest URL and all patterns.
const maxWebhookBody = 64 << 10

// webhookBody documents an endpoint that is to be made; webhookForm reads it.
type webhookBody struct {
	_           struct{} `additionalProperties:"false"`
	URL         string   `json:"url" maxLength:"2048" doc:"Where events are posted: https, at a public address"`
	Events      []string `json:"events,omitempty" nullable:"false" maxItems:"100" doc:"Patterns of the types that it gets; none in the list, or no list, means all"`
	Secret      string   `json:"secret,omitempty" pattern:"^whsec_" doc:"What signs; whsec_ and the base64 of 24 to 64 bytes. One is made if it is left out"`
	Description string   `json:"description,omitempty" maxLength:"500"`
	Enabled     *bool    `json:"enabled,omitempty" doc:"Whether events are queued for it"`
	Paused      *bool    `json:"paused,omitempty" doc:"Whether what is queued for it waits"`
	Ordered     *bool    `json:"ordered,omitempty" doc:"Whether each event waits until the one before is done or dead"`
	Concurrency *int     `json:"concurrency,omitempty" minimum:"0" maximum:"1000" doc:"How many deliveries run at once on each node; 0 means 10"`
	Rate        *float64 `json:"rate,omitempty" minimum:"0" doc:"How many deliveries a second begin on each node; 0 for no limit"`
}

// webhookChangeBody documents what of an endpoint is to change.
type webhookChangeBody struct {
	_           struct{}  `additionalProperties:"false"`
	URL         string    `json:"url,omitempty" maxLength:"2048"`
	Events      *[]string `json:"events,omitempty" nullable:"false" maxItems:"100" doc:"An empty list means all"`
	Description *string   `json:"description,omitempty" maxLength:"500"`
	Enabled     *bool     `json:"enabled,omitempty" doc:"false ends what waits as dead; true has one work again that was disabled"`
	Paused      *bool     `json:"paused,omitempty"`
	Ordered     *bool     `json:"ordered,omitempty"`
	Concurrency *int      `json:"concurrency,omitempty" minimum:"0" maximum:"1000"`
	Rate        *float64  `json:"rate,omitempty" minimum:"0"`
}

// webhookAnswer is an endpoint as the server API shows it.
type webhookAnswer struct {
	ID           string   `json:"id"`
	URL          string   `json:"url"`
	Events       []string `json:"events" nullable:"false" doc:"Patterns of the types that it gets; none: all"`
	Description  string   `json:"description,omitempty"`
	Enabled      bool     `json:"enabled" doc:"false: somebody has disabled it, it has answered 410, or everything has failed for 5 days"`
	Paused       bool     `json:"paused"`
	Ordered      bool     `json:"ordered"`
	Concurrency  int      `json:"concurrency"`
	Rate         float64  `json:"rate"`
	FailingSince string   `json:"failingSince,omitempty" format:"date-time" doc:"Since when every try has failed"`
	CreatedAt    string   `json:"createdAt" format:"date-time"`
	Secret       string   `json:"secret,omitempty" doc:"What signs, shown when the endpoint is made and never again"`
	Warnings     []string `json:"warnings,omitempty" nullable:"false" doc:"What was accepted and is perhaps not meant"`
}

func newWebhookAnswer(w Webhook) webhookAnswer {
	a := webhookAnswer{
		ID: w.ID, URL: w.URL, Events: append([]string{}, w.Events...), Description: w.Description,
		Enabled: w.Enabled, Paused: w.Paused, Ordered: w.Ordered, Concurrency: w.Concurrency, Rate: w.Rate,
		CreatedAt: wire.FormatTime(w.CreatedAt),
	}
	if a.Concurrency == 0 {
		a.Concurrency = deliveriesAtOnce
	}
	if !w.FailingSince.IsZero() {
		a.FailingSince = wire.FormatTime(w.FailingSince)
	}
	return a
}

type webhookPage struct {
	Webhooks   []webhookAnswer `json:"webhooks" nullable:"false" doc:"The oldest first"`
	NextCursor string          `json:"nextCursor,omitempty" doc:"Where the next page begins, if there is one"`
}

type secretAnswer struct {
	Secret string `json:"secret" doc:"Signs from now on; the one before signs beside it for 24 hours"`
}

type testedAnswer struct {
	EventID string `json:"eventId" doc:"Of the event webhook.test, which this endpoint alone gets"`
}

// attemptAnswer is a try to deliver as the server API shows it.
type attemptAnswer struct {
	ID         string `json:"id"`
	WebhookID  string `json:"webhookId"`
	EventID    string `json:"eventId"`
	Try        int    `json:"try" doc:"1 is the first"`
	Status     int    `json:"status" doc:"Of HTTP; 0: there was no answer"`
	DurationMs int64  `json:"durationMs"`
	Error      string `json:"error,omitempty" doc:"Why it has not arrived"`
	Response   string `json:"response,omitempty" doc:"The first 4 KB of the answer"`
	At         string `json:"at" format:"date-time"`
}

func newAttemptAnswer(a WebhookAttempt) attemptAnswer {
	return attemptAnswer{
		ID: a.ID, WebhookID: a.Key.WebhookID, EventID: a.Key.EventID, Try: a.Try, Status: a.Status,
		DurationMs: a.Duration.Milliseconds(), Error: a.Error, Response: a.Response, At: wire.FormatTime(a.At),
	}
}

type attemptPage struct {
	Attempts   []attemptAnswer `json:"attempts" nullable:"false" doc:"The newest first"`
	NextCursor string          `json:"nextCursor,omitempty" doc:"Where the next page begins, if there is one"`
}

// redeliverBody documents which deliveries are to be made again.
type redeliverBody struct {
	_     struct{} `additionalProperties:"false"`
	Since string   `json:"since" format:"date-time" doc:"Those that were queued then or later, in RFC 3339"`
}

type redeliveredAnswer struct {
	Retried int `json:"retried" doc:"How many deliveries are made again"`
}

var exampleWebhook = webhookAnswer{
	ID: "wh-0199b1c6-6f30-7d0e-8a51-0d4f2f4a9b77", URL: "https://example.com/hooks", Events: []string{"user.*"},
	Enabled: true, Concurrency: deliveriesAtOnce, CreatedAt: "2026-02-16T12:00:00.000Z",
}

var exampleAttempt = attemptAnswer{
	ID: "att-0199b1c6-7041-7a55-b2f1-4d0a4b1e6c02", WebhookID: exampleWebhook.ID, EventID: exampleAudit.EventID,
	Try: 1, Status: 503, DurationMs: 12, Error: "the endpoint answered 503 Service Unavailable", Response: "come back later",
	At: "2026-02-16T12:00:00.010Z",
}

const exampleSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func (a *api) webhooks() {
	w := a.server.hooks
	id := []*huma.Param{pathParam("id", "The webhook's id", exampleWebhook.ID)}
	made := exampleWebhook
	made.Secret = exampleSecret
	of := func(method, path string, op operation) operation {
		op.Method, op.Path, op.Tag, op.Scope = method, "/api/v1/webhooks"+path, tagWebhooks, ScopeWebhooks
		return op
	}
	register(a, of(http.MethodPost, "", operation{
		ID: "createWebhook", Summary: "Have events delivered to a URL", Status: http.StatusCreated,
		Description: "Signed as Standard Webhooks 1.0 has it. The answer shows the secret, this once. A pattern that matches no type that is known is accepted with a warning.",
		Body:        webhookBody{URL: made.URL, Events: made.Events}, MaxBody: maxWebhookBody,
	}), made, w.serveCreate)
	register(a, of(http.MethodGet, "", operation{
		ID: "listWebhooks", Summary: "List the webhooks", Description: "The oldest first, without their secrets.",
		Params: pageParams(), Refusals: []Code{CodeBadRequest},
	}), webhookPage{Webhooks: []webhookAnswer{exampleWebhook}}, w.serveList)
	register(a, of(http.MethodGet, "/{id}", operation{
		ID: "getWebhook", Summary: "See a webhook", Description: "Without its secret.",
		Params: id, Refusals: []Code{CodeNotFound},
	}), exampleWebhook, w.serveOne)
	register(a, of(http.MethodPatch, "/{id}", operation{
		ID: "changeWebhook", Summary: "Change a webhook", Description: "What is left out stays as it is.",
		Params: id, Refusals: []Code{CodeNotFound},
		Body: webhookChangeBody{Events: &exampleWebhook.Events}, MaxBody: maxWebhookBody,
	}), exampleWebhook, w.serveChange)
	register(a, of(http.MethodDelete, "/{id}", operation{
		ID: "deleteWebhook", Summary: "Remove a webhook", Status: http.StatusNoContent,
		Description: "What waits for it ends as dead, and its attempts are forgotten.",
		Params:      id, Refusals: []Code{CodeNotFound},
	}), struct{}{}, w.serveDelete)
	register(a, of(http.MethodPost, "/{id}/rotate", operation{
		ID: "rotateWebhookSecret", Summary: "Give a webhook a new secret",
		Description: "For 24 hours both secrets sign, so that receivers can change over without a cut. The answer shows the new one, this once.",
		Params:      id, Refusals: []Code{CodeNotFound},
	}), secretAnswer{exampleSecret}, w.serveRotate)
	register(a, of(http.MethodPost, "/{id}/test", operation{
		ID: "testWebhook", Summary: "Send a test event", Status: http.StatusAccepted,
		Description: "Queues an event `webhook.test` for this endpoint alone, whatever its patterns.",
		Params:      id, Refusals: []Code{CodeNotFound, CodeConflict},
	}), testedAnswer{exampleAudit.EventID}, w.serveTest)
	a.webhookAttempts(of, id)
}

func (a *api) webhookAttempts(of func(method, path string, op operation) operation, id []*huma.Param) {
	w := a.server.hooks
	register(a, of(http.MethodGet, "/{id}/attempts", operation{
		ID: "listWebhookAttempts", Summary: "List the tries to deliver to a webhook", Description: "The newest first.",
		Params: append(pageParams(), id...), Refusals: []Code{CodeBadRequest, CodeNotFound},
	}), attemptPage{Attempts: []attemptAnswer{exampleAttempt}}, w.serveAttempts)
	register(a, of(http.MethodPost, "/{id}/retry", operation{
		ID: "retryWebhook", Summary: "Deliver again what is dead", Status: http.StatusAccepted,
		Description: "All dead deliveries that were queued since a time, at most 10,000 at once.",
		Params:      id, Refusals: []Code{CodeNotFound, CodeConflict},
		Body: redeliverBody{Since: "2026-02-16T12:00:00Z"}, MaxBody: maxEnvelope,
	}), redeliveredAnswer{17}, w.serveRedeliver)
	register(a, of(http.MethodPost, "/attempts/{id}/retry", operation{
		ID: "retryWebhookAttempt", Summary: "Deliver an event again", Status: http.StatusAccepted,
		Description: "Has the event of an attempt delivered again to the same webhook, at once.",
		Params:      []*huma.Param{pathParam("id", "The attempt's id", exampleAttempt.ID)},
		Refusals:    []Code{CodeNotFound, CodeConflict},
	}), redeliveredAnswer{1}, w.serveRetryAttempt)
}
