package herald

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Redact says what the audit log keeps of an event's payload, which is a json.RawMessage: anything that encodes as
// JSON. Everybody else is told all of it.
type Redact func(Event) any

// auditOf is what the audit log says of an event.
func (s *Server) auditOf(e Event) (AuditEntry, error) {
	payload, _ := e.Payload.(json.RawMessage)
	if s.config.Redact != nil {
		kept, err := encodeData(s.config.Redact(e), s.config.Limits.MaxPayloadSize)
		if err != nil {
			return AuditEntry{}, fmt.Errorf("redact the event %s: %w", e.ID, err)
		}
		payload = kept
	}
	return AuditEntry{
		OccurredAt: e.Timestamp, Actor: cmp.Or(e.UserID, "system"), Action: e.Type, IP: e.IP, Outcome: "success",
		EventID: e.ID, Payload: payload,
	}, nil
}

// Audit appends an entry of the application's own to the audit log, and returns when that has it for good. The
// entry's Action is required. An Actor that is empty is "system", an Outcome "success", and OccurredAt is now where it
// is zero; Seq, ID, RecordedAt and the hashes are given.
func (s *Server) Audit(ctx context.Context, e AuditEntry) error {
	if s.config.Store == nil {
		return errNoStore()
	}
	if e.Action == "" {
		return refuse(CodeBadRequest, "an entry of the audit log needs an action")
	}
	payload, err := encodeData(json.RawMessage(e.Payload), s.config.Limits.MaxPayloadSize)
	if err != nil {
		return err
	}
	e.Payload = payload
	e.Actor, e.Outcome = cmp.Or(e.Actor, "system"), cmp.Or(e.Outcome, "success")
	if e.OccurredAt.IsZero() {
		e.OccurredAt = s.config.clock.Now()
	}
	e.OccurredAt = e.OccurredAt.UTC().Truncate(time.Millisecond)
	return s.config.Store.WriteAudit(ctx, e)
}
