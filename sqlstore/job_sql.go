package sqlstore

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/herald-events/herald"
)

// jobSQL is what differs between the databases of how River keeps jobs.
type jobSQL struct {
	now        string // as a time of River's
	later      string // the same in so many seconds, an expression that stands for %s
	columns    string // those that scanJob reads
	lastWorker string // who runs the job
	cancelled  string // whether it was cancelled while it ran
	cancel     string // the metadata of a job that is to be cancelled while it runs
	failures   string // how many attempts have failed, with those that were lost
	addError   string // the failures with one more, which is an argument
	state      string // makes a state of a text
	event      string // whose job it is, NULL for none; there is an index of this
	tellQueues string // tells all nodes which queues are paused; empty: there is one, which knows
}

func jobSQLOf(dialect string) jobSQL {
	if dialect == postgres {
		return jobSQL{
			now:   "clock_timestamp()",
			later: "clock_timestamp() + (%s) * INTERVAL '1 second'",
			columns: `id, kind, state::TEXT, queue, attempt, max_attempts, args::TEXT, COALESCE(errors[array_upper(errors, 1)]::TEXT, ''),
				(EXTRACT(EPOCH FROM created_at) * 1000)::BIGINT, (EXTRACT(EPOCH FROM scheduled_at) * 1000)::BIGINT,
				COALESCE((EXTRACT(EPOCH FROM finalized_at) * 1000)::BIGINT, 0), attempt > 0 AND scheduled_at > clock_timestamp()`,
			lastWorker: "COALESCE(attempted_by[array_upper(attempted_by, 1)], '')",
			cancelled:  "metadata->>'cancel_attempted_at' IS NOT NULL",
			cancel:     "jsonb_set(metadata, '{cancel_attempted_at}', to_jsonb(clock_timestamp()))",
			failures:   "COALESCE(array_length(errors, 1), 0)",
			addError:   "array_append(errors, CAST(? AS JSONB))",
			state:      "::river_job_state",
			event:      "(args->>'event')",
			// The lock has a pause that comes meanwhile be told of later.
			tellQueues: `SELECT pg_notify(current_schema() || '.river_control', json_build_object(
				'action', CASE WHEN paused_at IS NULL THEN 'resume' ELSE 'pause' END, 'queue', name)::TEXT)
				FROM (SELECT name, paused_at FROM river_queue ORDER BY name FOR SHARE) AS queues`,
		}
	}
	millis := func(column string) string {
		return "CAST(ROUND(unixepoch(" + column + ", 'subsec') * 1000) AS INTEGER)"
	}
	return jobSQL{
		now:   "datetime('now', 'subsec')",
		later: "datetime('now', 'subsec', (%s) || ' seconds')",
		columns: `id, kind, state, queue, attempt, max_attempts, json(args), COALESCE(json_extract(errors, '$[#-1]'), ''),
			` + millis("created_at") + ", " + millis("scheduled_at") + ", COALESCE(" + millis("finalized_at") + `, 0),
			attempt > 0 AND scheduled_at > datetime('now', 'subsec')`,
		lastWorker: "COALESCE(json_extract(attempted_by, '$[#-1]'), '')",
		cancelled:  "json_extract(metadata, '$.cancel_attempted_at') IS NOT NULL",
		cancel:     "jsonb_set(metadata, '$.cancel_attempted_at', datetime('now', 'subsec'))",
		failures:   "COALESCE(json_array_length(errors), 0)",
		event:      "json_extract(args, '$.event')",
		addError:   "jsonb_insert(COALESCE(errors, jsonb('[]')), '$[#]', jsonb(?))",
	}
}

// status is the condition that a job has a status.
func (q *jobSQL) status(s herald.JobStatus) string {
	waits := "state IN ('available', 'scheduled', 'pending')"
	again := "(attempt > 0 AND scheduled_at > " + q.now + ")"
	switch s {
	case herald.JobPending:
		return waits + " AND NOT " + again
	case herald.JobProcessing:
		return "state = 'running'"
	case herald.JobCompleted:
		return "state = 'completed'"
	case herald.JobFailed:
		return "(state = 'retryable' OR " + waits + " AND " + again + ")"
	}
	return isDead
}

const isDead = "state IN ('discarded', 'cancelled')"

// scanJob reads jobSQL.columns.
func scanJob(r row) (herald.Job, error) {
	var (
		j                           herald.Job
		state                       string
		args, failure               []byte
		created, scheduled, settled int64
		again                       bool
	)
	err := r.Scan(&j.ID, &j.Type, &state, &j.Queue, &j.Attempts, &j.MaxAttempts, (*text)(&args), (*text)(&failure),
		&created, &scheduled, &settled, &again)
	if err != nil {
		return j, err
	}
	var kept jobArgs
	if err := json.Unmarshal(args, &kept); err != nil {
		return j, errors.Join(errors.New("the arguments of a job are spoilt"), err)
	}
	j.Status, j.Payload, j.LastError = statusOfState(state, again), json.RawMessage(kept.Payload), errorText(failure)
	j.CreatedAt, j.RunAt = time.UnixMilli(created).UTC(), time.UnixMilli(scheduled).UTC()
	if settled > 0 {
		j.FinishedAt = time.UnixMilli(settled).UTC()
	}
	return j, nil
}

// errorText is what is kept of an attempt that failed.
func errorText(kept []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(kept, &e) // of none there is no text
	return plainError(e.Error)
}

// plainError takes away what River puts before the error of a job that is not tried again.
func plainError(text string) string { return strings.TrimPrefix(text, "JobCancelError: ") }
