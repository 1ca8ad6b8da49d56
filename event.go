package herald

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/herald-events/herald/internal/wire"
)

// Payload is what a domain event says: a struct of the catalogue, or one of the application's own
// that names its type the same way. EventType must answer for the zero value too.
type Payload interface {
	EventType() string
}

// Event is a recorded fact. Publish takes one where more than the payload is to be set; ID and
// Timestamp are filled in where they are empty.
type Event struct {
	// ID is 1 to 64 of "A-Z a-z 0-9 _ -" but not "stream"; Herald's own are "evt-" and a UUIDv7.
	ID string `json:"id"`
	// Type is 1 to 100 characters, dot-separated segments of "a-z 0-9 _ -". It may be left empty where
	// Payload knows it.
	Type string `json:"type"`
	// Timestamp is when the fact happened; on the wire it is UTC with milliseconds.
	Timestamp time.Time `json:"timestamp"`
	// UserID is whose fact it is, IP where it came from. Both reach only subscribers whose token has
	// the scope "events:identity", and have at most 200 characters, none of them a control character.
	UserID string `json:"userId,omitempty"`
	IP     string `json:"ip,omitempty"`
	// Payload is anything that encodes as JSON. A handler that subscribed by pattern finds the
	// json.RawMessage here; one that subscribed by type with [On] has it decoded.
	Payload any `json:"payload"`
}

// EventType makes an Event a [Payload], so that Publish takes both.
func (e Event) EventType() string {
	if p, ok := e.Payload.(Payload); ok && e.Type == "" {
		return typeOf(p)
	}
	return e.Type
}

// Typed is an event whose payload has been decoded as T.
type Typed[T Payload] struct {
	Event
	Payload T
}

// On calls handler for every event of T's type that is published on srv. It is [Server.Subscribe]
// with the payload decoded; a payload that does not fit T is an error of the subscription.
func On[T Payload](srv *Server, handler func(context.Context, Typed[T]) error, opts ...SubscribeOption) (*Subscription, error) {
	var zero T
	return srv.Subscribe(typeOf(zero), func(ctx context.Context, e Event) error {
		payload, err := decodePayload[T](e)
		if err != nil {
			return err
		}
		return handler(ctx, Typed[T]{Event: e, Payload: payload})
	}, opts...)
}

// typeOf asks a payload for its type; a nil pointer type is asked through a new value.
func typeOf(p Payload) string {
	if v := reflect.ValueOf(p); v.Kind() == reflect.Pointer && v.IsNil() {
		p = reflect.New(v.Type().Elem()).Interface().(Payload)
	}
	return p.EventType()
}

func decodePayload[T Payload](e Event) (T, error) {
	var payload T
	raw, ok := e.Payload.(json.RawMessage)
	if !ok {
		return payload, fmt.Errorf("event %s: the payload is %T and not JSON", e.ID, e.Payload)
	}
	if err := json.Unmarshal(raw, &payload); err != nil {
		return payload, fmt.Errorf("event %s: decode the payload of %s: %w", e.ID, e.Type, err)
	}
	return payload, nil
}

// PrepareEvent is the event that [Server.Publish] would record for a payload: checked, with everything filled in, and
// its payload a json.RawMessage of at most 1 MiB. It is for those who record events elsewhere.
func PrepareEvent(p Payload) (Event, error) {
	e, err := eventOf(p)
	if err != nil {
		return Event{}, err
	}
	return e.checked(time.Now(), defaultPayloadSize)
}

const (
	maxEventType = 100
	maxEventID   = 64
	// maxEventIP has room for an address with a port or a zone, which applications put there too.
	maxEventIP = 200
)

// checked returns the event with everything filled in and its payload as compact JSON.
func (e Event) checked(now time.Time, maxPayload int) (Event, error) {
	e.Type = e.EventType()
	if err := checkEventType(e.Type); err != nil {
		return e, err
	}
	if e.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return e, fmt.Errorf("make an event id: %w", err)
		}
		e.ID = "evt-" + id.String()
	}
	if err := checkEventID(e.ID); err != nil {
		return e, err
	}
	if err := e.checkOrigin(); err != nil {
		return e, err
	}
	if e.Timestamp.IsZero() {
		e.Timestamp = now
	}
	e.Timestamp = e.Timestamp.UTC().Truncate(time.Millisecond)
	raw, err := encodeData(e.Payload, maxPayload)
	if err != nil {
		return e, err
	}
	e.Payload = json.RawMessage(raw)
	return e, nil
}

// checkOrigin checks who the event is of and where it came from, which may both be left out.
func (e *Event) checkOrigin() error {
	if err := checkShortText(e.UserID, maxPersonID); err != nil {
		return refuse(CodeBadRequest, "an event's user id %v", err)
	}
	if err := checkShortText(e.IP, maxEventIP); err != nil {
		return refuse(CodeBadRequest, "an event's IP address %v", err)
	}
	return nil
}

func checkEventType(t string) error {
	if t == "" || len(t) > maxEventType {
		return refuse(CodeBadRequest, "an event's type has 1 to %d characters, not %d", maxEventType, len(t))
	}
	for segment := range strings.SplitSeq(t, ".") {
		if segment == "" || strings.ContainsFunc(segment, func(r rune) bool { return !isTypeRune(r) }) {
			return refuse(CodeBadRequest, "%q is no event type: dot-separated segments of a-z 0-9 _ - are", t)
		}
	}
	return nil
}

func isTypeRune(r rune) bool {
	return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '_' || r == '-'
}

func checkEventID(id string) error {
	bad := strings.ContainsFunc(id, func(r rune) bool { return !isTypeRune(r) && (r < 'A' || r > 'Z') })
	if id == "" || len(id) > maxEventID || bad || id == "stream" {
		return refuse(CodeBadRequest, "%q is no event id: 1 to %d of A-Z a-z 0-9 _ - are, but not \"stream\"", id, maxEventID)
	}
	return nil
}

// encodeData turns what the application hands over into compact JSON; JSON that it already is stays
// as it is, byte for byte in its numbers.
func encodeData(data any, limit int) ([]byte, error) {
	raw, ok := data.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(data); err != nil {
			return nil, &Error{Code: CodeBadRequest, Message: "the data cannot be encoded as JSON", Err: err}
		}
	}
	if len(raw) > limit {
		return nil, refuse(CodeTooLarge, "the data has %d bytes; at most %d are allowed", len(raw), limit)
	}
	if len(raw) == 0 {
		return []byte("null"), nil
	}
	compact, err := wire.Compact(raw)
	if err != nil {
		return nil, &Error{Code: CodeBadRequest, Message: "the data is not JSON that Herald takes", Err: err}
	}
	return compact, nil
}

// owners are the users to whom the event belongs: its own, and the one that its payload names.
func (e Event) owners() []string {
	owners := []string{}
	if e.UserID != "" {
		owners = append(owners, e.UserID)
	}
	raw, _ := e.Payload.(json.RawMessage)
	named := map[string]json.RawMessage{} // and no struct, which would take a name in any case
	_ = json.Unmarshal(raw, &named)       // a payload that is no object names nobody
	if id, err := readText(named["userId"]); err == nil && id != "" && !slices.Contains(owners, id) {
		owners = append(owners, id)
	}
	return owners
}
