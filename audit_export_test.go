package herald

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// endlessLog is an audit log that never ends.
type endlessLog struct {
	Store // nil: an export needs no more of it
	ended chan error
}

// ExportAudit implements AuditLog.
func (l *endlessLog) ExportAudit(_ context.Context, _ AuditQuery, each func(AuditEntry) error) error {
	for {
		if err := each(AuditEntry{Action: "user.seen", Payload: []byte("null")}); err != nil {
			l.ended <- err
			return err
		}
	}
}

// TestAnExportThatNobodyReadsEnds: whoever asks and reads nothing holds nothing for good.
func TestAnExportThatNobodyReadsEnds(t *testing.T) {
	log := &endlessLog{ended: make(chan error, 1)}
	s, err := New(Config{ // which is not run: the log has nothing for that
		Store: log, APIKeys: []APIKey{{Name: "audit", Key: apiKeyFor(ScopeAudit), Scopes: []Scope{ScopeAudit}}},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	a := newAPI(s, apiPatience)
	a.exportStall = 50 * time.Millisecond
	web := httptest.NewServer(a.mux)
	t.Cleanup(web.Close)
	conn, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer conn.Close()
	r := httptest.NewRequest(http.MethodGet, web.URL+"/api/v1/audit/export", nil)
	r.Header.Set("Authorization", "Bearer "+apiKeyFor(ScopeAudit))
	if err := r.Write(conn); err != nil {
		t.Fatalf("write: %v", err)
	}
	select {
	case err := <-log.ended:
		if e, ok := err.(net.Error); !ok || !e.Timeout() {
			t.Errorf("got %v, want that the time of a write is over", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the export is not over")
	}
}
