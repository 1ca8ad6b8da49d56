package sqlstore

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/internal/clock"
)

// hungDB is a database that never answers, as behind a connection whose other end has gone without a word.
type hungDB struct {
	database
	asked int // by one loop
}

func (d *hungDB) write(ctx context.Context, _ func(tx) error) error { return d.hang(ctx) }

func (d *hungDB) query(ctx context.Context, _ func(row) error, _ string, _ ...any) error {
	return d.hang(ctx)
}

func (d *hungDB) hang(ctx context.Context) error {
	d.asked++
	<-ctx.Done()
	return ctx.Err()
}

func hungStore(t *testing.T) (*Store, *hungDB) {
	db := &hungDB{}
	return &Store{db: db, dialect: postgres, log: testLogger(t), clock: clock.System(), times: defaultTimes, sql: jobSQLOf(postgres), news: make(chan struct{}, 1)}, db
}

// emptyAgain empties the outbox as handing on does that has got so far.
func emptyAgain(ctx context.Context, s *Store) {
	for ctx.Err() == nil {
		_, _ = s.recordOutbox(ctx, newNode()) // it hangs
	}
}

// TestWhatHangsIsTriedAgain: a connection that hangs ends none of the loops of the background, and does not keep them.
func TestWhatHangsIsTriedAgain(t *testing.T) {
	plan := herald.JobPlan{Schedules: []herald.Schedule{{Name: "any"}}}
	for name, loop := range map[string]func(context.Context, *Store){
		"hand on":  func(ctx context.Context, s *Store) { s.handOn(ctx, newNode()) },
		"outbox":   emptyAgain,
		"enlist":   func(ctx context.Context, s *Store) { s.enlist(ctx, plan) },
		"beats":    func(ctx context.Context, s *Store) { s.beats(ctx, plan) },
		"promote":  func(ctx context.Context, s *Store) { s.repeat(ctx, promoteEvery, "", s.promote) },
		"schedule": func(ctx context.Context, s *Store) { s.schedule(ctx, plan.Schedules) },
		"prune": func(ctx context.Context, s *Store) {
			s.retention, s.key = time.Hour, newKey(t)
			s.prune(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, db := hungStore(t)
				ctx, cancel := context.WithTimeout(t.Context(), 12*time.Hour) // which is over at once
				defer cancel()
				begun := time.Now()
				loop(ctx, s)
				if n := db.asked; n < 10 {
					t.Errorf("the database was asked %d times", n)
				}
				if took := time.Since(begun); took > 12*time.Hour+probeTime {
					t.Errorf("it went on for %v after its end", took-12*time.Hour)
				}
			})
		})
	}
}

// TestTheEndWaitsForNoCommitThatHangs: what waits then is refused within the time of one.
func TestTheEndWaitsForNoCommitThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCommits(func(ctx context.Context, _ []int) error { <-ctx.Done(); return ctx.Err() })
		var waiting []*recording[int]
		for range 20 * maxCommit {
			r := &recording[int]{0, make(chan error, 1)}
			waiting = append(waiting, r)
			c.add(r)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		c.run(ctx)
		if took := time.Since(begun); took > 2*commitTime {
			t.Errorf("it took %v, want %v for the one that was under way and as long for the others", took, commitTime)
		}
		for _, r := range waiting {
			if err := <-r.done; err == nil {
				t.Fatal("what was not committed has no error")
			}
		}
	})
}
