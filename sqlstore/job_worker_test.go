package sqlstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/herald-events/herald"
)

// TestAJobIsLeftBehindWhenItsContextHasEnded, and not before: River would count a failed attempt, of which it may have been
// the last. One that ends meanwhile has ended.
func TestAJobIsLeftBehindWhenItsContextHasEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		then func(endContext context.CancelFunc, endJob func())
		want error
	}{
		"it hangs": {func(endContext context.CancelFunc, _ func()) { endContext() }, context.Canceled},
		"it ends":  {func(_ context.CancelFunc, endJob func()) { endJob() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := make(chan struct{})
				endJob := sync.OnceFunc(func() { close(end) })
				defer endJob()
				node := &jobNode{run: map[string]func(context.Context, herald.Job) error{
					"slow": func(context.Context, herald.Job) error { <-end; return nil },
				}}
				abandoned := make(chan struct{})
				close(abandoned)
				w := &jobWorker{node: node, abandoned: abandoned}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				worked := make(chan error, 1)
				go func() {
					worked <- w.Work(ctx, &river.Job[jobArgs]{JobRow: &rivertype.JobRow{Kind: "slow", EncodedArgs: []byte("{}")}})
				}()
				synctest.Wait()
				select {
				case err := <-worked:
					t.Fatalf("it is left behind too early, with the error %v", err)
				default:
				}
				tt.then(cancel, endJob)
				if err := <-worked; !errors.Is(err, tt.want) {
					t.Errorf("got the error %v, want %v", err, tt.want)
				}
			})
		})
	}
}
