package herald_test

import (
	"bufio"

	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/sqlstore"
)

// startStored starts a server with a store, which is closed when the test ends.
func startStored(t *testing.T, storeURL string, config herald.Config, prepare ...func(*herald.Server)) *heraldtest.Server {
	t.Helper()
	config = quiet(t, config)
	store, err := sqlstore.Open(t.Context(), storeURL, sqlstore.Config{Logger: config.Logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	config.Store = store
	return heraldtest.StartPrepared(t, config, func(srv *herald.Server) {
		for _, p := range prepare {
			p(srv)
		}
	})
}

const inMemory = "sqlite::memory:"

// auditEntry is an entry as the server API shows it.
type auditEntry struct {
	Seq                                int
	ID, OccurredAt, RecordedAt         string
	Actor, Action, Target, IP, Outcome string
	UserAgent, RequestID               string
	EventID, PrevHash, Hash            string
	Payload                            json.RawMessage
}

func auditOf(t *testing.T, srv *heraldtest.Server, query string) (entries []auditEntry, next string) {
	t.Helper()
	answer := apiCall(t, srv, http.MethodGet, "/audit"+query, "")
	var page struct {
		Entries    []auditEntry
		NextCursor string
	}
	if err := json.Unmarshal([]byte(answer.Body), &page); err != nil || answer.Status != http.StatusOK {
		t.Fatalf("got %d %s", answer.Status, answer.Body)
	}
	return page.Entries, page.NextCursor
}

// publishFacts publishes n events, of two users and two types.
func publishFacts(t *testing.T, srv *heraldtest.Server, n int) {
	t.Helper()
	for i := range n {
		body := fmt.Sprintf(`{"type":%q,"id":"evt-%d","userId":%q,"ip":"203.0.113.7","timestamp":"2026-02-16T12:00:%02dZ","payload":{"n":%d}}`,
			[]string{"user.registered", "user.seen"}[i%2], i, []string{"ann", "=bob"}[i/2%2], i, i)
		if answer := apiCall(t, srv, http.MethodPost, "/events", body); answer.Status != http.StatusAccepted {
			t.Fatalf("got %d %s", answer.Status, answer.Body)
		}
	}
}

func TestAuditOverTheAPI(t *testing.T) {
	srv := startStored(t, inMemory, herald.Config{})
	publishFacts(t, srv, 12)
	all, _ := auditOf(t, srv, "")
	if len(all) != 12 || all[0].EventID != "evt-11" || all[0].Seq != 12 || all[0].OccurredAt != "2026-02-16T12:00:11.000Z" {
		t.Fatalf("got %+v", all)
	}
	if e := all[11]; e.Actor != "ann" || e.Action != "user.registered" || e.IP != "203.0.113.7" || e.Outcome != "success" || string(e.Payload) != `{"n":0}` || e.PrevHash != strings.Repeat("0", 64) {
		t.Errorf("got the first entry %+v", e)
	}
	prev := strings.Repeat("0", 64)
	for _, e := range slices.Backward(all) {
		if e.PrevHash != prev || e.Hash != hashOf(t, e) {
			t.Errorf("entry %d breaks the chain", e.Seq)
		}
		prev = e.Hash
	}
	for query, want := range map[string]string{
		"?actor=ann&limit=100":                   "evt-9 evt-8 evt-5 evt-4 evt-1 evt-0",
		"?action=user.seen&actor=ann":            "evt-9 evt-5 evt-1",
		"?from=2026-02-16T12:00:10Z":             "evt-11 evt-10",
		"?to=2026-02-16T12:00:02Z&limit=1":       "evt-1 evt-0",
		"?actor=nobody":                          "",
		"?limit=5":                               "evt-11 evt-10 evt-9 evt-8 evt-7 evt-6 evt-5 evt-4 evt-3 evt-2 evt-1 evt-0",
		"?limit=3&action=user.registered&actor=": "evt-10 evt-8 evt-6 evt-4 evt-2 evt-0",
	} {
		var got []string
		for cursor := ""; ; {
			entries, next := auditOf(t, srv, query+cursor)
			for _, e := range entries {
				got = append(got, e.EventID)
			}
			if next == "" {
				break
			}
			cursor = "&cursor=" + next
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	_, next := auditOf(t, srv, "?limit=1&actor=ann")
	for _, bad := range []string{"?cursor=" + next, "?actor=bob&cursor=" + next, "?cursor=x", "?actor=ann&cursor=" + next + "&cursor=" + next, "?limit=0", "?from=yesterday", "?actor=a&actor=b"} {
		if answer := apiCall(t, srv, http.MethodGet, "/audit"+bad, ""); answer.Status != http.StatusBadRequest {
			t.Errorf("%s: got %d %s", bad, answer.Status, answer.Body)
		}
	}
}

// hashOf computes a hash as the contract has it: encoding/json sorts the names of a map, and nothing in these entries
// has to be escaped.
func hashOf(t *testing.T, e auditEntry) string {
	t.Helper()
	payload := sha256.Sum256(e.Payload)
	fields := map[string]any{"seq": e.Seq}
	for name, value := range map[string]string{
		"id": e.ID, "occurredAt": e.OccurredAt, "recordedAt": e.RecordedAt, "actor": e.Actor, "action": e.Action, "target": e.Target,
		"ip": e.IP, "userAgent": e.UserAgent, "requestId": e.RequestID, "outcome": e.Outcome, "eventId": e.EventID,
		"payloadHash": hex.EncodeToString(payload[:]), "prevHash": e.PrevHash,
	} {
		if value != "" {
			fields[name] = value
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func TestAuditIsExported(t *testing.T) {
	srv := startStored(t, inMemory, herald.Config{})
	publishFacts(t, srv, 4)
	answer := apiCall(t, srv, http.MethodGet, "/audit/export?format=ndjson&action=user.seen", "")
	var ids []string
	for lines := bufio.NewScanner(strings.NewReader(answer.Body)); lines.Scan(); {
		var e auditEntry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		ids = append(ids, e.EventID)
	}
	if want := []string{"evt-1", "evt-3"}; !slices.Equal(ids, want) {
		t.Errorf("got %q, want %q", ids, want)
	}
	answer = apiCall(t, srv, http.MethodGet, "/audit/export?format=csv", "")
	rows, err := csv.NewReader(strings.NewReader(answer.Body)).ReadAll()
	if err != nil || len(rows) != 5 || rows[0][0] != "seq" || rows[1][11] != "evt-0" || rows[1][12] != `{"n":0}` || rows[4][4] != "'=bob" {
		t.Errorf("got %q, %v", rows, err)
	}
	for _, bad := range []string{"?format=xml", "?from=now"} {
		if answer := apiCall(t, srv, http.MethodGet, "/audit/export"+bad, ""); answer.Status != http.StatusBadRequest {
			t.Errorf("%s: got %d %s", bad, answer.Status, answer.Body)
		}
	}
}

func TestAnEventIsFoundWithItsEntry(t *testing.T) {
	srv := startStored(t, inMemory, herald.Config{Redact: func(herald.Event) any { return map[string]bool{"redacted": true} }})
	publishFacts(t, srv, 1)
	answer := apiCall(t, srv, http.MethodGet, "/events/evt-0", "")
	var report struct {
		Event struct {
			ID      string
			Payload json.RawMessage
		}
		Audit *auditEntry
	}
	if err := json.Unmarshal([]byte(answer.Body), &report); err != nil || answer.Status != http.StatusOK {
		t.Fatalf("got %d %s", answer.Status, answer.Body)
	}
	if string(report.Event.Payload) != `{"n":0}` || report.Audit == nil || report.Audit.EventID != "evt-0" || string(report.Audit.Payload) != `{"redacted":true}` {
		t.Errorf("got %s", answer.Body)
	}
	if answer := apiCall(t, srv, http.MethodGet, "/events/evt-1", ""); answer.Status != http.StatusNotFound {
		t.Errorf("an unknown event: got %d", answer.Status)
	}
}

func TestApplicationsWriteEntriesOfTheirOwn(t *testing.T) {
	srv := startStored(t, inMemory, herald.Config{})
	entry := herald.AuditEntry{Actor: "ann", Action: "invoice.viewed", Target: "invoice/7", RequestID: "r-1", UserAgent: "curl", Outcome: "denied", Payload: []byte(`{ "a": 1 }`)}
	if err := srv.Audit(t.Context(), entry); err != nil {
		t.Fatalf("Audit: %v", err)
	}
	got, _ := auditOf(t, srv, "")
	if len(got) != 1 || got[0].Target != "invoice/7" || got[0].Outcome != "denied" || string(got[0].Payload) != `{"a":1}` || got[0].EventID != "" {
		t.Errorf("got %+v", got)
	}
	for name, bad := range map[string]herald.AuditEntry{"no action": {}, "no JSON": {Action: "a", Payload: []byte("{")}} {
		if err := srv.Audit(t.Context(), bad); err == nil {
			t.Errorf("%s: it is accepted", name)
		}
	}
}

// TestAcceptedOutlivesTheServer: the same id is a duplicate for the next one, and what was not delivered is.
func TestAcceptedOutlivesTheServer(t *testing.T) {
	storeURL := "sqlite:" + filepath.Join(t.TempDir(), "herald.db")
	t.Run("the first", func(t *testing.T) { // and its store is closed with it
		publishFacts(t, startStored(t, storeURL, herald.Config{}), 2)
	})
	next := startStored(t, storeURL, herald.Config{})
	answer := apiCall(t, next, http.MethodPost, "/events", `{"type":"user.seen","id":"evt-1"}`)
	if answer.Status != http.StatusAccepted || !heraldtest.SameJSON(answer.Body, `{"id":"evt-1","duplicate":true}`) {
		t.Errorf("got %d %s", answer.Status, answer.Body)
	}
}

// TestAStoreThatCannotBeWrittenTo refuses events until it can be, and nobody is told of them.
func TestAStoreThatCannotBeWrittenTo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "herald.db")
	srv := startStored(t, "sqlite:"+path, herald.Config{})
	listener := eventsFrom(t, srv, "", "")
	other, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	lock, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	err = srv.Publish(t.Context(), herald.Event{ID: "evt-1", Type: "user.seen"})
	if !errors.Is(err, &herald.Error{Code: herald.CodeUnavailable}) || !strings.Contains(err.Error(), "locked") {
		t.Errorf("got %v, want UNAVAILABLE since the database is locked", err)
	}
	ready := func() int { return httpCall(t, srv.HTTP(), http.MethodGet, srv.URL+"/readyz", "").Status }
	if got := ready(); got != http.StatusServiceUnavailable {
		t.Errorf("readyz: got %d, want 503", got)
	}
	if _, err := lock.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	wsEventually(t, "the store can be written to", func() bool { return ready() == http.StatusOK })
	publish(t, srv, herald.Event{ID: "evt-1", Type: "user.seen"})
	expectStreamEvents(t, listener, "evt-1")
	if entries, _ := auditOf(t, srv, ""); len(entries) != 1 {
		t.Errorf("got %d entries, want that of what was accepted", len(entries))
	}
}
