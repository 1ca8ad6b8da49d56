package herald

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// auditRequest is which entries of the audit log a caller wants.
type auditRequest struct {
	query  AuditQuery
	filter uint64 // says which filters these are, so that a cursor of others is found out
}

func readAuditQuery(r *http.Request) (auditRequest, error) {
	var (
		rd reading
		a  auditRequest
		lq = listQuery{limit: defaultPage}
		at = func(to *time.Time) func(string) error {
			return func(text string) (err error) {
				*to, err = parseTimestamp(text)
				return err
			}
		}
	)
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return a, refuse(CodeBadRequest, "the query is not well escaped")
	}
	for name, set := range map[string]func(string) error{
		"limit":  lq.setLimit,
		"actor":  func(text string) error { a.query.Actor = text; return nil },
		"action": func(text string) error { a.query.Action = text; return nil },
		"from":   at(&a.query.From),
		"to":     at(&a.query.To),
	} {
		switch given := values[name]; {
		case len(given) > 1:
			rd.fail(name, errors.New("stands more than once"))
		case len(given) == 1 && given[0] != "":
			rd.fail(name, set(given[0]))
		}
	}
	a.query.Limit = lq.limit
	a.filter = a.sum()
	if text := values.Get("cursor"); text != "" {
		rd.fail("cursor", a.setCursor(text))
	}
	slices.SortFunc(rd.wrong, func(a, b Detail) int { return strings.Compare(a.Path, b.Path) })
	return a, rd.err()
}

// sum tells filters apart.
func (a *auditRequest) sum() uint64 {
	h := fnv.New64a()
	for _, text := range []string{a.query.Actor, a.query.Action, a.query.From.String(), a.query.To.String()} {
		_, _ = h.Write(append([]byte(text), 0)) // never fails
	}
	return h.Sum64()
}

// A cursor is the filters' sum, and when the last entry of the page occurred with its seq.
const cursorSize = 24

func (a *auditRequest) cursor(last AuditEntry) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, cursorSize), a.filter)
	b = binary.BigEndian.AppendUint64(b, uint64(last.OccurredAt.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, last.Seq)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (a *auditRequest) setCursor(text string) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != cursorSize || strings.ContainsAny(text, "\r\n") { // which base64 skips
		return errors.New("is no nextCursor of a page")
	}
	if binary.BigEndian.Uint64(b) != a.filter {
		return errors.New("is of a query with other filters")
	}
	a.query.Before = AuditPlace{
		OccurredAt: time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:]))),
		Seq:        binary.BigEndian.Uint64(b[16:]),
	}
	return nil
}
