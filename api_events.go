package herald

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/herald-events/herald/internal/wire"
)

// eventBody documents a domain event that is to be published; readEvent reads it.
type eventBody struct {
	_         struct{}        `additionalProperties:"false"`
	Type      string          `json:"type" minLength:"1" maxLength:"100" pattern:"^[a-z0-9_-]+([.][a-z0-9_-]+)*$" doc:"What happened: dot-separated segments"`
	Payload   json.RawMessage `json:"payload,omitempty" doc:"Any JSON; null if it is left out"`
	UserID    string          `json:"userId,omitempty" minLength:"1" maxLength:"200" doc:"Whose fact it is"`
	ID        string          `json:"id,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$" doc:"The event's id, not \"stream\". The same id again changes nothing, so that a publisher may try again"`
	Timestamp string          `json:"timestamp,omitempty" format:"date-time" doc:"When it happened; now if it is left out"`
	IP        string          `json:"ip,omitempty" doc:"The address that it came from, of IPv4 or IPv6"`
}

type publishAnswer struct {
	ID        string `json:"id" doc:"The event's id"`
	Duplicate bool   `json:"duplicate,omitempty" doc:"The id was known, and nothing was changed"`
}

// eventAnswer is a domain event as the server API shows it, with identity.
type eventAnswer struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp" format:"date-time" doc:"In UTC, with milliseconds"`
	UserID    string          `json:"userId,omitempty"`
	Payload   json.RawMessage `json:"payload"`
	IP        string          `json:"ip,omitempty"`
}

// reportAnswer is what became of an event.
type reportAnswer struct {
	Event     eventAnswer     `json:"event"`
	Audit     *auditAnswer    `json:"audit" doc:"Its entry in the audit log, null without one"`
	Webhooks  []attemptAnswer `json:"webhooks" nullable:"false" doc:"The attempts to deliver it to webhooks, the newest first"`
	Jobs      []jobAnswer     `json:"jobs" nullable:"false" doc:"The jobs that it made and that are still kept, the newest first"`
	Delivered deliveredAnswer `json:"delivered"`
}

// deliveredAnswer counts the connections that an event was handed to.
type deliveredAnswer struct {
	WebSocket int64 `json:"websocket" doc:"WebSocket connections that it was handed to"`
	SSE       int64 `json:"sse" doc:"Streams that it was handed to"`
}

func (a *api) events() {
	const id = "evt-0199b1c6-6f2e-7c3a-9d57-3f6f0c9b8a11"
	payload := json.RawMessage(`{"userId":"u-7","email":"ada@example.com"}`)
	register(a, operation{
		Method: http.MethodPost, Path: "/api/v1/events", ID: "publishEvent", Tag: tagEvents,
		Summary: "Publish a domain event",
		Description: "Records a fact and tells everyone who listens to its type. " +
			"An event whose id is known changes nothing and is answered with `duplicate`.",
		Scope: ScopePublish, Status: http.StatusAccepted,
		Body:    eventBody{Type: "user.registered", Payload: payload, UserID: "u-7", IP: "203.0.113.7"},
		MaxBody: a.server.config.Limits.MaxPayloadSize + maxEnvelope,
	}, publishAnswer{ID: id}, a.server.servePublish)
	register(a, operation{
		Method: http.MethodGet, Path: "/api/v1/events/{id}", ID: "getEvent", Tag: tagEvents,
		Summary:     "See what became of a domain event",
		Description: "Finds one of the last events, and tells to how many connections it was handed.",
		Scope:       ScopeRead,
		Params:      []*huma.Param{pathParam("id", "The event's id", id)},
		Refusals:    []Code{CodeNotFound},
	}, reportAnswer{
		Event: eventAnswer{
			ID: id, Type: "user.registered", Timestamp: "2026-02-16T12:00:00.000Z",
			UserID: "u-7", Payload: payload, IP: "203.0.113.7",
		},
		Audit: &exampleAudit, Webhooks: []attemptAnswer{exampleAttempt}, Jobs: []jobAnswer{exampleJob}, Delivered: deliveredAnswer{WebSocket: 3, SSE: 1},
	}, a.server.serveEvent)
}

// servePublish answers for the event alone: once it is accepted, an error is a handler's of this
// process, and to publish again would not make it run again.
func (s *Server) servePublish(r *http.Request, body []byte) (publishAnswer, error) {
	e, err := readEvent(body, s.config.Limits.MaxPayloadSize)
	if err != nil {
		return publishAnswer{}, err
	}
	done, err := s.publish(r.Context(), e)
	if err != nil && done.ID == "" {
		return publishAnswer{}, err
	}
	if err != nil {
		s.log.Error("handler of a published event", "event", done.ID, "type", e.Type, "err", err)
	}
	return publishAnswer(done), nil
}

