package sqlstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/herald-events/herald"
)

const (
	// maxCommit bounds the things of one transaction: those that come meanwhile wait no longer than for one.
	maxCommit = 256
	// maxCommitBytes bounds what they have altogether, of which 256 of the largest would take longer than commitTime.
	// One that has more goes alone.
	maxCommitBytes = 8 << 20
	// commitTime bounds one transaction.
	commitTime = 5 * time.Second
)

// commits has things that come at the same time, such as facts, share a transaction. What is waiting when one has ended is the next:
// none waits for others where nothing is under way.
type commits[T any] struct {
	commit func(context.Context, []T) error
	size   func(T) int   // in bytes, about; nil: all are small
	wake   chan struct{} // holds one when something waits

	mu      sync.Mutex // guards the fields below
	waiting []*recording[T]
	over    bool
}

// recording is a thing on its way.
type recording[T any] struct {
	it   T
	done chan error // holds its end
}

func newCommits[T any](commit func(context.Context, []T) error) *commits[T] {
	return &commits[T]{commit: commit, wake: make(chan struct{}, 1)}
}

var errOver = errors.New("the store is not running")

// do returns when a thing is committed, or is not going to be. Where ctx ends before, it may be either.
func (c *commits[T]) do(ctx context.Context, it T) error {
	r := &recording[T]{it, make(chan error, 1)}
	if !c.add(r) {
		return storeError(errOver)
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return &herald.Error{Code: herald.CodeUnavailable, Message: "it is not known whether the store has it", Err: ctx.Err()}
	}
}

func (c *commits[T]) add(r *recording[T]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	c.waiting = append(c.waiting, r)
	select {
	case c.wake <- struct{}{}:
	default: // somebody has said so
	}
	return true
}

// take takes what waits, up to a transaction's worth.
func (c *commits[T]) take() []*recording[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, bytes := 0, 0
	for n < min(len(c.waiting), maxCommit) {
		if c.size != nil {
			bytes += c.size(c.waiting[n].it)
		}
		if n > 0 && bytes > maxCommitBytes {
			break
		}
		n++
	}
	taken := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	if len(c.waiting) == 0 {
		c.waiting = nil
	}
	return taken
}

// run commits until ctx ends, and then what still waits, for commitTime more: what is not committed then is refused, so
// that a database that hangs does not keep the process.
func (c *commits[T]) run(ctx context.Context) {
	working := context.WithoutCancel(ctx)
	for {
		select {
		case <-c.wake:
			for ctx.Err() == nil && c.next(working) {
			}
		case <-ctx.Done():
			c.end()
			ending, cancel := context.WithTimeout(working, commitTime)
			defer cancel()
			for c.next(ending) {
			}
			return
		}
	}
}

// end refuses what comes from now on.
func (c *commits[T]) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

// next commits a transaction's worth, and reports false where nothing waits.
func (c *commits[T]) next(ctx context.Context) bool {
	taken := c.take()
	if len(taken) > 0 {
		c.settle(ctx, taken)
	}
	return len(taken) > 0
}

// settle commits all together or, where the database does not take what they have, each alone, so that one that cannot
// be stored fails alone.
func (c *commits[T]) settle(ctx context.Context, taken []*recording[T]) {
	things := make([]T, len(taken))
	for i, r := range taken {
		things[i] = r.it
	}
	err := c.within(ctx, things)
	if !isOfContent(err) || len(taken) == 1 {
		for _, r := range taken {
			r.done <- err
		}
		return
	}
	for _, r := range taken {
		r.done <- c.within(ctx, []T{r.it})
	}
}

func (c *commits[T]) within(ctx context.Context, things []T) error {
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	return c.commit(ctx, things)
}
