package sqlstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/herald-events/herald"
)

// TestAJobIsLeftBehindWhenItsContextHasEnded, and not before: River would count a failed attempt, of which it may have been
// the last.
func TestAJobIsLeftBehindWhenItsContextHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		node := &jobNode{run: map[string]func(context.Context, herald.Job) error{
			"hangs": func(context.Context, herald.Job) error { <-end; return nil },
		}}
		abandoned := make(chan struct{})
		close(abandoned)
		w := &jobWorker{node: node, abandoned: abandoned}
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			left <- w.Work(ctx, &river.Job[jobArgs]{JobRow: &rivertype.JobRow{Kind: "hangs", EncodedArgs: []byte("{}")}})
		}()
		synctest.Wait()
		select {
		case err := <-left:
			t.Fatalf("it is left behind too early, with the error %v", err)
		default:
		}
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Fatalf("got the error %v", err)
		}
	})
}
