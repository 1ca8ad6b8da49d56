package herald

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// jobRequest is which jobs a caller wants.
type jobRequest struct {
	query  JobQuery
	filter uint64 // says which filters these are, so that a cursor of others is found out
}

func readJobQuery(r *http.Request) (jobRequest, error) {
	var (
		rd reading
		j  jobRequest
		lq = listQuery{limit: defaultPage}
	)
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return j, refuse(CodeBadRequest, "the query is not well escaped")
	}
	for name, set := range map[string]func(string) error{
		"limit":  lq.setLimit,
		"status": j.setStatus,
		"type":   func(text string) error { j.query.Type = text; return nil },
	} {
		switch given := values[name]; {
		case len(given) > 1:
			rd.fail(name, errors.New("stands more than once"))
		case len(given) == 1 && given[0] != "":
			rd.fail(name, set(given[0]))
		}
	}
	j.query.Limit = lq.limit
	j.filter = j.sum()
	if text := values.Get("cursor"); text != "" {
		rd.fail("cursor", j.setCursor(text))
	}
	slices.SortFunc(rd.wrong, func(a, b Detail) int { return strings.Compare(a.Path, b.Path) })
	return j, rd.err()
}

func (j *jobRequest) setStatus(text string) error {
	j.query.Status = JobStatus(text)
	if !slices.Contains(jobStatuses, j.query.Status) {
		return fmt.Errorf("must be one of %q", jobStatuses)
	}
	return nil
}

// sum tells filters apart, also from those of other lists.
func (j *jobRequest) sum() uint64 {
	h := fnv.New64a()
	for _, text := range []string{"jobs", string(j.query.Status), j.query.Type} {
		_, _ = h.Write(append([]byte(text), 0)) // never fails
	}
	return h.Sum64()
}

// A cursor is the filters' sum and the id of the last job of the page.
const jobCursorSize = 16

func (j *jobRequest) cursor(last Job) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, jobCursorSize), j.filter)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, uint64(last.ID)))
}

func (j *jobRequest) setCursor(text string) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != jobCursorSize || strings.ContainsAny(text, "\r\n") { // which base64 skips
		return errors.New("is no nextCursor of a page")
	}
	if binary.BigEndian.Uint64(b) != j.filter {
		return errors.New("is of a query with other filters")
	}
	if j.query.Before = int64(binary.BigEndian.Uint64(b[8:])); j.query.Before < 1 {
		return errors.New("is no nextCursor of a page")
	}
	return nil
}
