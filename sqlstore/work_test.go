package sqlstore

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

func TestAnUnknownTypeIsDead(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := startQuick(t, storeURL)
		w := work(t, r, newJobNode(handlers{"known": func(context.Context, herald.Job) error { return nil }}))
		unknown := r.submit(t, newJob("unknown", "1"))
		r.awaitJob(t, r.submit(t, newJob("known", "1")).ID, herald.JobCompleted)
		dead := r.awaitJob(t, unknown.ID, herald.JobDead)
		if !strings.Contains(dead.LastError, "no node has a handler") || dead.Attempts != 0 {
			t.Errorf("dead %+v", dead)
		}
		if storeURL == "sqlite::memory:" { // which is gone with its process
			return
		}
		w.stopWork()
		r.leave(t)
		next := startJobs(t, storeURL, newJobNode(handlers{"unknown": func(context.Context, herald.Job) error { return nil }}))
		if _, err := next.RetryJob(t.Context(), unknown.ID); err != nil {
			t.Fatalf("RetryJob: %v", err)
		}
		next.awaitJob(t, unknown.ID, herald.JobCompleted)
	})
}

// TestJobsWaitForWorkersThatAreAway: those of a type that a node of the last day has handled, whoever lives meanwhile.
func TestJobsWaitForWorkersThatAreAway(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		if storeURL == "sqlite::memory:" {
			t.Skip("it is gone with its process")
		}
		ok := func(context.Context, herald.Job) error { return nil }
		worker := startJobs(t, storeURL, newJobNode(handlers{"theirs": ok}))
		worker.awaitJob(t, worker.submit(t, newJob("theirs", "1")).ID, herald.JobCompleted)
		worker.stopWork()
		worker.leave(t)
		web := startJobs(t, storeURL, newJobNode(handlers{"mine": ok}))
		waiting, unknown := web.submit(t, newJob("theirs", "1")), web.submit(t, newJob("unknown", "1"))
		web.awaitJob(t, unknown.ID, herald.JobDead) // by then the other could have been
		web.awaitJob(t, waiting.ID, herald.JobPending)
		err := web.db.write(t.Context(), func(tx tx) error { // a day has passed
			_, err := tx.exec(t.Context(), "UPDATE herald_nodes SET seen_at = seen_at - ? WHERE id = ?", forgetAfter, worker.self)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		web.awaitJob(t, waiting.ID, herald.JobDead)
	})
}

// TestTypesOfOtherNodesAreKnown: a node leaves jobs alone that another one handles.
func TestTypesOfOtherNodesAreKnown(t *testing.T) {
	storeURL := server(t).Database()
	release := make(chan struct{})
	node := newJobNode(handlers{"theirs": func(context.Context, herald.Job) error { <-release; return nil }})
	node.plan.Queues = map[string]int{"other": 1}
	startJobs(t, storeURL, node)
	mine := startJobs(t, storeURL, newJobNode(handlers{"mine": func(context.Context, herald.Job) error { return nil }}))
	theirs := newJob("theirs", "1")
	theirs.Queue = "other"
	running, waiting := mine.submit(t, theirs), mine.submit(t, theirs)
	unknown := mine.submit(t, newJob("unknown", "1"))
	mine.awaitJob(t, unknown.ID, herald.JobDead) // by then the others could have been
	mine.awaitJob(t, waiting.ID, herald.JobPending)
	close(release)
	mine.awaitJob(t, running.ID, herald.JobCompleted)
	mine.awaitJob(t, waiting.ID, herald.JobCompleted)
}

// TestALongJobStaysWithItsNode as long as that lives.
func TestALongJobStaysWithItsNode(t *testing.T) {
	storeURL := server(t).Database()
	ran, release := make(chan struct{}, 10), make(chan struct{})
	long := func(context.Context, herald.Job) error { ran <- struct{}{}; <-release; return nil }
	a, b := startJobs(t, storeURL, newJobNode(handlers{"long": long})), startJobs(t, storeURL, newJobNode(handlers{"long": long}))
	j := a.submit(t, newJob("long", "1"))
	receive(t, ran)
	began := a.oldestBeat(t)
	eventually(t, func() error {
		if passed := time.Duration(b.oldestBeat(t)-began) * time.Millisecond; passed < 3*quick.gone {
			return fmt.Errorf("%v have passed", passed)
		}
		return nil
	})
	close(release)
	if done := a.awaitJob(t, j.ID, herald.JobCompleted); done.Attempts != 1 || done.LastError != "" || len(ran) > 0 {
		t.Errorf("completed %+v, and %d more have begun", done, len(ran))
	}
}

