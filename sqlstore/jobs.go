package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/herald-events/herald"
)

// isLater is the condition that a job waits for a time.
const isLater = "state IN ('scheduled', 'retryable')"

// indexJobs makes what River's migrations do not, and may take away.
func (s *Store) indexJobs(ctx context.Context) error {
	return s.db.write(ctx, func(t tx) error {
		if s.dialect == postgres {
			if _, err := t.exec(ctx, "SELECT pg_advisory_xact_lock(?)", int64(migrationLock)); err != nil {
				return err
			}
		}
		_, err := t.exec(ctx, "CREATE INDEX IF NOT EXISTS herald_job_due ON river_job (scheduled_at) WHERE "+isLater)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, "CREATE INDEX IF NOT EXISTS herald_job_event ON river_job ("+s.sql.event+") WHERE "+s.sql.event+" IS NOT NULL")
		return err
	})
}

// SubmitJob implements herald.JobControl. Jobs and events that come at the same time share a transaction.
func (s *Store) SubmitJob(ctx context.Context, n herald.NewJob) (herald.Job, error) {
	j := &job{NewJob: n}
	if err := s.commits.do(ctx, &fact{jobs: []*job{j}}); err != nil {
		return herald.Job{}, err
	}
	return jobOfRow(j.row, s.clock.Now()), nil
}

// promoteAhead is how long before its time a job is put where it is looked for. Until then it is elsewhere, so that
// looking does not pass by all that wait.
const promoteAhead = 6 * time.Second

