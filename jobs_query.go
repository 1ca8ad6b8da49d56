package herald

import (
	"fmt"
	"net/http"
	"slices"
)

// jobRequest is which jobs a caller wants.
type jobRequest struct{ query JobQuery }

func readJobQuery(r *http.Request) (jobRequest, error) {
	var j jobRequest
	lq := listQuery{limit: defaultPage}
	err := readParams(r, param{"status", j.setStatus}, textParam("type", &j.query.Type), param{"limit", lq.setLimit}, param{"cursor", j.setCursor})
	j.query.Limit = lq.limit
	return j, err
}

func (j *jobRequest) setStatus(text string) error {
	j.query.Status = JobStatus(text)
	if !slices.Contains(jobStatuses, j.query.Status) {
		return fmt.Errorf("must be one of %q", jobStatuses)
	}
	return nil
}

func (j *jobRequest) sum() uint64 { return sumOf("jobs", string(j.query.Status), j.query.Type) }

// A cursor is the id of the last job of the page.
func (j *jobRequest) cursor(last Job) string { return newCursor(j.sum(), uint64(last.ID)) }

func (j *jobRequest) setCursor(text string) error {
	var id uint64
	if err := readCursor(text, j.sum(), &id); err != nil {
		return err
	}
	if j.query.Before = int64(id); j.query.Before < 1 {
		return errNoCursor
	}
	return nil
}