// oldestBeat is when all nodes have said that they live, in milliseconds.
func (r *rig) oldestBeat(t testing.TB) (at int64) {
	t.Helper()
	if err := r.db.query(t.Context(), func(row row) error { return row.Scan(&at) }, "SELECT MIN(seen_at) FROM herald_nodes"); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestTwoNodesRunEachJobOnce(t *testing.T) {
	storeURL := server(t).Database()
	var mu sync.Mutex
	ran := map[int64]int{}
	byNode := map[string]int{}
	nodes := make([]*jobRig, 2)
	for i := range nodes {
		nodes[i] = startJobs(t, storeURL, newJobNode(handlers{"any": func(_ context.Context, j herald.Job) error {
			mu.Lock()
			defer mu.Unlock()
			ran[j.ID]++
			byNode[fmt.Sprint(i)]++
			return nil
		}}))
	}
	const each = 300
	var wg sync.WaitGroup
	for _, r := range nodes {
		for range 4 {
			wg.Go(func() {
				for range each / 4 {
					r.submit(t, newJob("any", "1"))
				}
			})
		}
	}
	wg.Wait()
	nodes[0].stats(t, herald.JobStats{herald.JobCompleted: 2 * each})
	mu.Lock()
	defer mu.Unlock()
	for id, n := range ran {
		if n != 1 {
			t.Errorf("job %d ran %d times", id, n)
		}
	}
	if len(ran) != 2*each || len(byNode) != 2 {
		t.Errorf("%d jobs ran, on %v; want %d, on both nodes", len(ran), byNode, 2*each)
	}
}

// TestShutdownLetsJobsFinish: those that run, within the grace. One that hangs is there at the next start.
func TestShutdownLetsJobsFinish(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		started, end := make(chan struct{}, 10), make(chan struct{})
		hang := make(chan struct{})
		t.Cleanup(func() { close(hang) })
		r := startQuick(t, storeURL)
		w := work(t, r, newJobNode(handlers{
			"slow": func(context.Context, herald.Job) error { started <- struct{}{}; <-end; return nil },
			"polite": func(ctx context.Context, _ herald.Job) error {
				started <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			},
			"hung": func(context.Context, herald.Job) error { started <- struct{}{}; <-hang; return nil },
		}))
		slow, polite, hung := r.submit(t, newJob("slow", "1")), r.submit(t, newJob("polite", "1")), r.submit(t, newJob("hung", "1"))
		for range 3 {
			receive(t, started)
		}
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			w.stopWork()
		}()
		late := r.submit(t, newJob("slow", "1"))
		close(end)
		receive(t, stopped)
		r.awaitJob(t, slow.ID, herald.JobCompleted)
		for _, id := range []int64{polite.ID, hung.ID} {
			if j := r.awaitJob(t, id, herald.JobPending); j.Attempts != 0 {
				t.Errorf("an interrupted job has %d attempts, want none", j.Attempts)
			}
		}
		if storeURL == "sqlite::memory:" {
			return
		}
		r.leave(t)
		ok := func(context.Context, herald.Job) error { return nil }
		next := startJobs(t, storeURL, newJobNode(handlers{"slow": ok, "polite": ok, "hung": ok}))
		for _, id := range []int64{late.ID, polite.ID, hung.ID} {
			next.awaitJob(t, id, herald.JobCompleted)
		}
	})
}

// workerVariable has the test binary be a process that runs jobs until it is killed: the store's URL.
const workerVariable = "HERALD_TEST_WORKER"

// TestWorkerProcess is that process; a run of the tests passes it by.
func TestWorkerProcess(t *testing.T) {
	storeURL := os.Getenv(workerVariable)
	if storeURL == "" {
		t.Skip("it is a part of TestAKilledWorkerGivesItsJobBack")
	}
	startJobs(t, storeURL, newJobNode(handlers{"any": func(context.Context, herald.Job) error {
		fmt.Println("started")
		select {}
	}}))
	select {}
}

