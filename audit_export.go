package herald

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// AuditFormat is a form in which entries of the audit log are exported.
type AuditFormat string

const (
	// AuditNDJSON is a JSON object for each entry, as the server API shows it, on a line of its own.
	AuditNDJSON AuditFormat = "ndjson"
	// AuditCSV is RFC 4180 with the names of the fields in the first line. A value that a spreadsheet would take for a
	// formula has an apostrophe before it; whoever verifies hashes takes the other format.
	AuditCSV AuditFormat = "csv"
)

var auditTypes = map[AuditFormat]string{AuditNDJSON: "application/x-ndjson", AuditCSV: "text/csv; charset=utf-8"}

// ExportAudit writes the entries that a store has, in the order of the chain.
func ExportAudit(ctx context.Context, store AuditLog, q AuditQuery, format AuditFormat, to io.Writer) error {
	w := bufio.NewWriterSize(to, 64<<10)
	var write func(auditAnswer) error
	switch format {
	case AuditNDJSON:
		lines := json.NewEncoder(w)
		lines.SetEscapeHTML(false)
		write = func(e auditAnswer) error { return lines.Encode(e) }
	case AuditCSV:
		rows := csv.NewWriter(w)
		if err := rows.Write(auditColumns); err != nil {
			return err
		}
		write = func(e auditAnswer) error {
			err := rows.Write(e.row())
			rows.Flush()
			return errors.Join(err, rows.Error())
		}
	default:
		return refuse(CodeBadRequest, "%q is no format: %s and %s are", format, AuditNDJSON, AuditCSV)
	}
	if err := store.ExportAudit(ctx, q, func(e AuditEntry) error { return write(newAuditAnswer(e)) }); err != nil {
		return err
	}
	return w.Flush()
}

var auditColumns = []string{
	"seq", "id", "occurredAt", "recordedAt", "actor", "action", "target", "ip", "userAgent", "requestId", "outcome",
	"eventId", "payload", "prevHash", "hash",
}

// row is the entry's values under auditColumns.
func (e auditAnswer) row() []string {
	row := []string{
		strconv.FormatUint(e.Seq, 10), e.ID, e.OccurredAt, e.RecordedAt, e.Actor, e.Action, e.Target, e.IP, e.UserAgent, e.RequestID,
		e.Outcome, e.EventID, string(e.Payload), e.PrevHash, e.Hash,
	}
	for i, value := range row {
		if value != "" && strings.ContainsRune("=+-@\t\r", rune(value[0])) {
			row[i] = "'" + value
		}
	}
	return row
}

// serveAuditExport streams, at the pace of whoever reads. An error behind the first byte cuts the answer off, so that nobody takes it for whole.
func (a *api) serveAuditExport(w http.ResponseWriter, r *http.Request) {
	s := a.server
	if err := s.authorizeCall(r, ScopeAudit); err != nil {
		a.refuse(w, r, err)
		return
	}
	if s.config.Store == nil {
		a.refuse(w, r, errNoStore())
		return
	}
	format := AuditNDJSON
	if given := r.URL.Query().Get("format"); given != "" {
		format = AuditFormat(given)
	}
	q, err := readAuditQuery(r)
	if auditTypes[format] == "" {
		err = refuse(CodeBadRequest, "%q is no format: %s and %s are", format, AuditNDJSON, AuditCSV)
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", auditTypes[format])
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="audit.%s"`, format))
	out := &exportWriter{Writer: w, rc: http.NewResponseController(w), stall: a.exportStall}
	err = ExportAudit(r.Context(), s.config.Store, AuditQuery(q), format, out)
	switch {
	case err == nil:
	case !out.begun:
		w.Header().Del("Content-Disposition")
		a.refuse(w, r, err)
	default:
		panic(http.ErrAbortHandler)
	}
}

// exportStall is how long nothing may move to a client that reads an export.
const exportStall = 30 * time.Second

// exportWriter gives each write its time, and knows whether anything was written.
type exportWriter struct {
	io.Writer
	rc    *http.ResponseController
	stall time.Duration
	begun bool
}

func (w *exportWriter) Write(p []byte) (int, error) {
	w.begun = true
	_ = w.rc.SetWriteDeadline(time.Now().Add(w.stall)) // where there are any; net/http takes it off behind the answer
	return w.Writer.Write(p)
}
