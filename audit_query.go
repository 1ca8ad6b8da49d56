package herald

import (
	"encoding/binary"
	"net/http"
	"time"
)

// auditRequest is which entries of the audit log a caller wants.
type auditRequest AuditQuery

func readAuditQuery(r *http.Request) (auditRequest, error) {
	var a auditRequest
	lq := listQuery{limit: defaultPage}
	err := readParams(r,
		textParam("actor", &a.Actor), textParam("action", &a.Action), timeParam("from", &a.From), timeParam("to", &a.To),
		param{"limit", lq.setLimit}, param{"cursor", a.setCursor})
	a.Limit = lq.limit
	return a, err
}

func timeParam(name string, to *time.Time) param {
	return param{name, func(text string) (err error) {
		*to, err = parseTimestamp(text)
		return err
	}}
}

func (a *auditRequest) sum() uint64 {
	return sumOf("audit", a.Actor, a.Action, a.From.String(), a.To.String())
}

// A cursor is when the last entry of the page occurred, and its seq.
func (a *auditRequest) cursor(last AuditEntry) string {
	place := binary.BigEndian.AppendUint64(nil, uint64(last.OccurredAt.UnixMilli()))
	return newCursor(a.sum(), binary.BigEndian.AppendUint64(place, last.Seq))
}

func (a *auditRequest) setCursor(text string) error {
	place, err := readCursor(text, a.sum())
	switch {
	case err != nil:
		return err
	case len(place) != 16:
		return errNoCursor
	}
	a.Before = AuditPlace{
		OccurredAt: time.UnixMilli(int64(binary.BigEndian.Uint64(place))),
		Seq:        binary.BigEndian.Uint64(place[8:]),
	}
	return nil
}
