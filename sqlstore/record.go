package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/audit"
)

// fact is something that is to be recorded: an audit entry, with the event that it is of, or jobs.
type fact struct {
	event *herald.Event // nil: the entry is the application's own
	entry audit.Entry   // without seq and hashes; without an id there is none
	jobs  []*job        // beside those that the event makes
	to    string        // the one webhook that gets the event; empty: all that want its type

	isDuplicate bool // set by the commit: the event's id is known
}

// size is how much is to be written of a fact, in bytes, but for what is small.
func (f *fact) size() int {
	n := len(f.entry.Payload)
	if f.event != nil {
		payload, _ := f.event.Payload.(json.RawMessage)
		n += len(payload)
	}
	for _, j := range f.jobs {
		n += len(j.Payload)
	}
	return n
}

// Record implements herald.Store.
func (s *Store) Record(ctx context.Context, r herald.Record) (duplicate bool, err error) {
	e := r.Event
	f := &fact{event: &e, entry: newEntry(r.Audit, s.clock.Now()), to: r.WebhookID}
	if err := s.commits.do(ctx, f); err != nil {
		return false, err
	}
	if !f.isDuplicate {
		s.wake()
	}
	return f.isDuplicate, nil
}

// newEntry is an entry as it can be kept: in valid UTF-8, and without NUL, which Postgres has no place for.
func newEntry(e herald.AuditEntry, now time.Time) audit.Entry {
	clean := func(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD") }
	payload := []byte(e.Payload)
	if len(payload) == 0 {
		payload = []byte("null")
	}
	return audit.Entry{
		ID:         "aud-" + uuid.Must(uuid.NewV7()).String(),
		OccurredAt: e.OccurredAt.Truncate(time.Millisecond), RecordedAt: now.Truncate(time.Millisecond),
		Actor: clean(e.Actor), Action: clean(e.Action), Target: clean(e.Target), IP: clean(e.IP),
		UserAgent: clean(e.UserAgent), RequestID: clean(e.RequestID), Outcome: clean(e.Outcome), EventID: clean(e.EventID),
		Payload: payload,
	}
}

// commit records facts in one transaction.
func (s *Store) commit(ctx context.Context, facts []*fact) error {
	var jobs []*job
	err := s.db.write(ctx, func(t tx) (err error) {
		jobs, err = s.record(ctx, t, facts)
		return err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(err, s.obstacle(ctx))
	}
	s.note(illness(err))
	if err != nil {
		return storeError(err)
	}
	s.queue.inserted(jobs)
	return nil
}

// obstacle says what has kept a transaction waiting until its time was over.
func (s *Store) obstacle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTime)
	defer cancel()
	return s.db.obstacle(ctx)
}

// record records facts, with the jobs that they make.
func (s *Store) record(ctx context.Context, t tx, facts []*fact) ([]*job, error) {
	fresh, err := s.chain(ctx, t, facts)
	if err != nil {
		return nil, err
	}
	jobs, err := s.jobsOf(ctx, t, fresh)
	if err != nil {
		return nil, err
	}
	deliveries, err := s.deliveriesOf(ctx, t, fresh)
	if err != nil {
		return nil, err
	}
	for _, d := range deliveries {
		jobs = append(jobs, d.job)
	}
	if err := s.insertJobs(ctx, t, jobs); err != nil {
		return nil, err
	}
	return jobs, addDeliveries(ctx, t, deliveries)
}

