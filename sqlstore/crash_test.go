package sqlstore

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// publisherVariable has the test binary be a process that publishes until it is killed: the store's URL.
const publisherVariable = "HERALD_TEST_PUBLISHER"

// TestPublisherProcess is that process; a run of the tests passes it by. It says each event that was accepted.
func TestPublisherProcess(t *testing.T) {
	storeURL := os.Getenv(publisherVariable)
	if storeURL == "" {
		t.Skip("it is a part of TestACrashLosesNothing")
	}
	s, err := Open(t.Context(), storeURL, Config{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	node := newNode()
	node.durable = []herald.DurableHandler{{Pattern: "*", Job: newJob("note", "")}}
	go func() { _ = s.Run(context.Background(), node) }() // until the process is killed
	var mu sync.Mutex
	say := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(line)
	}
	say("began")
	for p := range 8 {
		go func() {
			for n := 0; ; n++ {
				rec := event(n)
				rec.Event.ID = fmt.Sprintf("evt-%d-%d-%d", os.Getpid(), p, n)
				rec.Audit.EventID = rec.Event.ID
				if _, err := s.Record(context.Background(), rec); err == nil {
					say("accepted " + rec.Event.ID)
				}
			}
		}()
	}
	select {}
}

// TestACrashLosesNothing kills a process that publishes, at random instants: what it was told is accepted is kept once,
// the chain is whole, each event has the job of its handler, and all of it is handed on in the end.
func TestACrashLosesNothing(t *testing.T) {
	for name, storeURL := range map[string]string{
		"sqlite":   "sqlite:" + filepath.Join(t.TempDir(), "herald.db"),
		"postgres": server(t).Database(),
	} {
		t.Run(name, func(t *testing.T) {
			accepted := map[string]bool{}
			for range 25 {
				for _, id := range publishUntilKilled(t, storeURL) {
					accepted[id] = true
				}
			}
			r := run(t, storeURL)
			kept := map[string]bool{}
			err := r.db.query(t.Context(), func(row row) error {
				var id string
				err := row.Scan(&id)
				if kept[id] {
					t.Errorf("%s is in the audit log twice", id)
				}
				kept[id] = true
				return err
			}, "SELECT event_id FROM herald_audit")
			if err != nil {
				t.Fatal(err)
			}
			for id := range accepted {
				if !kept[id] {
					t.Errorf("%s was accepted, and is not in the audit log", id)
				}
			}
			if len(accepted) == 0 {
				t.Error("nothing was accepted")
			}
			r.verify(t, uint64(len(kept)))
			jobs := map[string]int{}
			err = r.db.query(t.Context(), func(row row) error {
				j, err := scanJob(row)
				var e herald.Event
				err = errors.Join(err, json.Unmarshal(j.Payload, &e))
				jobs[e.ID]++
				return err
			}, "SELECT "+r.sql.columns+" FROM river_job")
			if err != nil || len(jobs) != len(kept) {
				t.Errorf("%d events have jobs (%v), want %d", len(jobs), err, len(kept))
			}
			for id, n := range jobs {
				if n != 1 || !kept[id] {
					t.Errorf("%s has %d jobs, and is kept: %v", id, n, kept[id])
				}
			}
			r.record(t, event(1))
			told := r.node.await(t, 1)
			for told[len(told)-1] != "evt-1" { // what was not handed on before comes first
				told = r.node.await(t, len(told)+1)
			}
		})
	}
}

// publishUntilKilled runs the process for a moment, and returns what it said was accepted.
func publishUntilKilled(t *testing.T, storeURL string) (accepted []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestPublisherProcess$")
	cmd.Env = append(os.Environ(), publisherVariable+"="+storeURL)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // what was cut off in the middle was not said
			_ = cmd.Wait() // it was killed
			return accepted
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "began" {
			time.AfterFunc(time.Duration(rand.IntN(100))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
		if id, ok := strings.CutPrefix(line, "accepted "); ok {
			accepted = append(accepted, id)
		}
	}
}

var _ herald.StoreNode = (*node)(nil)
