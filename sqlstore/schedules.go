package sqlstore

import (
	"context"
	"math"
	"time"

	"github.com/herald-events/herald"
)

// scheduleLook is how long a node waits at most before it looks at its schedules again: another node may have moved
// them on.
const scheduleLook = 30 * time.Second

// never is the next time of a schedule that has none.
var never = time.UnixMilli(math.MaxInt64)

// schedule submits the jobs of schedules at their times until ctx ends. Of the nodes that have a schedule the first to
// move it on submits.
func (s *Store) schedule(ctx context.Context, schedules []herald.Schedule) {
	if len(schedules) == 0 {
		return
	}
	for {
		wait := scheduleLook
		for _, sc := range schedules {
			var next time.Time
			err := step(ctx, func(ctx context.Context) (err error) { next, err = s.submitDue(ctx, sc); return err })
			if err != nil {
				if ctx.Err() == nil {
					s.log.Warn("a scheduled job waits", "schedule", sc.Name, "err", err)
				}
				next = time.Now().Add(watchInterval)
			}
			wait = min(wait, max(time.Until(next), 0))
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// submitDue submits the job of a schedule if it is due, in the transaction that moves it on, and returns when it is
// next.
func (s *Store) submitDue(ctx context.Context, sc herald.Schedule) (next time.Time, err error) {
	j := &job{NewJob: sc.Job}
	submitted := false
	err = s.db.write(ctx, func(t tx) error {
		submitted = false
		now := time.Now()
		cron, at, err := scheduleRow(ctx, t, sc.Name)
		if err != nil {
			return err
		}
		if cron == sc.Cron && at.After(now) {
			next = at
			return nil
		}
		if next = sc.Next(now); next.IsZero() {
			next = never
		}
		if cron != sc.Cron { // it is new, or other than it was
			_, err := t.exec(ctx, "INSERT INTO herald_schedules (name, cron, next_at) VALUES (?, ?, ?) "+
				"ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, next_at = excluded.next_at", sc.Name, sc.Cron, next.UnixMilli())
			return err
		}
		n, err := t.exec(ctx, "UPDATE herald_schedules SET next_at = ? WHERE name = ? AND cron = ? AND next_at = ?",
			next.UnixMilli(), sc.Name, cron, at.UnixMilli())
		if err != nil || n == 0 { // another node has
			return err
		}
		submitted = true
		return s.insertJobs(ctx, t, []*job{j})
	})
	if err == nil && submitted {
		s.queue.inserted([]*job{j})
	}
	return next, err
}

func scheduleRow(ctx context.Context, t tx, name string) (cron string, at time.Time, err error) {
	err = t.query(ctx, func(r row) error {
		var millis int64
		err := r.Scan(&cron, &millis)
		at = time.UnixMilli(millis)
		return err
	}, "SELECT cron, next_at FROM herald_schedules WHERE name = ?", name)
	return cron, at, err
}