// chain appends the entries of facts to the audit log, with their events, and returns the facts that are not known yet.
func (s *Store) chain(ctx context.Context, t tx, facts []*fact) (fresh []*fact, err error) {
	hasEntry := func(f *fact) bool { return f.entry.ID != "" }
	for _, f := range facts {
		f.isDuplicate = false
	}
	if !slices.ContainsFunc(facts, hasEntry) {
		return facts, nil
	}
	head, err := s.lockHead(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := markKnown(ctx, t, facts); err != nil {
		return nil, err
	}
	fresh = slices.DeleteFunc(slices.Clone(facts), func(f *fact) bool { return f.isDuplicate })
	entries := slices.DeleteFunc(slices.Clone(fresh), func(f *fact) bool { return !hasEntry(f) })
	if len(entries) == 0 {
		return fresh, nil
	}
	for _, f := range entries {
		head.seq++
		f.entry.Seq = head.seq
		f.entry.Seal(head.hash)
		head.hash = f.entry.Hash
	}
	return fresh, s.store(ctx, t, entries, head)
}

// store inserts facts that are numbered and sealed.
func (s *Store) store(ctx context.Context, t tx, facts []*fact, head head) error {
	var events, entries [][]any
	for _, f := range facts {
		entries = append(entries, entryValues(&f.entry))
		if f.event != nil {
			events = append(events, eventValues(f.event, f.entry.Seq))
		}
	}
	if err := insert(ctx, t, "herald_audit", entryColumns, entries, ""); err != nil {
		return err
	}
	if err := insert(ctx, t, "herald_events", eventColumns, events, ""); err != nil {
		return err
	}
	if _, err := t.exec(ctx, "UPDATE herald_audit_head SET seq = ?, hash = ?", int64(head.seq), head.hash); err != nil {
		return err
	}
	if s.dialect == postgres && len(events) > 0 {
		_, err := t.exec(ctx, "SELECT pg_notify(?, '')", newsChannel)
		return err
	}
	return nil
}

// head is where the chain ends.
type head struct {
	seq  uint64
	hash string
}

// start is before the first entry.
var start = head{hash: audit.Start}

// lockHead has this transaction be the only one that writes entries. In SQLite there is only one that writes.
func (s *Store) lockHead(ctx context.Context, t tx) (h head, err error) {
	err = t.query(ctx, func(r row) error { return r.Scan(&h.seq, &h.hash) }, "SELECT seq, hash FROM herald_audit_head"+s.forUpdate())
	return h, err
}

// markKnown marks the facts whose event is known, or comes twice among them.
func markKnown(ctx context.Context, t tx, facts []*fact) error {
	byID := map[string]*fact{}
	for _, f := range facts {
		if f.event == nil {
			continue
		}
		if byID[f.event.ID] != nil {
			f.isDuplicate = true
			continue
		}
		byID[f.event.ID] = f
	}
	ids := make([]string, 0, len(byID))
	for id := range byID {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil
	}
	return t.query(ctx, func(r row) error {
		var id string
		if err := r.Scan(&id); err != nil {
			return err
		}
		byID[id].isDuplicate = true
		return nil
	}, "SELECT id FROM herald_events WHERE id IN "+marks(len(ids)), anyOf(ids)...)
}

const entryColumns = "seq, id, occurred_at, recorded_at, actor, action, target, ip, user_agent, request_id, outcome, event_id, payload, prev_hash, hash"

func entryValues(e *audit.Entry) []any {
	return []any{
		int64(e.Seq), e.ID, e.OccurredAt.UnixMilli(), e.RecordedAt.UnixMilli(), e.Actor, e.Action, e.Target, e.IP,
		e.UserAgent, e.RequestID, e.Outcome, e.EventID, string(e.Payload), e.PrevHash, e.Hash,
	}
}

func scanEntry(r row) (e audit.Entry, err error) {
	var occurred, recorded int64
	err = r.Scan(&e.Seq, &e.ID, &occurred, &recorded, &e.Actor, &e.Action, &e.Target, &e.IP,
		&e.UserAgent, &e.RequestID, &e.Outcome, &e.EventID, (*text)(&e.Payload), &e.PrevHash, &e.Hash)
	e.OccurredAt, e.RecordedAt = time.UnixMilli(occurred).UTC(), time.UnixMilli(recorded).UTC()
	return e, err
}

const eventColumns = "seq, id, type, occurred_at, user_id, ip, payload"

func eventValues(e *herald.Event, seq uint64) []any {
	payload, _ := e.Payload.(json.RawMessage)
	return []any{int64(seq), e.ID, e.Type, e.Timestamp.UnixMilli(), e.UserID, e.IP, string(payload)}
}

func scanEvent(r row) (seq uint64, e herald.Event, err error) {
	var (
		at      int64
		payload []byte
	)
	err = r.Scan(&seq, &e.ID, &e.Type, &at, &e.UserID, &e.IP, (*text)(&payload))
	e.Timestamp, e.Payload = time.UnixMilli(at).UTC(), json.RawMessage(payload)
	return seq, e, err
}

// text scans a text into bytes, whatever the driver gives.
type text []byte

// Scan implements sql.Scanner.
func (t *text) Scan(value any) error {
	switch value := value.(type) {
	case string:
		*t = text(value)
	case []byte:
		*t = slices.Clone(value)
	default:
		return errors.New("a text is expected")
	}
	return nil
}

// begin writes the rows of which there is one.
func (s *Store) begin(ctx context.Context) error {
	return s.db.write(ctx, func(t tx) error {
		for _, statement := range []string{
			"INSERT INTO herald_audit_head (one, seq, hash) VALUES (1, 0, '" + audit.Start + "') ON CONFLICT DO NOTHING",
			"INSERT INTO herald_probe (one, at) VALUES (1, 0) ON CONFLICT DO NOTHING",
			"INSERT INTO herald_cursors (name, seq, owner, until) VALUES ('" + brokerCursor + "', 0, '', 0) ON CONFLICT DO NOTHING",
		} {
			if _, err := t.exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}
