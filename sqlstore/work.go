package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/herald-events/herald"
)

// jobTimes are the times by which nodes know of each other. Tests have shorter ones.
type jobTimes struct {
	beat    time.Duration // between two signs of life of a node
	gone    time.Duration // without one a node is dead, and its jobs are given to others
	unknown time.Duration // so long a job waits for a node that handles its type
}

var defaultTimes = jobTimes{beat: 15 * time.Second, gone: time.Minute, unknown: 30 * time.Second}

// promoteEvery is how often jobs are looked for whose time comes.
const promoteEvery = promoteAhead / 3

// Work implements herald.JobQueues.
func (s *Store) Work(ctx context.Context, node herald.JobNode) error {
	plan := node.JobPlan()
	if !s.enlist(ctx, plan) {
		return nil
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	beating, end := context.WithCancel(context.WithoutCancel(ctx)) // as long as jobs run, which is longer than ctx
	defer end()
	wg.Go(func() { s.beats(beating, plan) })
	wg.Go(func() { s.repeat(ctx, promoteEvery, "jobs are not put forward", s.promote) })
	wg.Go(func() { s.schedule(ctx, plan.Schedules) })
	return s.runJobs(ctx, node, plan)
}

// enlist has the node known to the others, trying until that works. It reports false where ctx has ended before.
func (s *Store) enlist(ctx context.Context, plan herald.JobPlan) bool {
	for {
		err := step(ctx, func(ctx context.Context) error { return s.enlistOnce(ctx, plan) })
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.log.Warn("jobs wait for the store", "err", err)
		if !pause(ctx, watchInterval) {
			return false
		}
	}
}

func (s *Store) enlistOnce(ctx context.Context, plan herald.JobPlan) error {
	return s.db.write(ctx, func(t tx) error {
		if s.dialect == sqlite { // a node that was there has died: no other uses its file
			for _, statement := range []string{
				"UPDATE herald_nodes SET ended = 1", "DELETE FROM herald_durable",
				"UPDATE herald_webhooks SET turn_owner = '', turn_until = 0 WHERE turn_owner <> ''",
			} {
				if _, err := t.exec(ctx, statement); err != nil {
					return err
				}
			}
		}
		if err := s.beat(ctx, t, plan); err != nil {
			return err
		}
		if s.dialect == sqlite { // elsewhere others may be about to say, after an outage, that they live
			if err := s.giveBack(ctx, t); err != nil {
				return err
			}
		}
		return s.endLostDeliveries(ctx, t)
	})
}

// pause waits; false: ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// runJobs runs jobs until ctx ends, and lets those finish that run then.
func (s *Store) runJobs(ctx context.Context, node herald.JobNode, plan herald.JobPlan) error {
	if len(plan.Timeouts) == 0 || len(plan.Queues) == 0 {
		<-ctx.Done()
		return nil
	}
	for {
		stop, err := s.queue.start(ctx, s.self, deliveryNode{node, s})
		if err == nil {
			<-ctx.Done()
			return stop()
		}
		s.log.Warn("jobs wait for the queue", "err", err)
		if !pause(ctx, watchInterval) {
			return nil
		}
	}
}

// repeat does something every so often until ctx ends, each time for stepTime at most.
func (s *Store) repeat(ctx context.Context, every time.Duration, failure string, do func(context.Context) error) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if err := step(ctx, do); err != nil && ctx.Err() == nil {
				s.log.Warn(failure, "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// beats says that the node lives until ctx ends, and then that it has ended in order. It looks after the jobs of nodes
// that have died, and after those that nobody handles.
func (s *Store) beats(ctx context.Context, plan herald.JobPlan) {
	steady := true // the last beat was in time
	began := time.Now()
	s.repeat(ctx, s.times.beat, "the node is not seen by others", func(ctx context.Context) error {
		err := s.db.write(ctx, func(t tx) error {
			if err := s.beat(ctx, t, plan); err != nil || !steady {
				return err // after an outage the others have not been seen either: they get the time of a beat
			}
			if err := s.giveBack(ctx, t); err != nil {
				return err
			}
			if s.dialect == postgres && time.Since(began) < s.times.gone {
				return nil // nodes that are started together with this one may know more types
			}
			return s.endUnknown(ctx, t)
		})
		steady = err == nil
		return err
	})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTime)
	defer cancel()
	err := s.db.write(ctx, func(t tx) error {
		_, err := t.exec(ctx, "UPDATE herald_nodes SET ended = 1 WHERE id = ?", s.self)
		return err
	})
	if err != nil {
		s.log.Warn("other nodes learn later that this one has ended", "err", err)
	}
}

// forgetAfter is how long a node that has ended is remembered, in milliseconds. So long the jobs wait that it handled:
// it may be all workers that are away, for a deployment or a night, while others submit.
const forgetAfter = 24 * 60 * 60 * 1000

// beat says that the node lives, and what it handles.
func (s *Store) beat(ctx context.Context, t tx, plan herald.JobPlan) error {
	types, err := json.Marshal(slices.Sorted(maps.Keys(plan.Timeouts)))
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "INSERT INTO herald_nodes (id, seen_at, ended, types) VALUES (?, "+s.now()+", 0, ?) "+
		"ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at", s.self, string(types))
	if err != nil {
		return err
	}
	if s.sql.tellQueues != "" { // again, for those who had no connection when it changed
		if _, err := t.exec(ctx, s.sql.tellQueues); err != nil {
			return err
		}
	}
	if _, err := t.exec(ctx, "DELETE FROM herald_nodes WHERE seen_at < "+s.now()+" - ?", forgetAfter); err != nil {
		return err
	}
	return s.registerDurable(ctx, t, plan.Durable)
}

const (
	// maxLost is how many nodes may die while they run a job: it may be what kills them.
	maxLost = 20
	// lostAtOnce is after how many of them it is run again at once. From then on it waits for 2 s, 4 s and so on: nodes
	// that die in a row for another reason take more than an hour to end it, and one that it kills is not killed again at once.
	lostAtOnce = 3
	// maxLostDoublings bounds that wait, to 512 s.
	maxLostDoublings = 9
)

// giveBack gives the jobs of nodes that have died to others. Such an attempt does not count.
func (s *Store) giveBack(ctx context.Context, t tx) error {
	failure, err := lastFailure("the node that ran the job has died")
	if err != nil {
		return err
	}
	lost := "(" + s.sql.failures + " - attempt + 2)" // this time too; those that count have failed otherwise
	doublings := fmt.Sprintf("%s - %d", lost, lostAtOnce)
	wait := fmt.Sprintf("CASE WHEN %s <= 0 THEN 0 WHEN %[1]s > %d THEN %d ELSE 1 << (%[1]s) END", doublings, maxLostDoublings, 1<<maxLostDoublings)
	tooMany := fmt.Sprintf("%s >= %d", lost, maxLost)
	ends := "(" + s.sql.cancelled + " OR " + tooMany + ")"
	n, err := t.exec(ctx, "UPDATE river_job SET errors = "+s.sql.addError+", scheduled_at = "+fmt.Sprintf(s.sql.later, wait)+", "+
		"attempt = CASE WHEN attempt > 0 THEN attempt - 1 ELSE 0 END, "+
		"state = (CASE WHEN "+s.sql.cancelled+" THEN 'cancelled' WHEN "+tooMany+" THEN 'discarded' ELSE 'available' END)"+s.sql.state+", "+
		"finalized_at = CASE WHEN "+ends+" THEN "+s.sql.now+" END "+
		"WHERE state = 'running' AND "+s.sql.lastWorker+" NOT IN (SELECT id FROM herald_nodes WHERE ended = 0 AND seen_at >= "+s.now()+" - ?)",
		failure, s.times.gone.Milliseconds())
	if err != nil || n == 0 {
		return err
	}
	s.log.Warn("jobs were given back whose node has died", "jobs", n)
	return s.endLostDeliveries(ctx, t)
}

// endUnknown has jobs be dead that nobody handles, nor did in the time for which nodes are remembered.
func (s *Store) endUnknown(ctx context.Context, t tx) error {
	var types []any
	err := t.query(ctx, func(r row) error {
		var (
			list []byte
			some []string
		)
		if err := r.Scan((*text)(&list)); err != nil {
			return err
		}
		err := json.Unmarshal(list, &some)
		types = append(types, anyOf(some)...)
		return err
	}, "SELECT DISTINCT types FROM herald_nodes WHERE seen_at >= "+s.now()+" - ?", forgetAfter)
	if err != nil {
		return err
	}
	failure, err := lastFailure("no node has a handler for jobs of this type, nor had one in the last 24 hours; retry it once there is one")
	if err != nil {
		return err
	}
	where := "WHERE state = 'available' AND scheduled_at <= " + fmt.Sprintf(s.sql.later, fmt.Sprint(-s.times.unknown.Seconds()))
	if len(types) > 0 {
		where += " AND kind NOT IN " + marks(len(types))
	}
	n, err := t.exec(ctx, "UPDATE river_job SET state = 'discarded', finalized_at = "+s.sql.now+", errors = "+s.sql.addError+" "+where,
		append([]any{failure}, types...)...)
	if n > 0 {
		s.log.Warn("jobs are dead: no node handles their type", "jobs", n)
	}
	return err
}

// lastFailure is a failure as River keeps it.
func lastFailure(why string) (string, error) {
	kept, err := json.Marshal(map[string]any{"at": time.Now().UTC(), "attempt": 0, "error": why, "trace": ""})
	return string(kept), err
}

// promote puts jobs whose time comes where they are looked for.
func (s *Store) promote(ctx context.Context) error {
	return s.db.write(ctx, func(t tx) error {
		_, err := t.exec(ctx, "UPDATE river_job SET state = 'available' WHERE "+isLater+" AND scheduled_at <= "+
			fmt.Sprintf(s.sql.later, fmt.Sprint(promoteAhead.Seconds())))
		return err
	})
}
