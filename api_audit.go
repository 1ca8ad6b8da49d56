package herald

import (
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/herald-events/herald/internal/wire"
)

// auditAnswer is an entry of the audit log as the server API shows it.
type auditAnswer struct {
	Seq        uint64          `json:"seq" doc:"Counts from 1, without holes"`
	ID         string          `json:"id"`
	OccurredAt string          `json:"occurredAt" format:"date-time" doc:"In UTC, with milliseconds"`
	RecordedAt string          `json:"recordedAt" format:"date-time" doc:"When the store was told"`
	Actor      string          `json:"actor" doc:"Who did it; of an event its userId, or system"`
	Action     string          `json:"action" doc:"What was done; of an event its type"`
	Target     string          `json:"target,omitempty"`
	IP         string          `json:"ip,omitempty"`
	UserAgent  string          `json:"userAgent,omitempty"`
	RequestID  string          `json:"requestId,omitempty"`
	Outcome    string          `json:"outcome"`
	EventID    string          `json:"eventId,omitempty"`
	Payload    json.RawMessage `json:"payload"`
	PrevHash   string          `json:"prevHash" doc:"The hash of the entry before; 64 zeros before the first"`
	Hash       string          `json:"hash" doc:"SHA-256, in hex, of the entry in the form of RFC 8785: without the hash, and with payloadHash in place of the payload"`
}

func newAuditAnswer(e AuditEntry) auditAnswer {
	return auditAnswer{
		Seq: e.Seq, ID: e.ID, OccurredAt: wire.FormatTime(e.OccurredAt), RecordedAt: wire.FormatTime(e.RecordedAt),
		Actor: e.Actor, Action: e.Action, Target: e.Target, IP: e.IP, UserAgent: e.UserAgent, RequestID: e.RequestID,
		Outcome: e.Outcome, EventID: e.EventID, Payload: e.Payload, PrevHash: e.PrevHash, Hash: e.Hash,
	}
}

type auditPage struct {
	Entries    []auditAnswer `json:"entries" nullable:"false" doc:"The newest first"`
	NextCursor string        `json:"nextCursor,omitempty" doc:"Where the next page begins, if there is one"`
}

var exampleAudit = auditAnswer{
	Seq: 42, ID: "aud-0199b1c6-6f30-7d0e-8a51-0d4f2f4a9b77",
	OccurredAt: "2026-02-16T12:00:00.000Z", RecordedAt: "2026-02-16T12:00:00.003Z",
	Actor: "u-7", Action: "user.registered", IP: "203.0.113.7", Outcome: "success",
	EventID: "evt-0199b1c6-6f2e-7c3a-9d57-3f6f0c9b8a11", Payload: json.RawMessage(`{"userId":"u-7","email":"ada@example.com"}`),
	PrevHash: "5f7c5e5b3d0c6a6dc5ad0a6e1f9b7e5ec1f4ad3c0b6d2c8a5c0d3c4b7f1e2a39",
	Hash:     "9a0364b9e99bb480dd25e1f0284c8555d1f3b2b0e5c4d7a6978877665544332a",
}

func (a *api) audit() {
	filters := []*huma.Param{
		queryParam("actor", "Who did it", exampleAudit.Actor),
		queryParam("action", "What was done", exampleAudit.Action),
		queryParam("from", "What occurred then or later, in RFC 3339", "2026-02-16T00:00:00Z"),
		queryParam("to", "What occurred before then, in RFC 3339", "2026-02-17T00:00:00Z"),
	}
	register(a, operation{
		Method: http.MethodGet, Path: "/api/v1/audit", ID: "listAudit", Tag: tagAudit,
		Summary:     "List the audit log",
		Description: "The newest first, by when it occurred.",
		Scope:       ScopeAudit, Params: append(pageParams(), filters...), Refusals: []Code{CodeBadRequest},
	}, auditPage{Entries: []auditAnswer{exampleAudit}}, a.server.serveAudit)

	export := operation{
		Method: http.MethodGet, Path: "/api/v1/audit/export", ID: "exportAudit", Tag: tagAudit,
		Summary:     "Export the audit log",
		Description: "In the order of the chain, as it is read. An answer that is cut off is not whole.",
		Scope:       ScopeAudit, Status: http.StatusOK, Refusals: []Code{CodeBadRequest},
		Params: append([]*huma.Param{queryParam("format", "ndjson, or csv", "ndjson")}, filters...),
	}
	described := a.describe(export, exampleAudit)
	text := &huma.Schema{Type: huma.TypeString}
	described.Responses["200"].Content = map[string]*huma.MediaType{
		"application/x-ndjson": {Schema: text, Example: `{"seq":1,"id":"aud-…",…}`},
		"text/csv":             {Schema: text, Example: "seq,id,occurredAt,…"},
	}
	a.huma.OpenAPI().AddOperation(described)
	a.huma.Adapter().Handle(described, func(call huma.Context) {
		r, w := humago.Unwrap(call)
		a.serveAuditExport(w, r)
	})
}

func (s *Server) serveAudit(r *http.Request, _ []byte) (auditPage, error) {
	if s.config.Store == nil {
		return auditPage{}, errNoStore()
	}
	q, err := readAuditQuery(r)
	if err != nil {
		return auditPage{}, err
	}
	limit := q.Limit
	q.Limit++ // to see whether there is another page
	entries, err := s.config.Store.Audit(r.Context(), AuditQuery(q))
	if err != nil {
		return auditPage{}, err
	}
	page := auditPage{Entries: []auditAnswer{}}
	if len(entries) > limit {
		entries = entries[:limit]
		page.NextCursor = q.cursor(entries[limit-1])
	}
	for _, e := range entries {
		page.Entries = append(page.Entries, newAuditAnswer(e))
	}
	return page, nil
}

// errNoStore refuses what needs a store.
func errNoStore() error { return refuse(CodeUnavailable, "this server has no store: it keeps nothing") }
