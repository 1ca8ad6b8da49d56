package herald

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
)

// jobRequest is which jobs a caller wants.
type jobRequest JobQuery

func readJobQuery(r *http.Request) (jobRequest, error) {
	var j jobRequest
	lq := listQuery{limit: defaultPage}
	err := readParams(r, param{"status", j.setStatus}, textParam("type", &j.Type), param{"limit", lq.setLimit}, param{"cursor", j.setCursor})
	j.Limit = lq.limit
	return j, err
}

func (j *jobRequest) setStatus(text string) error {
	j.Status = JobStatus(text)
	if !slices.Contains(jobStatuses, j.Status) {
		return fmt.Errorf("must be one of %q", jobStatuses)
	}
	return nil
}

func (j *jobRequest) sum() uint64 { return sumOf("jobs", string(j.Status), j.Type) }

// A cursor is the id of the last job of the page.
func (j *jobRequest) cursor(last Job) string {
	return newCursor(j.sum(), binary.BigEndian.AppendUint64(nil, uint64(last.ID)))
}

func (j *jobRequest) setCursor(text string) error {
	place, err := readCursor(text, j.sum())
	switch {
	case err != nil:
		return err
	case len(place) != 8:
		return errNoCursor
	}
	if j.Before = int64(binary.BigEndian.Uint64(place)); j.Before < 1 {
		return errNoCursor
	}
	return nil
}