// insertJobs inserts jobs in a transaction.
func (s *Store) insertJobs(ctx context.Context, t tx, jobs []*job) error {
	if len(jobs) == 0 {
		return nil
	}
	if err := s.queue.insert(ctx, t, jobs); err != nil {
		return err
	}
	soon := time.Now().Add(promoteAhead)
	var ids []any
	for _, j := range jobs {
		if !j.isDuplicate && j.row.State == rivertype.JobStateScheduled && j.RunAt.Before(soon) {
			ids = append(ids, j.row.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := t.exec(ctx, "UPDATE river_job SET state = 'available' WHERE id IN "+marks(len(ids)), ids...)
	return err
}

// Job implements herald.JobReader.
func (s *Store) Job(ctx context.Context, id int64) (j herald.Job, found bool, err error) {
	j, found, err = s.job(ctx, s.db, id)
	return j, found, storeError(err)
}

func (s *Store) job(ctx context.Context, from reader, id int64) (j herald.Job, found bool, err error) {
	err = from.query(ctx, func(r row) (err error) {
		j, err = scanJob(r)
		found = true
		return err
	}, "SELECT "+s.sql.columns+" FROM river_job WHERE id = ?", id)
	return j, found && err == nil, err
}

// Jobs implements herald.JobReader.
func (s *Store) Jobs(ctx context.Context, q herald.JobQuery) ([]herald.Job, error) {
	where, args := []string{"1 = 1"}, []any{}
	if q.Status != "" {
		where = append(where, s.sql.status(q.Status))
	}
	if q.Type != "" {
		where, args = append(where, "kind = ?"), append(args, q.Type)
	}
	if q.EventID != "" {
		where, args = append(where, s.sql.event+" = ?"), append(args, q.EventID)
	}
	if q.Before > 0 {
		where, args = append(where, "id < ?"), append(args, q.Before)
	}
	var jobs []herald.Job
	err := s.db.query(ctx, func(r row) error {
		j, err := scanJob(r)
		jobs = append(jobs, j)
		return err
	}, "SELECT "+s.sql.columns+" FROM river_job WHERE "+strings.Join(where, " AND ")+" ORDER BY id DESC LIMIT ?", append(args, q.Limit)...)
	return jobs, storeError(err)
}

// JobStats implements herald.JobReader.
func (s *Store) JobStats(ctx context.Context) (herald.JobStats, error) {
	stats := herald.JobStats{}
	err := s.db.query(ctx, func(r row) error {
		var (
			state string
			again bool
			n     int64
		)
		err := r.Scan(&state, &again, &n)
		stats[statusOfState(state, again)] += n
		return err
	}, s.countJobs())
	return stats, storeError(err)
}

// countJobs counts the jobs of each state. Those that have ended are by far the most, and are counted by an index alone: of
// the others it is to be known whether they wait for another attempt.
func (s *Store) countJobs() string {
	return "SELECT CAST(state AS TEXT), 1 = 0, COUNT(*) FROM river_job WHERE state IN ('completed', 'discarded', 'cancelled', 'running') GROUP BY state " +
		"UNION ALL SELECT CAST(state AS TEXT), attempt > 0 AND scheduled_at > " + s.sql.now + ", COUNT(*) FROM river_job " +
		"WHERE state IN ('available', 'pending', 'retryable', 'scheduled') GROUP BY 1, 2"
}

func statusOfState(state string, again bool) herald.JobStatus {
	switch rivertype.JobState(state) {
	case rivertype.JobStateRunning:
		return herald.JobProcessing
	case rivertype.JobStateCompleted:
		return herald.JobCompleted
	case rivertype.JobStateDiscarded, rivertype.JobStateCancelled:
		return herald.JobDead
	case rivertype.JobStateRetryable:
		return herald.JobFailed
	}
	if again {
		return herald.JobFailed
	}
	return herald.JobPending
}

// CancelJob implements herald.JobControl.
func (s *Store) CancelJob(ctx context.Context, id int64) (herald.Job, error) {
	if err := s.queue.cancel(ctx, id); err != nil {
		return herald.Job{}, queueError(err, "no job has this id")
	}
	j, err := s.knownJob(ctx, id)
	if err != nil || j.Status == herald.JobCompleted {
		return j, err
	}
	return j, storeError(s.db.write(ctx, func(t tx) error { return endDelivery(ctx, t, j) }))
}

func queueError(err error, missing string) error {
	if errors.Is(err, rivertype.ErrNotFound) {
		return &herald.Error{Code: herald.CodeNotFound, Message: missing}
	}
	return storeError(err)
}

// knownJob is a job that is to be there.
func (s *Store) knownJob(ctx context.Context, id int64) (herald.Job, error) {
	j, found, err := s.Job(ctx, id)
	if err == nil && !found {
		err = queueError(rivertype.ErrNotFound, "no job has this id")
	}
	return j, err
}

// retry has a job run now, with one attempt at least.
func (s *Store) retry() string {
	return "UPDATE river_job SET state = 'available', scheduled_at = " + s.sql.now + ", finalized_at = NULL, " +
		"max_attempts = CASE WHEN attempt >= max_attempts THEN attempt + 1 ELSE max_attempts END "
}

// isUnheld is the condition that no other job has the unique key of one.
const isUnheld = "(unique_key IS NULL OR unique_key NOT IN (SELECT unique_key FROM river_job " +
	"WHERE unique_key IS NOT NULL AND state IN ('available', 'pending', 'retryable', 'running', 'scheduled')))"

// RetryJob implements herald.JobControl.
func (s *Store) RetryJob(ctx context.Context, id int64) (herald.Job, error) {
	var n int64
	err := s.db.write(ctx, func(t tx) (err error) {
		n, err = t.exec(ctx, s.retry()+"WHERE id = ? AND ("+s.sql.status(herald.JobFailed)+" OR "+isDead+" AND "+isUnheld+")", id)
		if err != nil || n == 0 {
			return err
		}
		return s.reviveDelivery(ctx, t, id)
	})
	if err != nil {
		return herald.Job{}, storeError(err)
	}
	j, err := s.knownJob(ctx, id)
	if err != nil || n > 0 {
		return j, err
	}
	if j.Status == herald.JobDead {
		return j, conflict("another job with the same unique key is under way")
	}
	return j, conflict("the job is %s: only a failed or a dead one can be retried", j.Status)
}

func conflict(format string, args ...any) error {
	return &herald.Error{Code: herald.CodeConflict, Message: fmt.Sprintf(format, args...)}
}

// RetryDeadJobs implements herald.JobControl. Of those that share a unique key the newest is retried.
func (s *Store) RetryDeadJobs(ctx context.Context) (int, error) {
	var n int64
	err := s.db.write(ctx, func(t tx) (err error) {
		n, err = t.exec(ctx, s.retry()+"WHERE "+isDead+" AND "+isUnheld+" AND (unique_key IS NULL OR id IN "+
			"(SELECT MAX(id) FROM river_job WHERE unique_key IS NOT NULL AND "+isDead+" GROUP BY unique_key))")
		if err != nil {
			return err
		}
		return reviveDeliveries(ctx, t)
	})
	return int(n), storeError(err)
}

// DeleteJob implements herald.JobControl.
func (s *Store) DeleteJob(ctx context.Context, id int64) (cancelled bool, err error) {
	var n int64
	err = s.db.write(ctx, func(t tx) error {
		j, found, err := s.job(ctx, t, id)
		if err != nil || !found {
			return err
		}
		if n, err = t.exec(ctx, "DELETE FROM river_job WHERE id = ? AND state <> 'running'", id); err != nil || n == 0 {
			return err
		}
		return endDelivery(ctx, t, j)
	})
	if err != nil {
		return false, storeError(err)
	}
	if n > 0 {
		return false, nil
	}
	_, err = s.CancelJob(ctx, id)
	return err == nil, err
}

// PauseQueue implements herald.JobQueues.
func (s *Store) PauseQueue(ctx context.Context, name string) error {
	// Where no node has worked on the queue yet it is not known, and is to be paused when one does.
	err := s.db.write(ctx, func(t tx) error {
		_, err := t.exec(ctx, "INSERT INTO river_queue (name, updated_at) VALUES (?, "+s.sql.now+") ON CONFLICT DO NOTHING", name)
		return err
	})
	if err == nil {
		err = s.queue.pause(ctx, name)
	}
	return storeError(err)
}

// ResumeQueue implements herald.JobQueues.
func (s *Store) ResumeQueue(ctx context.Context, name string) error {
	if err := s.queue.resume(ctx, name); err != nil && !errors.Is(err, rivertype.ErrNotFound) {
		return storeError(err)
	}
	return nil
}
