package herald

import (
	"net/http"
	"time"
)

// auditRequest is which entries of the audit log a caller wants.
type auditRequest struct{ query AuditQuery }

func readAuditQuery(r *http.Request) (auditRequest, error) {
	var a auditRequest
	q := &a.query
	lq := listQuery{limit: defaultPage}
	err := readParams(r,
		textParam("actor", &q.Actor), textParam("action", &q.Action), timeParam("from", &q.From), timeParam("to", &q.To),
		param{"limit", lq.setLimit}, param{"cursor", a.setCursor})
	q.Limit = lq.limit
	return a, err
}

func timeParam(name string, to *time.Time) param {
	return param{name, func(text string) (err error) {
		*to, err = parseTimestamp(text)
		return err
	}}
}

func (a *auditRequest) sum() uint64 {
	return sumOf("audit", a.query.Actor, a.query.Action, a.query.From.String(), a.query.To.String())
}

// A cursor is when the last entry of the page occurred, and its seq.
func (a *auditRequest) cursor(last AuditEntry) string {
	return newCursor(a.sum(), uint64(last.OccurredAt.UnixMilli()), last.Seq)
}

func (a *auditRequest) setCursor(text string) error {
	var milli, seq uint64
	if err := readCursor(text, a.sum(), &milli, &seq); err != nil {
		return err
	}
	a.query.Before = AuditPlace{OccurredAt: time.UnixMilli(int64(milli)), Seq: seq}
	return nil
}