func TestAKilledWorkerGivesItsJobBack(t *testing.T) {
	for name, storeURL := range map[string]string{
		"sqlite":   "sqlite:" + filepath.Join(t.TempDir(), "herald.db"),
		"postgres": server(t).Database(),
	} {
		t.Run(name, func(t *testing.T) {
			ran := make(chan herald.Job, 10)
			node := newJobNode(handlers{"any": func(_ context.Context, j herald.Job) error { ran <- j; return nil }})
			n := newJob("any", "1")
			n.Attempts, n.Timeout = 1, time.Hour
			if name == "sqlite" { // which one process has at a time
				r := startQuick(t, storeURL)
				j := r.submit(t, n)
				r.stop()
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				killWhenItRuns(t, storeURL)
				next := startJobs(t, storeURL, node)
				if got := receive(t, ran); got.ID != j.ID || got.Attempts != 1 {
					t.Errorf("ran %+v, want the first attempt of %d", got, j.ID)
				}
				next.awaitJob(t, j.ID, herald.JobCompleted)
				return
			}
			r := startQuick(t, storeURL)
			j := r.submit(t, n)
			killWhenItRuns(t, storeURL)
			work(t, r, node)
			if got := receive(t, ran); got.ID != j.ID || got.Attempts != 1 || !strings.Contains(got.LastError, "has died") {
				t.Errorf("ran %+v, want the first attempt of %d", got, j.ID)
			}
			r.awaitJob(t, j.ID, herald.JobCompleted)
		})
	}
}

// killWhenItRuns has a process run the job, and kills it with SIGKILL.
func killWhenItRuns(t *testing.T, storeURL string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestWorkerProcess$")
	cmd.Env = append(os.Environ(), workerVariable+"="+storeURL)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "started" {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // it was killed
}

// TestAJobThatKillsItsNodesIsDead in the end, which is far: it waits longer and longer between them.
func TestAJobThatKillsItsNodesIsDead(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := startQuick(t, storeURL)
		j := r.submit(t, newJob("poison", "1"))
		for lost, want := range []time.Duration{
			0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512, 512, 512, 512, 512, 512,
		} {
			before := time.Now().Truncate(time.Millisecond)
			r.takeByDeadNode(t, func(tx tx) error { return r.giveBack(t.Context(), tx) })
			job, _, err := r.Job(t.Context(), j.ID)
			if err != nil || job.Attempts != 0 || job.Status != herald.JobPending {
				t.Fatalf("lost %d times: got %+v, %v", lost+1, job, err)
			}
			if least, most := before.Add(want*time.Second), time.Now().Add(want*time.Second); job.RunAt.Before(least) || job.RunAt.After(most) {
				t.Errorf("lost %d times: it is run again at %v, want from %v to %v", lost+1, job.RunAt, least, most)
			}
		}
		r.takeByDeadNode(t, func(tx tx) error { return r.giveBack(t.Context(), tx) })
		if dead := r.awaitJob(t, j.ID, herald.JobDead); dead.Attempts != 0 {
			t.Errorf("dead %+v", dead)
		}
	})
}

// TestACancelledJobOfADeadNodeIsDead, and not given to another.
func TestACancelledJobOfADeadNodeIsDead(t *testing.T) {
	overEach(t, func(t *testing.T, storeURL string) {
		r := startQuick(t, storeURL)
		j := r.submit(t, newJob("any", "1"))
		r.takeByDeadNode(t, func(tx) error { return nil })
		if cancelled, err := r.DeleteJob(t.Context(), j.ID); !cancelled || err != nil {
			t.Errorf("DeleteJob: %v, %v", cancelled, err)
		}
		if err := r.db.write(t.Context(), func(tx tx) error { return r.giveBack(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
		r.awaitJob(t, j.ID, herald.JobDead)
	})
}

// takeByDeadNode has all jobs that wait be run by a node that is dead, and does more in the same transaction.
func (r *rig) takeByDeadNode(t testing.TB, more func(tx) error) {
	t.Helper()
	by := map[string]string{sqlite: "jsonb('[\"gone\"]')", postgres: "ARRAY['gone']"}[r.dialect]
	err := r.db.write(t.Context(), func(tx tx) error {
		_, err := tx.exec(t.Context(), "UPDATE river_job SET state = 'running', attempt = attempt + 1, attempted_by = "+by+" WHERE state = 'available'")
		if err != nil {
			return err
		}
		return more(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBackoffDoubles(t *testing.T) {
	for attempt, want := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 9: 256 * time.Second, 10: 512 * time.Second, 11: maxBackoff, 1000: maxBackoff,
	} {
		got := time.Until(backoff{}.NextRetry(rowOfAttempt(attempt)))
		if got < want*9/10-time.Second/10 || got > want*11/10 {
			t.Errorf("after attempt %d: %v, want %v, a tenth more or less", attempt, got, want)
		}
	}
}
