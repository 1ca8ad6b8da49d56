// Package chore has a server do work by itself, in its own process, and tell what came of it: what a library's call
// takes is to be measured, and no HTTP around it.
package chore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/herald-events/herald/bench/internal/load"
)

// The paths of the benchmarks' own calls to a server that has a store.
const (
	Publish = "/bench/publish-durably"
	Jobs    = "/bench/jobs"
	Starts  = "/bench/job-starts"
	Fill    = "/bench/audit-fill"
	Verify  = "/bench/audit-verify"
)

// What [Fill] writes: one entry in about a thousand is of the rare action.
const (
	UsualAction = "user.seen"
	RareAction  = "user.deleted"
)

// AuditBegins is when the first entry occurred, and AuditStep how much later each other one did.
var AuditBegins = time.Date(2026, 2, 16, 12, 0, 0, 0, time.UTC)

const AuditStep = 10 * time.Millisecond

// User is one of the thousand who do something in turn.
func User(n int) string { return fmt.Sprintf("u-%03d", n%1000) }

// Plan is how often a call is made: until one of the bounds is reached.
type Plan struct {
	Workers  int           // goroutines, each of which makes one call after the other
	Duration time.Duration // from the first call on; 0: no bound
	Most     int           // calls in all; 0: no bound
	Idle     bool          // a worker waits for a moment before each call, never for the same time
}

// Result is what came of it.
type Result struct {
	Calls int
	Lost  int // what was begun and has not been done
	Twice int // what was done again
	Begun time.Time
	Ended time.Time // when all was done
	Took  load.Histogram
}

// Rate is calls a second, until all was done.
func (r Result) Rate() float64 { return float64(r.Calls) / r.Ended.Sub(r.Begun).Seconds() }

// Run makes the calls, numbered from 0, and times them. The first error ends it.
func (p Plan) Run(ctx context.Context, call func(ctx context.Context, n int) error) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		took = make([]load.Histogram, p.Workers)
	)
	r := Result{Begun: time.Now()}
	for i := range took {
		wg.Go(func() {
			for ctx.Err() == nil {
				if p.Idle {
					rest(ctx)
				}
				n, before := int(next.Add(1)-1), time.Now()
				if p.Most > 0 && n >= p.Most || p.Duration > 0 && before.Sub(r.Begun) >= p.Duration {
					return
				}
				if err := call(ctx, n); err != nil {
					cancel(err)
					return
				}
				took[i].Add(time.Since(before))
			}
		})
	}
	wg.Wait()
	r.Ended = time.Now()
	for i := range took {
		r.Took.Merge(&took[i])
	}
	r.Calls = int(r.Took.Count())
	return r, context.Cause(ctx)
}

// What is idle for so long looks for work a few times, at any of its moments: no two waits are the same.
const (
	leastRest = 5 * time.Millisecond
	mostRest  = 60 * time.Millisecond
)

func rest(ctx context.Context) {
	select {
	case <-time.After(leastRest + rand.N(mostRest-leastRest)):
	case <-ctx.Done():
	}
}

// Ask has the server at the port do what the path is for. The answer may be nil.
func Ask(ctx context.Context, port int, path string, what, answer any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + path
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, res.Status, text)
	}
	if err == nil && answer != nil {
		err = json.Unmarshal(text, answer)
	}
	return err
}