func readEvent(body []byte, maxPayload int) (Event, error) {
	var (
		rd reading
		e  Event
	)
	if _, err := rd.body(body, eventShape(&e, maxPayload)); err != nil {
		return Event{}, err
	}
	return e, rd.err()
}

func eventShape(e *Event, maxPayload int) shape {
	return shape{
		required: []string{"type"},
		fields: map[string]field{
			"type": textField(func(t string) error {
				e.Type = t
				return checkEventType(t)
			}),
			"payload": rawField(func(value json.RawMessage) error {
				compact, err := encodeData(value, maxPayload)
				e.Payload = json.RawMessage(compact)
				return err
			}),
			"userId": textField(func(id string) error {
				e.UserID = id
				return checkPersonID(id)
			}),
			"id": textField(func(id string) error {
				e.ID = id
				return checkEventID(id)
			}),
			"timestamp": textField(func(t string) (err error) {
				e.Timestamp, err = parseTimestamp(t)
				return err
			}),
			"ip": textField(func(ip string) (err error) {
				e.IP, err = parseEventIP(ip)
				return err
			}),
		},
	}
}

// parseTimestamp reads RFC 3339 as strictly as encoding does. In UTC the year must have four digits,
// and the zero time is left out: it says that there is none.
func parseTimestamp(s string) (time.Time, error) {
	var t time.Time
	err := t.UnmarshalText([]byte(s))
	if t = t.UTC(); err != nil || t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, errors.New("is no time of RFC 3339 such as 2026-02-16T12:00:00Z")
	}
	return t, nil
}

// parseEventIP refuses zones: they name an interface of the machine that saw the address.
func parseEventIP(s string) (string, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" {
		return "", errors.New("is no IP address")
	}
	return ip.String(), nil
}

func (s *Server) serveEvent(r *http.Request, _ []byte) (reportAnswer, error) {
	e, entry, err := s.findEvent(r.Context(), r.PathValue("id"))
	if err != nil {
		return reportAnswer{}, err
	}
	jobs, err := s.jobsOfEvent(r.Context(), e.ID)
	if err != nil {
		return reportAnswer{}, err
	}
	var delivered deliveredAnswer
	err = s.ask(r.Context(), clusterQuestion{Do: askDelivered, ID: e.ID}, func(a clusterAnswer) bool {
		if a.Delivered != nil {
			delivered.WebSocket += a.Delivered.WebSocket
			delivered.SSE += a.Delivered.SSE
		}
		return false
	})
	if err != nil {
		return reportAnswer{}, err
	}
	attempts, err := s.hooks.attemptsOf(r.Context(), e.ID)
	if err != nil {
		return reportAnswer{}, err
	}
	payload, _ := e.Payload.(json.RawMessage)
	return reportAnswer{
		Event: eventAnswer{
			ID: e.ID, Type: e.Type, Timestamp: wire.FormatTime(e.Timestamp),
			UserID: e.UserID, Payload: payload, IP: e.IP,
		},
		Audit:     entry,
		Webhooks:  attempts,
		Jobs:      jobs,
		Delivered: delivered,
	}, nil
}

// jobsOfEvent are the jobs that an event made, as many as a page has at most; none without a store.
func (s *Server) jobsOfEvent(ctx context.Context, id string) ([]jobAnswer, error) {
	answers := []jobAnswer{}
	if s.config.Store == nil {
		return answers, nil
	}
	jobs, err := s.config.Store.Jobs(ctx, JobQuery{EventID: id, Limit: maxPage})
	for _, j := range jobs {
		answers = append(answers, newJobAnswer(j))
	}
	return answers, err
}

// findEvent finds an event, with its audit entry, which is nil without a store, and where it was removed before the event.
func (s *Server) findEvent(ctx context.Context, id string) (Event, *auditAnswer, error) {
	unknown := refuse(CodeNotFound, "no event of this id is known")
	if s.config.Store == nil {
		e, _, found := s.recent.find(id)
		if !found {
			return e, nil, unknown
		}
		return e, nil, nil
	}
	e, entry, found, err := s.config.Store.Event(ctx, id)
	if err != nil {
		return e, nil, err
	}
	if !found {
		return e, nil, unknown
	}
	if entry.Seq == 0 {
		return e, nil, nil
	}
	answer := newAuditAnswer(entry)
	return e, &answer, nil
}
