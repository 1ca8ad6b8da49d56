package herald

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/herald-events/herald/internal/bus"
)

// Store keeps what has to last: the domain events, the audit log and the background jobs. [Config].Store takes one, such as that of the
// package sqlstore; without it nothing outlives the process. What is committed to a store reaches the broker, also
// where the process dies the next instant.
//
// The methods are safe for concurrent use and end with their context. One that the store cannot serve now fails with
// [CodeUnavailable].
type Store interface {
	// Run serves a node until ctx ends. It is called once; what has come until then it still records. Jobs are run by
	// Work, which ends before.
	Run(ctx context.Context, node StoreNode) error
	// Check says why the store cannot serve now; nil: it can.
	Check() error

	Facts
	AuditLog
	JobStore
	Webhooks
	Deliveries
	DeliveryTurns
}

// Facts are the domain events that are kept.
type Facts interface {
	// Record keeps an event, its audit entry, its deliveries to webhooks and the jobs of its durable handlers in one
	// transaction, and returns when that is committed. The same event id again changes nothing and is a duplicate.
	Record(ctx context.Context, r Record) (duplicate bool, err error)
	// Event finds an event by its id, with its audit entry, which is empty where only the event is still kept.
	Event(ctx context.Context, id string) (e Event, entry AuditEntry, found bool, err error)
	// KnownTypes returns the types of events that were recorded, in no order.
	KnownTypes(ctx context.Context) ([]string, error)
}

// Record is an event that is to be kept, checked and complete, its payload a json.RawMessage.
type Record struct {
	Event Event
	Audit AuditEntry // what the audit log says of it
	// WebhookID names the one endpoint that gets it, whatever its patterns; empty: all that want its type.
	WebhookID string
}

// AuditLog is append-only: who did what, when, in a chain of hashes.
type AuditLog interface {
	// WriteAudit appends an entry, and returns when that is committed.
	WriteAudit(ctx context.Context, e AuditEntry) error
	// Audit returns a page of entries, newest first.
	Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error)
	// ExportAudit calls each for every entry that the filters let pass, in the order of the chain. Before and Limit
	// do not count. An error of each ends it.
	ExportAudit(ctx context.Context, q AuditQuery, each func(AuditEntry) error) error
}

// AuditEntry is one entry of the audit log. Empty texts are absent. Seq, ID, RecordedAt and the hashes are the
// store's to give.
type AuditEntry struct {
	Seq        uint64
	ID         string
	OccurredAt time.Time // with milliseconds
	RecordedAt time.Time
	Actor      string
	Action     string
	Target     string
	IP         string
	UserAgent  string
	RequestID  string
	Outcome    string
	EventID    string
	Payload    []byte // JSON text
	PrevHash   string // SHA-256 of the entry before, in hex
	Hash       string // SHA-256 of this one
}

// AuditQuery says which entries are wanted; what is empty does not filter.
type AuditQuery struct {
	Actor, Action string
	From, To      time.Time // of what occurred; To itself is not part of it
	Before        AuditPlace
	Limit         int
}

// AuditPlace is a place among the entries, from the newest to the oldest. The zero value is before the first.
type AuditPlace struct {
	OccurredAt time.Time
	Seq        uint64
}

// AuditBreak says which entry of an audit log is the first that breaks its chain.
type AuditBreak struct {
	Seq uint64
	ID  string // empty: the entry is missing
	Why string
}

func (b *AuditBreak) Error() string {
	if b.ID == "" {
		return fmt.Sprintf("entry %d breaks the chain: %s", b.Seq, b.Why)
	}
	return fmt.Sprintf("entry %d (%s) breaks the chain: %s", b.Seq, b.ID, b.Why)
}

// StoreNode is what a store tells its node.
type StoreNode interface {
	// Deliver takes events that are committed, in order, on to the broker. An error says that the store is to try
	// again: some may have got there, and their ids are known then.
	Deliver(ctx context.Context, events []Event) error
	// AuditOf is what the audit log is to say of an event that an application has published with a transaction of its
	// own. Recorded says that it was recorded: the node's handlers are to be called.
	AuditOf(e Event) AuditEntry
	Recorded(ctx context.Context, e Event)
	// Durable are the node's handlers of events whose calls are jobs: all events that it records are for them too.
	Durable() []DurableHandler
	// DeliveryJob is the job of a delivery to an endpoint: all of it but its payload, which is [DeliveryKey.Payload].
	DeliveryJob(webhookID string) NewJob
}

// storeNode is a server as its store knows it.
type storeNode struct{ *Server }

// Deliver implements StoreNode.
func (n storeNode) Deliver(ctx context.Context, events []Event) error {
	publications := make([]Publication, len(events))
	size := 0
	for i, e := range events {
		publications[i] = Publication{Stream: EventStream, Body: e.body(), Keep: n.config.EventHistory, ID: e.ID}
		size += len(publications[i].Body)
	}
	if err := n.awaitRoom(ctx, size); err != nil {
		return err
	}
	_, err := n.broker.Publish(ctx, publications...)
	return err
}

// AuditOf implements StoreNode.
func (n storeNode) AuditOf(e Event) AuditEntry {
	entry, err := n.auditOf(e)
	if err != nil { // it is committed, and what cannot be redacted is not shown
		n.log.Error("an event's payload is left out of the audit log", "event", e.ID, "err", err)
		entry = AuditEntry{OccurredAt: e.Timestamp, Actor: cmp.Or(e.UserID, "system"), Action: e.Type, IP: e.IP, Outcome: "success", EventID: e.ID}
	}
	return entry
}

// Recorded implements StoreNode.
func (n storeNode) Recorded(ctx context.Context, e Event) {
	if !n.recent.recorded(e) {
		return
	}
	n.metrics.published.Inc()
	if err := n.tellHandlers(ctx, e, everybody); err != nil && !errors.Is(err, bus.ErrClosed) {
		n.log.Error("handler of a published event", "event", e.ID, "type", e.Type, "err", err)
	}
}
